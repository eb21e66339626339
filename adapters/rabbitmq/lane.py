"""How the request lanes share one prefetch on RabbitMQ, where that of each consumer is fixed. Pure: it sends nothing.

Each lane always has a *watch*, a consumer of one message, so that a message on an idle lane arrives at once. The rest
of the prefetch goes to the lanes with a backlog, by weight, each as a *bulk* consumer; when other lanes have a
backlog, bulk consumers are cancelled, and started again with other sizes.
"""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from adapters.base import Topic
from adapters.lanes import Backoff
from adapters.rabbitmq.delivery import Delivery

BUSY_SECONDS = 2.0
"""A lane keeps its share for this long after a backlog was last seen."""


@dataclass(slots=True, kw_only=True)
class Lane:
    """A queue and its consumers, which are known by their tags."""

    topic: Topic
    queue: str
    weight: int
    buffer: deque[Delivery] = field(default_factory=deque)
    watch: str = ""
    bulk: str = ""
    size: int = 0
    """The prefetch of the bulk consumer; 0 without one."""
    unsettled: Counter[str] = field(default_factory=Counter)
    """How many deliveries of each consumer are unsettled, cancelled consumers included."""
    busy_at: float = float("-inf")
    backoff: Backoff = field(default_factory=Backoff)

    @property
    def taken(self) -> int:
        """Places of the prefetch in use: what consumers may bring, and what cancelled consumers have brought."""
        ended = self.unsettled.total() - self.unsettled[self.watch] - self.unsettled[self.bulk]
        return 1 + self.size + ended

    @property
    def saturated(self) -> bool:
        """Whether all that its consumers may bring has come, so that more may wait at the broker."""
        return bool(self.watch) and self.unsettled[self.watch] >= 1 and self.unsettled[self.bulk] >= self.size

    def settled(self, tag: str) -> None:
        """A delivery of this consumer is settled."""
        self.unsettled[tag] -= 1
        if self.unsettled[tag] <= 0:
            del self.unsettled[tag]

    def lost(self) -> None:
        """Its consumers are gone."""
        self.watch = self.bulk = ""
        self.size = 0

    def failed(self, now: float) -> None:
        """It cannot be consumed: try again later, and later after each failure."""
        self.lost()
        self.backoff.failed(now)


def shares(lanes: Sequence[Lane], *, prefetch: int, now: float) -> Mapping[str, int]:
    """The size of the bulk consumer for each lane's key. Idle lanes get none, unless all are idle."""
    spare = prefetch - 1
    busy = [lane for lane in lanes if now - lane.busy_at < BUSY_SECONDS] or list(lanes)
    weights = sum(lane.weight for lane in busy)
    sizes = {lane.topic.key: spare * lane.weight // weights for lane in busy}
    sizes[busy[0].topic.key] += spare - sum(sizes.values())
    return sizes


@dataclass(frozen=True, slots=True)
class Plan:
    """Bulk consumers to cancel now, and to start, with their sizes."""

    end: list[Lane]
    begin: list[tuple[Lane, int]]


def plan(lanes: Sequence[Lane], *, prefetch: int, now: float) -> Plan:
    """Never takes more than `prefetch` places and one for each further lane. Without any backlog nothing changes."""
    idle = all(now - lane.busy_at >= BUSY_SECONDS for lane in lanes)
    if idle and any(lane.bulk for lane in lanes):
        return Plan([], [])
    wanted = shares(lanes, prefetch=prefetch, now=now)
    end = [lane for lane in lanes if lane.bulk and lane.size != wanted.get(lane.topic.key, 0)]
    free = prefetch + len(lanes) - 1 - sum(lane.taken for lane in lanes)
    begin: list[tuple[Lane, int]] = []
    for lane in lanes:
        size = wanted.get(lane.topic.key, 0)
        # A cancelled bulk consumer frees its places only as its deliveries are settled.
        if lane.watch and not lane.bulk and 0 < size <= free:
            begin.append((lane, size))
            free -= size
    return Plan(end, begin)
