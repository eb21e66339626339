"""The page of a console that records, in this process, and a browser's part of the conversation. Support for tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientResponse, ClientSession, CookieJar

from adapters.memory import MemoryBroker
from handler.console.backend import Backend
from handler.telemetry.state import State
from k8s.api.cluster import Cluster
from tests.handler.console.consoles import Running, console


@dataclass(frozen=True, slots=True)
class Served:
    """`url`: without a slash at its end. `session` follows no redirects by itself, and keeps cookies."""

    url: str
    session: ClientSession
    running: Running

    @property
    def backend(self) -> Backend:
        return self.running.console.backend

    @property
    def state(self) -> State:
        return self.running.state

    async def get(self, path: str, **options: Any) -> ClientResponse:
        """The answer, read whole. `path` begins with a slash."""
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
async def served(
    broker: MemoryBroker, cluster: Cluster, url: str | None = None, **settings: Any
) -> AsyncIterator[Served]:
    """A console that records by now, and its page on a free port. `url`: of its database, by default in memory."""
    async with console(broker, cluster, url, **settings) as running:
        await running.records()
        found = running.state.page
        assert found is not None
        async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as session:
            yield Served(found.rstrip("/"), session, running)
