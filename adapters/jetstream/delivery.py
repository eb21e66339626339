"""A message that JetStream delivered, and how it is settled there."""

import hashlib
import logging
import time
from collections.abc import Mapping
from typing import Protocol

import orjson
from cloudevents.core.v1.event import CloudEvent

from adapters import headers as stamps
from adapters.base import BrokerUnavailable, Topic
from adapters.jetstream.connection import Connection
from adapters.jetstream.errors import TooLarge
from adapters.jetstream.letters import Letters
from adapters.jetstream.message import Message
from adapters.jetstream.topology import NANOSECONDS
from events.cloudevent.binding import from_nats

logger = logging.getLogger(__name__)

ACK = b"+ACK"
EXTEND = b"+WPI"
_NO_HEADERS: Mapping[str, str] = {}


def nak(delay: float = 0.0) -> bytes:
    """The reply that gives a message back, to be delivered again after `delay` seconds."""
    if delay <= 0:
        return b"-NAK"
    return b"-NAK " + orjson.dumps({"delay": int(min(delay, stamps.LONGEST_DELAY) * NANOSECONDS)})


class Receipt:
    """What the reply subject of a delivery says.

    `$JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>`. A domain and an account may
    come before the stream, and then a random token at the end.
    """

    __slots__ = ("delivered", "number", "pending", "sequence", "stream", "time_ns")

    def __init__(self, reply: str) -> None:
        parts = reply.split(".")
        at = 2 if len(parts) == 9 else 4
        self.stream = parts[at]
        self.delivered = int(parts[at + 2])
        self.sequence = int(parts[at + 3])
        self.number = int(parts[at + 4])
        self.time_ns = int(parts[at + 5])
        self.pending = int(parts[at + 6])


class Owner(Protocol):
    """Who holds a delivery until it is settled: the subscription."""

    @property
    def connection(self) -> Connection: ...

    @property
    def letters(self) -> Letters: ...

    def forget(self, delivery: "Delivery") -> None:
        """It was settled."""
        ...


class Delivery:
    """See the port. Settling twice, or after the subscription ended, does nothing."""

    __slots__ = (
        "_headers",
        "_owner",
        "_reply",
        "_time_ns",
        "attempt",
        "body",
        "message_id",
        "settled",
        "size",
        "topic",
    )

    def __init__(
        self,
        owner: Owner,
        topic: Topic,
        message: Message,
        receipt: Receipt,
    ) -> None:
        self._owner = owner
        self._reply = message.reply
        self._headers = headers = message.headers or _NO_HEADERS
        self._time_ns = receipt.time_ns
        self.topic = topic
        self.body = message.data
        self.size = message.size
        self.settled = False
        self.message_id = f"{receipt.stream}/{receipt.sequence}"
        self.attempt = _attempt(headers, receipt.delivered) if headers else receipt.delivered

    @property
    def replays(self) -> int:
        """See the port."""
        return stamps.replays(self._headers)

    @property
    def waited(self) -> float:
        """See the port."""
        return stamps.waited(self._headers, time.time())

    def event(self, *, most: int | None = None) -> CloudEvent:
        """Raises `InvalidEvent`."""
        return from_nats(self._headers, self.body, most=most)

    async def ack(self) -> None:
        """Not confirmed: after a lost ack the message only comes again, and its effect is idempotent."""
        await self._settle(ACK)

    async def retry(self, delay: float) -> None:
        """Raises `BrokerUnavailable` when the copy was not stored: the delivery is still unsettled."""
        await self._again(delay, attempts=self.attempt)

    async def defer(self, delay: float) -> None:
        """Like `retry`, but this attempt does not count."""
        await self._again(delay, attempts=self.attempt - 1)

    async def _again(self, delay: float, *, attempts: int) -> None:
        if self.settled:
            return
        now = time.time()
        until = now + min(delay, stamps.LONGEST_DELAY) if delay > 0 else None
        headers = stamps.again(self._headers, attempts=attempts, until=until, now=now)
        headers["Nats-Msg-Id"] = self._new_id("again")
        try:
            await self._owner.letters.stores.store(self.topic, self.body, headers)
        except TooLarge:
            # Too close to the size limit for our headers. The original comes again instead, and counts as an attempt.
            await self._settle(nak(delay))
        else:
            await self._settle(ACK)

    async def reject(self, code: str, reason: str) -> None:
        """Raises `BrokerUnavailable` when the dead letter may be stored later: the delivery is still unsettled."""
        if self.settled:
            return
        headers = stamps.dead(self._headers, code=code, reason=reason, origin=self.message_id, attempts=self.attempt)
        await self._owner.letters.store(self.topic, self.body, headers, message_id=self._new_id("dead"))
        try:
            await self._owner.connection.request(self._reply, ACK)
        except BrokerUnavailable as error:
            # Below, the ack is sent or kept for the reconnect. At worst the message comes again, and its dead letter
            # is a duplicate.
            logger.debug("ack of dead letter %s not confirmed: %s", self.message_id, error)
            await self._settle(ACK)
        else:
            self._done()

    def _new_id(self, purpose: str) -> str:
        """For a copy, which would be dropped as a duplicate of the original under its id.

        It does not change from try to try, nor from process to process, so that a copy whose confirmation was lost is
        not stored twice. And nobody can guess it who does not see the message and the nanosecond when it was stored:
        whoever had published something under it before would have the server drop the copy, and us acknowledge the
        original.
        """
        secret = hashlib.sha256(b"%d/" % self._time_ns + self.body).hexdigest()[:32]
        return f"{purpose}/{self.message_id}/{secret}"

    async def give_back(self) -> None:
        """Have it delivered again at once."""
        await self._settle(nak())

    async def extend(self) -> None:
        """Have the broker wait for another `ack_wait`, from now."""
        if not self.settled:
            self._owner.connection.send(self._reply, EXTEND, keep=False)

    async def _settle(self, verb: bytes) -> None:
        if not self.settled:
            self._done()
            # Written each alone, acks cost more than all else that the client does for a message.
            self._owner.connection.send(self._reply, verb, lazy=verb == ACK)

    def _done(self) -> None:
        self.settled = True
        self._owner.forget(self)


def _attempt(headers: Mapping[str, str], delivered: int) -> int:
    # A message that had to wait was given back at its first arrival, which was no attempt.
    waited = stamps.NOT_BEFORE in headers and delivered > 1
    return stamps.attempts_before(headers) + (delivered - 1 if waited else delivered)
