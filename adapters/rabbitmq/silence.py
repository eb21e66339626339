"""When a server that says nothing is taken for dead. Pure: it is told the time, and how often something came."""

import math

LATE_SECONDS = 1.0
"""What may lie between two looks. Of a longer gap, in which this process stood still, the rest is not held against the
server: what it said meanwhile has yet to be read."""


class Silence:
    """Of one connection. Times in seconds.

    `heartbeat`: a server that is well says something at least so often; one that need not (0) is never given up.
    """

    def __init__(self, *, limit: float, heartbeat: float, now: float) -> None:
        self._limit = max(limit, 2 * heartbeat) if heartbeat else math.inf
        self._doubtful = min(heartbeat + LATE_SECONDS, self._limit) if heartbeat else math.inf
        self._heard = 0
        self._looked_at = now
        self._doubted = False
        self.lasts = 0.0
        """So long it has said nothing."""

    def doubt(self) -> None:
        """It has not answered something in time: until it says anything at all, less is waited for."""
        self._doubted = True

    def is_final(self, heard: int, now: float) -> bool:
        """Whether to give it up. Ask often. `heard`: how often something came since the beginning."""
        if heard != self._heard:
            self._heard, self._doubted, self.lasts = heard, False, 0.0
        else:
            self.lasts += min(now - self._looked_at, LATE_SECONDS)
        self._looked_at = now
        return self.lasts >= (self._doubtful if self._doubted else self._limit)
