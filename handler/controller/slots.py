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
        self._begun: dict[asyncio.Task[None], float] = {}
        """Tasks that hold a place, oldest first, and the loop's time when each began."""
        self._slow: set[asyncio.Task[None]] = set()
        self._timed = False

    async def free(self) -> None:
        """Wait for a place, which `start` then takes."""
        await self._free.acquire()

    def start(self, group: asyncio.TaskGroup, work: Coroutine[Any, Any, None]) -> None:
        """Begin the work at the place that `free` has got."""
        task, loop = group.create_task(work), asyncio.get_running_loop()
        self._begun[task] = loop.time()
        # One timer for all: most tasks end long before they are slow.
        if not self._timed:
            self._timed = True
            loop.call_later(SLOW_SECONDS, self._lend)
        task.add_done_callback(self._ended)

    def _lend(self) -> None:
        """Take the places of the tasks that are slow by now, and come back when the next one is."""
        self._timed = False
        loop = asyncio.get_running_loop()
        while self._begun and len(self._slow) < MOST_SLOW:
            task, begun = next(iter(self._begun.items()))
            if begun + SLOW_SECONDS > loop.time():
                self._timed = True
                loop.call_at(begun + SLOW_SECONDS, self._lend)
                return
            del self._begun[task]
            self._slow.add(task)
            self._free.release()

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if task in self._slow:
            self._slow.discard(task)
        else:
            del self._begun[task]
            self._free.release()
