"""The request lanes and whose turn it is. Pure; shared by every adapter.

It does not fetch: an adapter asks which of the lanes that have something goes next.
"""

from collections.abc import Iterable, Mapping

HIGH, NORMAL, LOW = "high", "", "low"
LANES = (HIGH, NORMAL, LOW)
"""Keys of REQUESTS topics, the preferred one first."""

WEIGHTS: Mapping[str, int] = {HIGH: 6, NORMAL: 3, LOW: 1}
"""Of ten messages taken while every lane has some, six are high, three normal, one low."""


class Turns:
    """Weighted turns: each lane that has something goes as often as its weight says, so none starves.

    Stride scheduling: a lane's clock advances by 1/weight at each of its turns and the earliest clock goes next. A lane
    that was empty for a while does not save up turns: its clock is brought forward to now.
    """

    def __init__(self, weights: Mapping[str, int]) -> None:
        self._steps = {lane: 1 / weight for lane, weight in weights.items()}
        self._clocks = dict.fromkeys(weights, 0.0)
        self._now = 0.0

    def take(self, lanes: Iterable[str]) -> str:
        """The lane that goes next, of those given (at least one; the first of equals)."""
        clock, lane = min(
            ((max(self._clocks[lane], self._now), lane) for lane in lanes),
            key=lambda turn: turn[0],
        )
        self._now = clock
        self._clocks[lane] = clock + self._steps[lane]
        return lane
