"""Holds all work back while the API server as a whole does not answer."""

import asyncio
import logging
from collections.abc import Callable

from handler.telemetry.metrics import Metrics
from k8s.api.clock import backoff
from k8s.base import Unavailable

logger = logging.getLogger(__name__)


class Leaving(Exception):
    """We are shutting down and the API server does not answer: better leave the delivery to another process."""


class Gate:
    """Open as long as calls are answered. A failed call closes it, for a time that doubles with each further failure.

    What waits here keeps its delivery: none is settled because the API server is down, so nothing is lost.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._passable = asyncio.Event()
        self._passable.set()
        self._closed = False
        self._leaving = False
        self._failures = 0
        self._metrics = metrics
        self.leavers: list[Callable[[], None]] = []
        """Called when we shut down."""
        self.problem: str | None = None
        """For people: what closed it, until a call is answered again."""

    @property
    def is_open(self) -> bool:
        return not self._closed

    async def wait(self) -> None:
        """Wait until it is open. Raises `Leaving` if it is closed while we shut down."""
        await self._passable.wait()
        # A caller that was let through goes on, even if another call closes the gate now: both count as one failure.
        if self._leaving and self._closed:
            raise Leaving

    def passed(self) -> None:
        """A call was answered: the next failure starts from the shortest wait again."""
        self._failures = 0
        self.problem = None

    def close(self, error: Unavailable) -> None:
        """A call was not answered. Failures of calls that were under way together count as one."""
        if self._closed:
            return
        self._closed = True
        if not self._leaving:
            self._passable.clear()
        self._failures += 1
        self.problem = str(error)
        delay = backoff(self._failures, retry_after=error.retry_after)
        logger.warning("intake pauses: %s", error, extra={"seconds": round(delay, 1)})
        self._metrics.intake_paused.set(1)
        asyncio.get_running_loop().call_later(delay, self._reopen)

    def leave(self) -> None:
        """Shutting down: from now on `wait` does not wait."""
        self._leaving = True
        self._passable.set()
        for leaver in self.leavers:
            leaver()

    def _reopen(self) -> None:
        self._closed = False
        self._passable.set()
        self._metrics.intake_paused.set(0)
