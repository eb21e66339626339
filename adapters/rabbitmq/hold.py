"""How long a delivery may stay unsettled, and which deliveries RabbitMQ took back all the same. It sends nothing.

RabbitMQ takes back all deliveries of a channel when one of them is unsettled for longer than `consumer_timeout`, and
counts each as delivered. While the API server is away deliveries only wait, so that must not use up their attempts.
"""

import logging
from collections import OrderedDict
from collections.abc import Collection

logger = logging.getLogger(__name__)

TIMEOUT_MS = 1_800_000
"""What we ask for with each consumer. RabbitMQ before 3.12 ignores it, and has it as its default."""
HOLD_AGAIN_SECONDS = 30.0
"""Hold of what was delivered before. RabbitMQ supports no consumer_timeout below a minute: so what was taken back from
one process is not taken back from the next as well, which cannot know why it was delivered before."""
_SAFE_PART = 0.5
_REMEMBERED = 10_000


class Hold:
    """`seconds`: what is unsettled for longer is stored again; less once RabbitMQ was seen to be less patient."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.taken_away = 0
        self._taken: OrderedDict[str, int] = OrderedDict()

    def of(self, attempt: int) -> float:
        """Seconds for which a delivery of this attempt may stay unsettled."""
        return self.seconds if attempt <= 1 else self.shortest

    @property
    def shortest(self) -> float:
        """The least of them."""
        return min(self.seconds, HOLD_AGAIN_SECONDS)

    def took_back(self, message_ids: Collection[str], *, timeout: float | None, oldest: float) -> None:
        """RabbitMQ closed a channel with these messages. `timeout` is its consumer_timeout, None where it did not say.

        `oldest`: for how long the oldest of them was unsettled, in seconds.
        """
        self.seconds = min(self.seconds, _SAFE_PART * (timeout or oldest))
        self.taken_away += len(message_ids)
        for message_id in message_ids:
            self.returned(message_id)
        logger.warning(
            "RabbitMQ took back %d message(s): its consumer_timeout%s is over. Set consumer_timeout in rabbitmq.conf "
            "to %d, which is its default. Until then what is unsettled for %.3g s is stored again; it is not counted "
            "as an attempt, and neither is what was taken back",
            len(message_ids),
            f" of {timeout:g} s" if timeout else "",
            TIMEOUT_MS,
            self.seconds,
        )

    def returned(self, message_id: str) -> None:
        """It goes back though nobody has tried it, which is no attempt."""
        self._taken[message_id] = self._taken.pop(message_id, 0) + 1
        if len(self._taken) > _REMEMBERED:
            self._taken.popitem(last=False)

    def forgiven(self, message_id: str) -> int:
        """How many deliveries of this message to this process were no attempts. A process that dies forgives none."""
        return self._taken.get(message_id, 0)

    def settled(self, message_id: str) -> None:
        """It will not come again."""
        self._taken.pop(message_id, None)
