"""A running console in this process, and what its history holds. Support for tests."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from adapters.memory import MemoryBroker
from handler.console.console import Console
from handler.history.base import Request, Store
from handler.history.sql.store import open_store
from handler.settings.settings import Settings
from handler.telemetry.metrics import Metrics
from handler.telemetry.state import State
from k8s.api.cluster import Cluster
from tests.handler.relay import connected
from tests.handler.samples import until

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Running:
    """`task` ends with the console, once `stop` is set."""

    console: Console
    state: State
    stop: asyncio.Event
    task: "asyncio.Task[None]"

    async def records(self) -> None:
        """Wait until it records."""

        async def look() -> bool:
            return bool(self.state.history and self.state.history.recording and not self.state.problems())

        await self.until(look)

    async def waits(self) -> None:
        """Wait until it is ready, while another one records."""

        async def look() -> bool:
            return bool(self.state.history and not self.state.history.recording and not self.state.problems())

        await self.until(look)

    async def tells(self, text: str) -> None:
        """Wait until a problem says so."""

        async def look() -> bool:
            return any(text in problem for problem in self.state.problems())

        await self.until(look)

    async def until(self, look: Callable[[], Awaitable[T | None]]) -> T:
        async def alive() -> T | None:
            if self.task.done():
                self.task.result()
            return await look()

        return await until(alive)


@asynccontextmanager
async def console(broker: MemoryBroker, cluster: Cluster, url: str | None, **settings: Any) -> AsyncIterator[Running]:
    """A console, until the block ends; not recording yet."""
    chosen = Settings(role="console", history=url, **{"ui_address": "127.0.0.1:0", **settings})
    state = State(Metrics(role="console"), follows=chosen.follows)
    made, stop = Console(chosen, cluster=cluster, sources=connected(broker), state=state), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(made.run(stop))
        try:
            yield Running(made, state, stop, task)
        finally:
            stop.set()


async def recorded(url: str, request_id: str) -> Request:
    """The request in this database, once it has ended there."""
    async with open_store(url) as store:

        async def look() -> Request | None:
            return next((one for one in await store.find(request_id) if one.terminal), None)

        return await until(look)


async def told(url: str) -> list[str]:
    """The ids of all events in this database."""
    async with open_store(url) as store:
        return [one.id for one in await store.since(0)]


async def kept(store: Store, request: Request) -> list[tuple[str, int]]:
    """States and sizes of its pods' logs."""
    pods = await store.pods(request.pk)
    return [(str(log.state), log.bytes) for pod in pods for log in await store.logs(pod.uid)]
