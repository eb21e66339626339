"""The request lanes, whose turn it is, and when a failing lane is tried again. Pure; shared by every adapter."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

HIGH, NORMAL, LOW = "high", "", "low"
LANES = (HIGH, NORMAL, LOW)
"""Keys of REQUESTS topics, the preferred lane first."""

WEIGHTS: Mapping[str, int] = {HIGH: 6, NORMAL: 3, LOW: 1}
"""While every lane has messages, six of ten are high, three normal, one low."""


SHORTEST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
"""Seconds. A broker that elects a new leader is away for seconds, so nobody waits for long after it is back."""


@dataclass(slots=True)
class Backoff:
    """When a lane whose broker refused it may be tried again: later after each failure."""

    failing: bool = False
    resume_at: float = 0.0
    _pause: float = SHORTEST_PAUSE

    def failed(self, now: float) -> None:
        """Try again after a pause, twice as long as the last one."""
        self.failing = True
        self.resume_at = now + self._pause
        self._pause = min(self._pause * 2, LONGEST_PAUSE)

    def recovered(self) -> bool:
        """The broker serves it. True when it did not before."""
        was_failing, self.failing = self.failing, False
        self._pause = SHORTEST_PAUSE
        return was_failing


class Turns:
    """Weighted turns: each lane that has messages goes as often as its weight says, so none starves.

    Stride scheduling: a lane's clock advances by 1/weight at each of its turns and the earliest clock goes next. A lane
    that was empty for a while does not save up turns: its clock is brought forward to now.
    """

    def __init__(self, weights: Mapping[str, int]) -> None:
        self._steps = {lane: 1 / weight for lane, weight in weights.items()}
        self._clocks = dict.fromkeys(weights, 0.0)
        self._now = 0.0

    def next(self, lanes: Iterable[str]) -> str:
        """Which of these lanes (at least one) goes next; of equals, the first."""
        clock, lane = min(
            ((max(self._clocks[lane], self._now), lane) for lane in lanes),
            key=lambda turn: turn[0],
        )
        self._now = clock
        self._clocks[lane] = clock + self._steps[lane]
        return lane
