"""Places for calls that are under way: what hangs for one kind of request leaves places for the others."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

Lane = tuple[str, str | None]
"""Namespace and service of a request."""

SLOW_SECONDS = 0.8
"""Seconds after which a call counts as slow."""
_MARGIN = 0.01


class NoSlot(Exception):
    """Enough calls of this lane hang, while its namespace takes other Jobs at once."""

    def __init__(self) -> None:
        super().__init__("too many calls for Jobs of this service hang")


class LaneSlots:
    """At most three quarters of `total` calls are of one lane; of a lane whose calls are slow, a quarter.

    A lane is slow only if a plain Job of its namespace is judged at once (`well`): otherwise the API server is slow as
    a whole, and everybody waits.
    """

    def __init__(self, total: int, *, well: Callable[[str], Awaitable[bool]]) -> None:
        self._most = max(1, total * 3 // 4)
        self._most_slow = max(1, total // 4)
        self._well = well
        self._begun: dict[Lane, dict[int, float]] = {}
        self._freed: dict[Lane, asyncio.Event] = {}
        self._numbers = itertools.count()

    @asynccontextmanager
    async def slot(self, lane: Lane) -> AsyncIterator[None]:
        """Within the block a call of this lane is under way. Waits for a place; raises `NoSlot`."""
        while not await self._has_room(lane):
            await self._wait(lane)
        begun, number = self._begun.setdefault(lane, {}), next(self._numbers)
        begun[number] = time.monotonic()
        try:
            yield
        finally:
            del begun[number]
            if not begun:
                self._begun.pop(lane, None)
            if (freed := self._freed.pop(lane, None)) is not None:
                freed.set()

    async def _has_room(self, lane: Lane) -> bool:
        begun = self._begun.get(lane)
        if begun is None or len(begun) < self._most_slow:
            return True
        slow = sum(at < time.monotonic() - SLOW_SECONDS for at in begun.values())
        if slow >= self._most_slow and await self._well(lane[0]):
            raise NoSlot
        # Asked anew: it may have taken a while to find out.
        return len(self._begun.get(lane, ())) < self._most

    async def _wait(self, lane: Lane) -> None:
        """Wait until a call of the lane ends, but no longer than it takes to know whether the lane is slow."""
        freed = self._freed.setdefault(lane, asyncio.Event())
        begun = sorted(self._begun[lane].values())
        known_in = begun[self._most_slow - 1] + SLOW_SECONDS - time.monotonic()
        try:
            # Known to be slow already, it was not deferred because the API server is slow as a whole.
            async with asyncio.timeout(known_in + _MARGIN if known_in > 0 else SLOW_SECONDS):
                await freed.wait()
        except TimeoutError:
            pass
