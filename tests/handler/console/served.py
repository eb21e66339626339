"""The page of a console that records, in this process. Support for tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from adapters.memory import MemoryBroker
from handler.console.backend import Backend
from handler.console.serving.server import Serving
from handler.telemetry.state import State
from k8s.api.cluster import Cluster
from tests.handler.console.asking import Page, browser
from tests.handler.console.consoles import Running, console


@dataclass(frozen=True, slots=True)
class Served(Page):
    """`running`: the console behind it."""

    running: Running

    @property
    def backend(self) -> Backend:
        return self.running.console.backend

    @property
    def state(self) -> State:
        return self.running.state


@asynccontextmanager
async def served(
    broker: MemoryBroker, cluster: Cluster, url: str | None = None, **settings: Any
) -> AsyncIterator[Served]:
    """A console that records by now, and its page on a free port. `url`: of its database, by default in memory."""
    async with console(broker, cluster, url, **settings) as running:
        await running.records()

        async def look() -> Serving | None:
            return running.console.page

        serving = await running.until(look)
        async with browser() as session:
            yield Served(serving, session, running)
