"""Reply topics that refuse events: when each is tried again, and from when on its events go elsewhere at once."""

import asyncio
from dataclasses import dataclass

from adapters.base import BrokerUnavailable, Topic, TopicRefused

PAUSES = (3.0, 6.0)
"""Seconds between the tries on a topic that refuses. Together they outlast the election of a new leader, in which a
stream may look as if it was not there.
"""
REMEMBERED_SECONDS = 30.0
"""A topic that has refused all tries is refused at the first one for so long after the last refusal."""
UNFINISHED_SECONDS = 300.0
"""For so long tries count that are not all made: whoever makes them may have much else to do."""
MOST = 10_000
"""Topics that are remembered. With more, others are refused at the first try: requesters choose their names."""


class ReplyHeld(BrokerUnavailable):
    """A reply topic refuses, and is to be tried again in `retry_after` seconds, by this event or any other of it."""

    def __init__(self, topic: Topic, reason: str, retry_after: float) -> None:
        super().__init__(f"{topic}: {reason}; tried again in {retry_after:.1f} s")
        self.retry_after = retry_after


@dataclass(slots=True, kw_only=True)
class _Refusal:
    """Of a topic: how often in a row and why, when it may be tried again, and until when that counts (loop's time)."""

    reason: str
    tries: int = 0
    again: float = 0.0
    until: float = 0.0


class Replies:
    """The reply topics of one process that refuse, each with the name of its broker.

    All events of a topic share its tries, so that no more wait than those that come in the seconds between them.
    """

    def __init__(self) -> None:
        self._refusing: dict[tuple[str, Topic], _Refusal] = {}

    def check(self, broker: str, topic: Topic) -> None:
        """Raises `ReplyHeld` while nothing is to be tried."""
        refusal = self._refusing.get((broker, topic))
        if refusal is not None and (rest := refusal.again - _now()) > 0:
            raise ReplyHeld(topic, refusal.reason, rest)

    def taken(self, broker: str, topic: Topic) -> None:
        """It took an event."""
        self._refusing.pop((broker, topic), None)

    def refused(self, broker: str, topic: Topic, error: TopicRefused) -> None:
        """It refused an event. Raises `ReplyHeld` if it is to be tried again; else the event is to go elsewhere."""
        # An event that was under way at the same time as one that was refused is no try of its own.
        self.check(broker, topic)
        refusal = self._refusing.get((broker, topic))
        if refusal is None or refusal.until < _now():
            if not self._has_room():
                return
            refusal = self._refusing[broker, topic] = _Refusal(reason=error.reason)
        if refusal.tries == len(PAUSES):
            refusal.until = _now() + REMEMBERED_SECONDS
            return
        pause = PAUSES[refusal.tries]
        refusal.tries += 1
        refusal.again = _now() + pause
        refusal.until = refusal.again + UNFINISHED_SECONDS
        raise ReplyHeld(topic, error.reason, pause)

    def _has_room(self) -> bool:
        if len(self._refusing) >= MOST:
            now = _now()
            self._refusing = {topic: one for topic, one in self._refusing.items() if one.until >= now}
        return len(self._refusing) < MOST


def _now() -> float:
    return asyncio.get_running_loop().time()
