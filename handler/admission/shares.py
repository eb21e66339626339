"""Who may add to the Jobs that wait: while others want places too, no service has more than half of them. Pure.

Jobs without a service count as one service, "".
"""

import math
from collections import Counter, deque
from collections.abc import Mapping
from enum import Enum, auto

import msgspec

WANTED_SECONDS = 600.0
"""A service that has asked for a place within this time wants places, whether it has any or not."""
_MOST_NAMED = 8
"""Services that the leader names at most. Where there are more, each of the others holds less than an eighth."""
_NOBODY = "/"
"""No service is called so."""


class Shares(msgspec.Struct, frozen=True, kw_only=True):
    """The services that hold most of the places of each kind, and how many."""

    queued: dict[str, int] = {}
    waiting: dict[str, int] = {}


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs of the installation: `queued` wait for room, `waiting` for a time, other requests or a `resume`.

    Stored on the Lease as JSON, for the handlers. A leader of an older version knows no `shares`.
    """

    queued: int = 0
    waiting: int = 0
    active: int = 0
    shares: Shares | None = None


class Bound(Enum):
    """What keeps a service from another place."""

    ALL = auto()
    """All places are taken."""
    ALONE = auto()
    """It has all places by itself, and nobody else is known to want any."""
    SHARE = auto()
    """It has its half, and others want places too."""


def half_of(places: int) -> int:
    """The share of a service, at least one place."""
    return max(1, places // 2)


def named(held: Mapping[str, int]) -> dict[str, int]:
    """The services that hold most: with what they take next, these may be beyond their half, which others have to know.

    Few, however many services there are: they go onto the Lease.
    """
    return dict(Counter(held).most_common(_MOST_NAMED))


class Places:
    """The places of one kind, as the leader counted them, and what was taken here since. Times: epoch seconds."""

    def __init__(self, places: int) -> None:
        self.half = half_of(places)
        self._places = places
        self._total = 0
        self._knows_shares = True
        self._held: Counter[str] = Counter()
        self._beyond: set[str] = set()
        self._recent: deque[tuple[float, str]] = deque()
        self._last = self._before = (_NOBODY, -math.inf)

    def counted(self, total: int, shares: Mapping[str, int] | None, *, until: float) -> None:
        """The leader counted these Jobs, with all that were created before `until`. `shares`: None if it knows none."""
        while self._recent and self._recent[0][0] < until:
            self._recent.popleft()
        self._total = total + len(self._recent)
        self._knows_shares = shares is not None
        self._held = Counter(shares or {})
        self._held.update(service for _, service in self._recent)
        self._beyond = {service for service, number in self._held.items() if number > self.half}

    def taken(self, service: str, now: float) -> None:
        """A Job was created here that takes a place."""
        self._recent.append((now, service))
        self._total += 1
        self._held[service] += 1
        if self._held[service] > self.half:
            self._beyond.add(service)

    def ask(self, service: str, now: float) -> Bound | None:
        """What keeps this service from another place, which it wants; None if nothing does."""
        if service != self._last[0]:
            self._before = self._last
        self._last = (service, now)
        own = self._held[service]
        if self._knows_shares and own >= self.half and (self._total > own or self._others_want(service, now)):
            return Bound.SHARE
        if not self._is_full_for(service):
            return None
        return Bound.ALONE if service in self._beyond and self._knows_shares else Bound.ALL

    def is_full(self) -> bool:
        """Whether nobody may have another place."""
        return self._is_full_for(_NOBODY)

    def _is_full_for(self, service: str) -> bool:
        """What other services hold beyond their half leaves this one its own."""
        others = self._beyond - {service} if self._knows_shares else ()
        return self._total - sum(self._held[other] - self.half for other in others) >= self._places

    def _others_want(self, service: str, now: float) -> bool:
        """Whether another service has asked lately. Two are remembered: who asked last, and who before."""
        _, at = self._before if service == self._last[0] else self._last
        return at >= now - WANTED_SECONDS
