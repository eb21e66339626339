"""A browser's part of the conversation with the page, and a page without anything behind it. Support for tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import ClientResponse, ClientSession, CookieJar, web

from handler.console.backend import Backend
from handler.console.http.person import Person
from handler.console.security.forgery import token_of
from handler.console.security.security import SECURITY
from handler.console.serving.server import Serving, serve_page
from handler.settings.settings import Settings
from handler.telemetry.metrics import Metrics
from k8s.api.cluster import connect as connect_cluster
from tests.handler.commandline import make_environ


@dataclass(frozen=True, slots=True)
class Page:
    """`session` keeps cookies, those of addresses too. `name`: of the person that asks."""

    serving: Serving
    session: ClientSession
    name: str = field(default="local", kw_only=True)

    @property
    def url(self) -> str:
        """Without a slash at its end."""
        return self.serving.url.rstrip("/")

    async def get(self, path: str, **options: Any) -> ClientResponse:
        """The answer, read whole. `path` begins with a slash. No redirect is followed."""
        return await self.ask("GET", path, **options)

    async def post(self, path: str, **options: Any) -> ClientResponse:
        """As the page itself posts, with the token against forged requests. `data`: a form's, `json`: a body's."""
        headers = {"Sec-Fetch-Site": "same-origin", "X-CSRF-Token": await self.token(), **options.pop("headers", {})}
        return await self.ask("POST", path, headers=headers, **options)

    async def token(self) -> str:
        """What this person's pages carry in their forms."""
        if not self._cookie():
            await self.get("/theme")
        person = Person(name=self.name, operator=True, session=self._cookie().partition(".")[0])
        return token_of(self.serving.app[SECURITY].seal, person)

    def _cookie(self) -> str:
        found = {cookie.key.split("_")[1]: cookie.value for cookie in self.session.cookie_jar}
        return found.get("session") or found.get("visit", "")

    async def ask(self, method: str, path: str, **options: Any) -> ClientResponse:
        async with self.session.request(method, self.url + path, **{"allow_redirects": False, **options}) as answer:
            await answer.read()
            return answer


@asynccontextmanager
async def bare(directory: Path, *routes: web.RouteDef, **settings: Any) -> AsyncIterator[tuple[Page, Backend]]:
    """The page with further routes; its history is not open, its cluster and its brokers are away."""
    chosen = Settings(**{"role": "console", "ui_address": "127.0.0.1:0", **settings})
    async with connect_cluster(kubeconfig=Path(make_environ(directory)["JOBRELAY_KUBECONFIG"])) as away:
        backend = Backend(chosen, cluster=away, brokers={}, metrics=Metrics(role="console"))
        async with serve_page(backend, more=routes) as serving, browser() as session:
            assert serving is not None
            yield Page(serving, session), backend


def browser() -> ClientSession:
    """Keeps cookies as a browser does."""
    return ClientSession(cookie_jar=CookieJar(unsafe=True))
