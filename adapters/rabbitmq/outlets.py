"""The channel that many publishes share, and when another takes its place. It does not know what becomes of them.

RabbitMQ 3.10 refuses all that a channel publishes to a quorum queue if that channel came to know the queue while the
node of its leader died, for as long as that node is away. On a new channel the new leader takes it.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from adapters.rabbitmq.client import translated
from adapters.rabbitmq.connection import Connection, close_channel
from adapters.rabbitmq.outlet import Outlet

logger = logging.getLogger(__name__)

IN_FLIGHT = 300
"""At 400 publishes that a channel has not taken up, RabbitMQ reads nothing more from the whole connection."""
TRIAL_SECONDS = 1.0
"""What a younger channel says is believed: no more than one is opened in this time, however much is refused."""


class Outlets:
    """Of one connection, for all publishes to an exchange."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._shared: Outlet | None = None
        self._trial: Outlet | None = None
        self._opening = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(IN_FLIGHT)

    @asynccontextmanager
    async def room(self, what: str, until: float) -> AsyncIterator[None]:
        """Room for one publish. Raises `BrokerUnavailable` when there is none by that time of the loop."""
        if self._room.locked():
            with translated(what):
                async with asyncio.timeout_at(until):
                    await self._room.acquire()
        else:
            await self._room.acquire()
        try:
            yield
        finally:
            self._room.release()

    async def shared(self) -> Outlet:
        """The channel to publish on now. Raises `BrokerUnavailable`."""
        if self._shared is None or self._shared.ended:
            async with self._opening:
                if self._shared is None or self._shared.ended:
                    self._shared = await self._connection.open_outlet()
        return self._shared

    async def other_than(self, outlet: Outlet) -> Outlet:
        """To try what a queue did not take on `outlet`: its successor, or one on trial. Raises `BrokerUnavailable`."""
        async with self._opening:
            if self._shared is not None and self._shared is not outlet and not self._shared.ended:
                return self._shared
            if self._trial is None or self._trial.ended:
                self._trial = await self._connection.open_outlet()
                self._run(self._end_trial(self._trial))
        return self._trial

    def prefer(self, outlet: Outlet, other: Outlet) -> None:
        """`outlet` has stored what was refused on the `other`, which may be the shared one no longer."""
        if self._shared is other and outlet is not other:
            logger.debug("a new channel for publishes: it stores what the one before did not")
            self._shared = outlet
            self._run(self._retire(other))

    def doubt(self, outlet: Outlet) -> None:
        """Something was not answered on it: whatever comes shall go on another."""
        if self._shared is outlet:
            self._shared = None
            self._run(self._retire(outlet))

    async def close(self) -> None:
        """Never raises."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._connection.blocked:
            return
        for outlet in (self._shared, self._trial):
            if outlet is not None:
                await close_channel(outlet)

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _end_trial(self, trial: Outlet) -> None:
        await asyncio.sleep(TRIAL_SECONDS)
        self._trial = None
        if trial is not self._shared:
            await self._retire(trial)

    async def _retire(self, outlet: Outlet) -> None:
        """Nothing is published on it any more: close it once all that is in flight has ended."""
        await outlet.settled()
        await close_channel(outlet)
