"""Places for calls that are under way: what hangs for one kind of request leaves places for the others."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from itertools import islice

Lane = tuple[str, str | None]
"""Namespace and service of a request."""

SLOW_SECONDS = 0.8
"""Seconds after which a call counts as slow."""
STUCK_SECONDS = 20.0
"""Seconds in which no call ends, after which a request that waits for a place goes back to the broker, perhaps for
another process. Longer than a call usually may take (`JOBRELAY_KUBE_TIMEOUT`)."""
HANGING_DELAY = 30.0
"""Seconds until a request is offered again whose service or namespace has calls that hang."""
_MARGIN = 0.01


class NoSlot(Exception):
    """The call did not begin, and will not soon. `delay`: seconds until its request may be offered again."""

    def __init__(self, message: str, *, delay: float) -> None:
        super().__init__(message)
        self.delay = delay


class Place:
    """A call that is under way, until the block ends."""

    __slots__ = ("_slots", "lane", "since")

    def __init__(self, slots: "LaneSlots", lane: Lane) -> None:
        self._slots = slots
        self.lane = lane
        self.since = time.monotonic()

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None:
        self._slots.free(self)


class LaneSlots:
    """At most `total` calls are under way. One lane leaves a sixteenth of the places free, a slow one three quarters.

    A lane is slow if its calls are, but only if a plain Job of its namespace is judged at once (`well`): otherwise the
    API server is slow as a whole, and everybody waits, in order. With one place there is nothing to share.
    It is no more than a sixteenth because nearly all calls may be of one lane, and then those places are never used.
    """

    def __init__(self, total: int, *, well: Callable[[str], Awaitable[bool]]) -> None:
        self._total = total
        self._most = max(1, total - max(1, total // 16))
        self._most_slow = max(1, total // 4)
        self._well = well
        self._leaving = False
        self._calls = 0
        # Of each lane its calls, the oldest first.
        self._begun: dict[Lane, dict[Place, None]] = {}
        # Who waits, in order: for which lane, and until when (the loop's time).
        self._waiting: dict[asyncio.Future[Place | None], tuple[Lane, float]] = {}
        self._alarm: asyncio.TimerHandle | None = None
        self._ended = 0.0

    async def place(self, lane: Lane) -> Place:
        """A place for a call of this lane, to be used with `with`. Waits for it; raises `NoSlot`."""
        if self._fits(lane) and not self._is_slow(lane):
            return self._taken(lane)
        came = time.monotonic()
        while True:
            if self._is_slow(lane) and await self._well(lane[0]):
                raise NoSlot("too many calls for Jobs of this service hang", delay=HANGING_DELAY)
            # Asked anew: it may have taken a while to find out.
            if self._fits(lane):
                return self._taken(lane)
            if self._is_hopeless(came):
                raise NoSlot("no place is free for its call", delay=0.0)
            if (place := await self._wait(lane)) is not None:
                return place

    def free(self, place: Place) -> None:
        """Its call has ended. Its place goes to the first who waits and may have it."""
        self._calls -= 1
        self._ended = time.monotonic()
        begun = self._begun[place.lane]
        del begun[place]
        if not begun:
            del self._begun[place.lane]
        for waiter, (lane, _) in self._waiting.items():
            if waiter.done() or not self._fits(lane):
                continue
            if not self._is_slow(lane):
                waiter.set_result(self._taken(lane))
                return
            # Whether it may wait at all has to be found out first.
            waiter.set_result(None)

    def leave(self) -> None:
        """We are shutting down: what finds all places taken goes back to the broker, at once."""
        self._leaving = True
        for waiter in self._waiting:
            _end(waiter)

    def _is_hopeless(self, came: float) -> bool:
        """Whether whoever has waited since `came` need not go on waiting."""
        if self._leaving and self._calls >= self._total:
            return True
        patience = SLOW_SECONDS if self._leaving else STUCK_SECONDS
        return time.monotonic() - max(came, self._ended) >= patience

    def _fits(self, lane: Lane) -> bool:
        begun = self._begun.get(lane)
        return self._calls < self._total and (begun is None or len(begun) < self._most)

    def _taken(self, lane: Lane) -> Place:
        place = Place(self, lane)
        self._calls += 1
        self._begun.setdefault(lane, {})[place] = None
        return place

    def _is_slow(self, lane: Lane) -> bool:
        """Whether calls of this lane that are slow have a quarter of all places."""
        return self._slow_in(lane) <= 0

    def _slow_in(self, lane: Lane) -> float:
        """Seconds until the lane is slow, unless calls of it end; infinite if it takes more calls for that."""
        begun = self._begun.get(lane)
        if begun is None or len(begun) < self._most_slow or self._total == 1:
            return float("inf")
        decisive = next(islice(begun, self._most_slow - 1, None))
        return decisive.since + SLOW_SECONDS - time.monotonic()

    async def _wait(self, lane: Lane) -> Place | None:
        """Wait for a place, but no longer than until it may be known that the lane is slow. None: look again."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Place | None] = loop.create_future()
        # Known to be slow already, it was not deferred because the API server is slow as a whole.
        slow_in = self._slow_in(lane)
        until = loop.time() + min(slow_in if slow_in > 0 else SLOW_SECONDS, SLOW_SECONDS) + _MARGIN
        self._waiting[waiter] = lane, until
        self._wake_at(until)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and (place := waiter.result()) is not None:
                self.free(place)
            raise
        finally:
            del self._waiting[waiter]

    def _wake_at(self, due: float) -> None:
        """Nearly all wait for a moment only: a timer for each would cost more than one that finds nobody left."""
        if self._alarm is not None:
            if self._alarm.when() <= due:
                return
            self._alarm.cancel()
        self._alarm = asyncio.get_running_loop().call_at(due, self._wake)

    def _wake(self) -> None:
        """End the waits whose time is over."""
        self._alarm = None
        now = asyncio.get_running_loop().time()
        for waiter, (_, until) in self._waiting.items():
            if until <= now:
                _end(waiter)
            elif not waiter.done():
                self._wake_at(until)


def _end(waiter: "asyncio.Future[Place | None]") -> None:
    if not waiter.done():
        waiter.set_result(None)
