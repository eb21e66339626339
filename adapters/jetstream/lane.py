"""Bookkeeping for a pull loop: what each lane requested, has here and knows to wait at the broker; what to request now.

Pure: it sends nothing.
"""

import itertools
import sys
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from adapters.base import Topic
from adapters.jetstream.delivery import Delivery
from adapters.lanes import Backoff


@dataclass(slots=True, kw_only=True)
class Lane:
    """A consumer. `unsettled` counts what is here, in `buffer` or handed out."""

    topic: Topic
    consumer: str
    weight: int
    buffer: deque[Delivery] = field(default_factory=deque)
    unsettled: int = 0
    held: int = 0
    """Bytes of what is unsettled."""
    backlog: int = 0
    """Messages that wait at the broker and are not requested yet, by what the last delivery said."""
    watch: str = ""
    """The pull request that waits for one message; empty when there is none."""
    grabs: dict[str, int] = field(default_factory=dict)
    """Pull requests for messages that are known to wait, in order, and how many each still brings."""
    coming: int = 0
    """The sum of `grabs`."""
    seen: float = 0.0
    """When the broker last sent something, by the loop's clock."""
    answered: bool = False
    """Whether the broker has sent anything good since it was first asked, or asked anew after a failure."""
    backoff: Backoff = field(default_factory=Backoff)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def taken(self) -> int:
        """Places of the prefetch in use."""
        return self.unsettled + self.coming + (1 if self.watch else 0)

    @property
    def outstanding(self) -> int:
        """Messages that are requested and have not come."""
        return self.coming + (1 if self.watch else 0)

    @property
    def requested(self) -> bool:
        """Whether the broker owes an answer."""
        return bool(self.watch) or self.coming > 0

    @property
    def idle(self) -> bool:
        """Whether nothing is known to wait and nothing is requested."""
        return not self.requested and self.backlog == 0

    def request(self, batch: int) -> str:
        """Record a pull request for `batch` messages (0: the watch), and name it."""
        name = str(next(self._numbers))
        if batch:
            self.grabs[name] = batch
            self.coming += batch
            self.backlog -= min(batch, self.backlog)
        else:
            self.watch = name
        return name

    def arrived(self, pending: int, *, again: bool, capacity: int) -> None:
        """A message came, and `pending` new messages wait behind it. Redeliveries (`again`) do not count in that."""
        if self.watch:
            self.watch = ""
        elif self.grabs:
            # The broker answers pull requests in order.
            name = next(iter(self.grabs))
            self.grabs[name] -= 1
            self.coming -= 1
            if not self.grabs[name]:
                del self.grabs[name]
        self.backlog = max(0, pending - self.coming)
        if again:
            # Redeliveries seldom come alone, and nothing says how many wait: request what there is room for.
            self.backlog = max(self.backlog, capacity)

    def ended(self, name: str) -> None:
        """The broker will bring no more for this pull request."""
        if name == self.watch:
            self.watch = ""
        self.coming -= self.grabs.pop(name, 0)

    def forget_requests(self) -> None:
        """Forget the pull requests: they went with the connection."""
        self.watch = ""
        self.grabs.clear()
        self.coming = 0
        self.backlog = 0

    def failed(self, now: float) -> None:
        """The broker refused: request again later, and later after each refusal."""
        self.backlog = 0
        self.backoff.failed(now)


def room(lanes: Sequence[Lane], *, max_bytes: int, largest: int) -> int:
    """How many messages may be requested now, though each may be the largest that the server takes.

    The watch of a lane that has nothing is beyond the budget, and does not count.
    """
    held = sum(lane.held for lane in lanes)
    coming = sum(lane.outstanding for lane in lanes if lane.taken > 1 or not lane.watch)
    return (max_bytes - held) // largest - coming


def wanting(lanes: Collection[Lane], *, capacity: int) -> bool:
    """Whether `plan` might request something. It is asked for each message, so it only counts."""
    free = capacity
    for lane in lanes:
        free -= lane.taken
    if free > 0:
        for lane in lanes:
            if (lane.backlog and free >= len(lane.buffer) + lane.coming) or lane.idle:
                return True
    return False


def plan(lanes: Sequence[Lane], *, capacity: int, now: float, room: int = sys.maxsize) -> list[tuple[Lane, int]]:
    """Which lanes request how much now (0: a watch), so that together they never take more than `capacity` places.

    Together they request no more than `room`, except that a lane which has nothing may always request one message:
    otherwise a large message could wait for ever, and those behind it.

    A lane without messages gets a single place, for its watch. The others share the rest by weight, with at least one
    place each; what a lane cannot use goes to the others. A lane requests again once at least half of its share is used
    up, so that under load each request is for many messages.
    """
    ready = [lane for lane in lanes if lane.backoff.resume_at <= now]
    free = capacity - sum(lane.taken for lane in lanes)
    pulls: list[tuple[Lane, int]] = []
    for lane in ready:
        if lane.idle and free > 0 and (room > 0 or not lane.taken):
            pulls.append((lane, 0))
            free -= 1
            room -= 1 if lane.taken else 0
    busy = [lane for lane in ready if lane.backlog > 0]
    places = capacity - (len(lanes) - len(busy))
    weights = sum(lane.weight for lane in busy)
    shares: list[int] = []
    for lane in busy:
        target = max(1, places * lane.weight // weights)
        shares.append(max(0, min(target - lane.taken, lane.backlog, free, max(room, 0 if lane.taken else 1))))
        free -= shares[-1]
        room -= shares[-1]
    for lane, share in zip(busy, shares, strict=True):
        more = min(lane.backlog - share, max(free, 0), max(room, 0))
        batch = share + more
        if batch and batch >= len(lane.buffer) + lane.coming:
            pulls.append((lane, batch))
            free -= more
            room -= more
    return pulls
