"""Keys to reconcile, each once, now or later. Holds no events: whoever takes a key reads the current state."""

import asyncio
import heapq
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

FIRST_RETRY = 1.0
LAST_RETRY = 60.0


class WorkQueue(Generic[K]):
    """A key is in it at most once, for the earliest time asked for. For a single event loop and a single consumer."""

    def __init__(self) -> None:
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []  # May hold keys that are no longer due then.
        self._order = 0
        self._retries: dict[K, int] = {}
        self._changed = asyncio.Event()

    def add(self, key: K, *, delay: float = 0.0) -> None:
        """Add a key; `delay`: seconds from now."""
        due = asyncio.get_running_loop().time() + delay
        if key in self._due and self._due[key] <= due:
            return
        self._due[key] = due
        self._order += 1
        heapq.heappush(self._heap, (due, self._order, key))
        self._changed.set()

    def retry(self, key: K) -> None:
        """Add a key again after 1, 2, 4 … 60 seconds, until `forget`."""
        failures = self._retries.get(key, 0)
        self._retries[key] = failures + 1
        self.add(key, delay=min(FIRST_RETRY * 2.0**failures, LAST_RETRY))

    def forget(self, key: K) -> None:
        self._retries.pop(key, None)

    async def get(self) -> K:
        while True:
            self._changed.clear()
            due, key = self._first()
            remaining = None if due is None else due - asyncio.get_running_loop().time()
            if key is not None and remaining is not None and remaining <= 0:
                heapq.heappop(self._heap)
                del self._due[key]
                return key
            try:
                async with asyncio.timeout(remaining):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _first(self) -> tuple[float, K] | tuple[None, None]:
        while self._heap:
            due, _, key = self._heap[0]
            if self._due.get(key) == due:
                return due, key
            heapq.heappop(self._heap)
        return None, None
