"""Places for work that is under way at the same time. Work that takes long gives its place to others, and goes on."""

import asyncio
from collections.abc import Coroutine
from typing import Any

SLOW_SECONDS = 1.0
"""Seconds after which work that is still under way gives its place back: it waits for something, and costs nothing."""
MOST_SLOW = 256
"""Tasks that may be under way beyond the places."""


class Slots:
    """`at_once` places, each for a task until it ends or is slow."""

    def __init__(self, at_once: int) -> None:
        self._free = asyncio.Semaphore(at_once)
        self._slow: set[asyncio.Task[None]] = set()

    async def free(self) -> None:
        """Wait for a place, which `start` then takes."""
        await self._free.acquire()

    def start(self, group: asyncio.TaskGroup, work: Coroutine[Any, Any, None]) -> None:
        """Begin the work at the place that `free` has got."""
        task = group.create_task(work)
        asyncio.get_running_loop().call_later(SLOW_SECONDS, self._lend, task)
        task.add_done_callback(self._ended)

    def _lend(self, task: "asyncio.Task[None]") -> None:
        if not task.done() and len(self._slow) < MOST_SLOW:
            self._slow.add(task)
            self._free.release()

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if task in self._slow:
            self._slow.discard(task)
        else:
            self._free.release()
