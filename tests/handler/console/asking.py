"""A browser's part of the conversation with the page, and a page without anything behind it. Support for tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import ClientResponse, ClientSession, CookieJar, web

from handler.console.backend import Backend
from handler.console.serving.server import serve_page
from handler.settings.settings import Settings
from handler.telemetry.metrics import Metrics
from k8s.api.cluster import connect as connect_cluster
from tests.handler.commandline import make_environ


@dataclass(frozen=True, slots=True)
class Page:
    """`url`: without a slash at its end. `session` keeps cookies, those of addresses too."""

    url: str
    session: ClientSession

    async def get(self, path: str, **options: Any) -> ClientResponse:
        """The answer, read whole. `path` begins with a slash. No redirect is followed."""
        return await self.ask("GET", path, **options)

    async def post(self, path: str, **options: Any) -> ClientResponse:
        """As the page itself posts. `data`: a form's, `json`: a body's."""
        headers = {"Sec-Fetch-Site": "same-origin", **options.pop("headers", {})}
        return await self.ask("POST", path, headers=headers, **options)

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
        async with serve_page(backend, more=routes) as url, ClientSession(cookie_jar=CookieJar(unsafe=True)) as session:
            assert url is not None
            yield Page(url.rstrip("/"), session), backend
