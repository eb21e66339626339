"""What one lane of a pull loop has asked for, has here and knows to wait at the broker; and who may ask for how much.

Pure bookkeeping: it sends nothing.
"""

import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from adapters.base import Topic
from adapters.jetstream.delivery import Delivery
from adapters.lanes import Backoff


@dataclass(slots=True, kw_only=True)
class Lane:
    """One consumer. `unsettled` counts what is here unsettled: in `buffer` or handed out."""

    topic: Topic
    consumer: str
    weight: int
    buffer: deque[Delivery] = field(default_factory=deque)
    unsettled: int = 0
    backlog: int = 0
    """Messages that wait at the broker and were not asked for yet, as the last delivery said."""
    watch: str = ""
    """The pull request that waits for one message; empty when there is none."""
    grabs: dict[str, int] = field(default_factory=dict)
    """Pull requests for messages that are there, in order, and how many each still brings."""
    coming: int = 0
    """The sum of `grabs`."""
    seen: float = 0.0
    """When the broker was last heard."""
    backoff: Backoff = field(default_factory=Backoff)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def taken(self) -> int:
        """Places of the prefetch in use."""
        return self.unsettled + self.coming + (1 if self.watch else 0)

    @property
    def requested(self) -> bool:
        """Whether the broker owes an answer."""
        return bool(self.watch) or self.coming > 0

    @property
    def idle(self) -> bool:
        """Nothing is known to wait, and nobody watches."""
        return not self.requested and self.backlog == 0

    def request(self, batch: int) -> str:
        """Note a pull request for `batch` messages (0: the watch) and name it."""
        name = str(next(self._numbers))
        if batch:
            self.grabs[name] = batch
            self.coming += batch
            self.backlog -= min(batch, self.backlog)
        else:
            self.watch = name
        return name

    def arrived(self, pending: int, *, again: bool, capacity: int) -> None:
        """A message came, and `pending` new ones wait behind it (those that are delivered `again` are not in it)."""
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
            # Where one comes again there are often more, and nothing says how many: look.
            self.backlog = max(self.backlog, capacity)

    def ended(self, name: str) -> None:
        """The broker will bring no more for this pull request."""
        if name == self.watch:
            self.watch = ""
        self.coming -= self.grabs.pop(name, 0)

    def forget_requests(self) -> None:
        """They went with the connection."""
        self.watch = ""
        self.grabs.clear()
        self.coming = 0
        self.backlog = 0

    def failed(self, now: float) -> None:
        """Ask again later, and ever later."""
        self.backlog = 0
        self.backoff.failed(now)


def plan(lanes: Sequence[Lane], *, capacity: int, now: float) -> list[tuple[Lane, int]]:
    """Who asks for how many now (0: for a watch), so that all lanes together never take more than `capacity` places.

    A lane without messages gets one place, to watch. The others share the rest by weight, at least one each; what one
    of them cannot use, the others get. A lane asks again once at least half of what it may have here is used up, so
    that under load a request is for many.
    """
    ready = [lane for lane in lanes if lane.backoff.resume_at <= now]
    free = capacity - sum(lane.taken for lane in lanes)
    pulls: list[tuple[Lane, int]] = []
    for lane in ready:
        if lane.idle and free > 0:
            pulls.append((lane, 0))
            free -= 1
    busy = [lane for lane in ready if lane.backlog > 0]
    room = capacity - (len(lanes) - len(busy))
    weights = sum(lane.weight for lane in busy)
    shares: list[int] = []
    for lane in busy:
        target = max(1, room * lane.weight // weights)
        shares.append(max(0, min(target - lane.taken, lane.backlog, free)))
        free -= shares[-1]
    for lane, share in zip(busy, shares, strict=True):
        more = min(lane.backlog - share, max(free, 0))
        batch = share + more
        if batch and batch >= len(lane.buffer) + lane.coming:
            pulls.append((lane, batch))
            free -= more
    return pulls
