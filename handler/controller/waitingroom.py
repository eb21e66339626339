"""Where control events wait for their request: a few in this process, the others at the broker. Sends nothing."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

SEATS = 128
"""Control events that wait here at a time: half of those that the broker hands out, so that others always come."""
SHORTEST, LONGEST = 2.0, 60.0
"""Seconds that one waits at the broker."""
LOOKS_A_SECOND = 100.0
"""Control events that come back from the broker, at most: the more wait there, the longer each."""


class PutBack(Exception):
    """The control event has to wait at the broker for `delay` seconds. `counts`: that is an attempt.

    `why`: what keeps it from being carried out, in words that follow a colon.
    """

    def __init__(self, delay: float, *, counts: bool = False, why: str = "others need its place") -> None:
        super().__init__(f"put back for {delay:.3g} s: {why}")
        self.delay = delay
        self.counts = counts
        self.why = why


@dataclass(slots=True, eq=False)
class Seat:
    """`news` is set when there is a reason to look again. `lost`: somebody else needs the seat."""

    news: asyncio.Event = field(default_factory=asyncio.Event)
    lost: bool = False


class WaitingRoom:
    """Seats for those that wait. When all are taken, the group with the most of them gives up its oldest."""

    def __init__(self, seats: int = SEATS, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._seats = seats
        self._clock = clock
        self._groups: dict[str, dict[Seat, None]] = {}
        self._taken = 0
        self._back_at = 0.0

    @contextmanager
    def seat(self, group: str) -> Iterator[Seat]:
        """A seat, for as long as the block lasts."""
        if self._taken >= self._seats:
            self._clear_one()
        seat = Seat()
        self._groups.setdefault(group, {})[seat] = None
        self._taken += 1
        try:
            yield seat
        finally:
            self._leave(group, seat)

    def delay(self) -> float:
        """Seconds to wait at the broker."""
        now = self._clock()
        self._back_at = min(max(now + SHORTEST, self._back_at + 1 / LOOKS_A_SECOND), now + LONGEST)
        return self._back_at - now

    def _clear_one(self) -> None:
        group = max(self._groups, key=lambda name: len(self._groups[name]))
        oldest = next(iter(self._groups[group]))
        oldest.lost = True
        oldest.news.set()
        self._leave(group, oldest)

    def _leave(self, group: str, seat: Seat) -> None:
        seats = self._groups.get(group, {})
        if seat in seats:
            del seats[seat]
            self._taken -= 1
            if not seats:
                del self._groups[group]
