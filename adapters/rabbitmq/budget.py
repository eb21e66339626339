"""How many bytes a subscription on RabbitMQ may hold, where a consumer can be limited by a number of messages only.

Pure: it sends nothing. What comes beyond the budget is put aside without its body, and goes back once there is room, so
that the budget holds whatever comes. The number of messages that consumers may bring follows the sizes that were seen,
so that this is seldom needed.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from adapters.rabbitmq.inlet import Inlet

WINDOW_SECONDS = 10.0
"""A size counts for this long at least, and for as long again."""
ASIDE_SECONDS = 30.0
"""What was put aside goes back after this time in any case: another process may have room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Aside:
    """A message that was put aside: the broker has its body, and we the number under which it was delivered."""

    inlet: Inlet
    lane: str
    consumer: str
    tag: int
    size: int
    since: float


class Budget:
    """`used` of `size` bytes. A message larger than half of it counts as half: it has to pass some time."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._used: dict[str, int] = {}
        self._largest = self._before = 0
        self._window = 0.0
        self._aside: list[Aside] = []

    @property
    def messages(self) -> int:
        """How many messages fit in, of the largest that was seen lately; a power of two, so that it seldom changes."""
        fit = self._size // max(self._largest, self._before, 1)
        return 1 << max(0, fit.bit_length() - 1)

    def admits(self, lane: str, size: int, *, now: float) -> bool:
        """Whether there is room, and if so, take it. A lane that has nothing may always have one message."""
        if now - self._window > WINDOW_SECONDS:
            self._before, self._largest, self._window = self._largest, 0, now
        self._largest = max(self._largest, self._counted(size))
        if self._used.get(lane) and not self._fits(size, beside=0):
            return False
        self._used[lane] = self._used.get(lane, 0) + self._counted(size)
        return True

    def settled(self, lane: str, size: int) -> None:
        """A message that was admitted is gone."""
        self._used[lane] -= self._counted(size)

    def put_aside(self, message: Aside) -> None:
        """It was not admitted."""
        self._aside.append(message)

    @property
    def waits(self) -> bool:
        """Whether anything was put aside."""
        return bool(self._aside)

    def returning(self, now: float) -> Iterator[Aside]:
        """What may go back now: what there is room for, in its order, and what has waited for too long."""
        waiting, self._aside = self._aside, []
        promised = 0
        for message in waiting:
            free = not self._used.get(message.lane) and not promised
            if free or self._fits(message.size, beside=promised) or now - message.since > ASIDE_SECONDS:
                promised += self._counted(message.size)
                yield message
            else:
                self._aside.append(message)

    def lost(self) -> None:
        """The channel is gone, and what was put aside with it."""
        self._aside.clear()

    def _fits(self, size: int, *, beside: int) -> bool:
        return sum(self._used.values()) + beside + self._counted(size) <= self._size

    def _counted(self, size: int) -> int:
        return min(size, self._size // 2)
