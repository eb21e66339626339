"""A message that RabbitMQ delivered, and how it is settled there."""

import asyncio
import logging
import time
from typing import Protocol

from cloudevents.core.v1.event import CloudEvent

from adapters import headers as stamps
from adapters.base import Kind, Topic
from adapters.rabbitmq import message as messages
from adapters.rabbitmq.budget import Aside
from adapters.rabbitmq.client import ServerRefused
from adapters.rabbitmq.hold import Hold
from adapters.rabbitmq.inlet import Inlet
from adapters.rabbitmq.publisher import Publisher, too_large
from adapters.rabbitmq.topology import QueueNames, delay_for
from adapters.rabbitmq.wire.content import Message

logger = logging.getLogger(__name__)


class Owner(Protocol):
    """Who holds a delivery until it is settled: the subscription."""

    @property
    def publisher(self) -> Publisher: ...

    @property
    def names(self) -> QueueNames: ...

    @property
    def hold(self) -> Hold: ...

    def forget(self, delivery: "Delivery") -> None:
        """The broker has removed it, or has it back."""
        ...

    def free(self, delivery: "Delivery") -> None:
        """Its holder is done with it."""
        ...


class Delivery:
    """See the port. Settling twice, or after the subscription ended, does nothing.

    `settled`: there is nothing left to tell the broker. `released`: its holder, to whom it was handed out, is done with
    it, and its place is free. They differ where it was unsettled for so long that it was stored again, or where its
    channel was lost.
    """

    __slots__ = (
        "_inlet", "_message", "_owner", "_settling", "_text", "attempt", "body", "handed_out", "message_id",
        "released", "settled", "since", "size", "tag", "topic",
    )  # fmt: skip

    def __init__(self, owner: Owner, topic: Topic, *, inlet: Inlet, message: Message) -> None:
        self._owner = owner
        self._inlet = inlet
        self._message = message
        self._settling = asyncio.Lock()
        self._text = messages.text(messages.headers_of(message))
        self.topic = topic
        self.body = message.body
        self.size = len(self.body) + stamps.size(self._text)
        self.tag = message.consumer
        self.message_id = messages.name_of(message, owner.names.queue(topic))
        before = messages.delivered_before(message) - owner.hold.forgiven(self.message_id)
        self.attempt = stamps.attempts_before(self._text) + max(0, before) + 1
        self.since = asyncio.get_running_loop().time()
        self.handed_out = self.released = self.settled = False

    @property
    def rest(self) -> float:
        """Seconds until it may be handed out."""
        return stamps.rest(self._text, now=time.time())

    @property
    def replays(self) -> int:
        """See the port."""
        return stamps.replays(self._text)

    @property
    def waited(self) -> float:
        """See the port."""
        return stamps.waited(self._text, time.time())

    def event(self, *, most: int | None = None) -> CloudEvent:
        """Raises `InvalidEvent`."""
        return messages.event_of(self._message, most=most)

    async def ack(self) -> None:
        """Not confirmed: after a lost ack the message only comes again, and its effect is idempotent."""
        async with self._settling:
            self._ack()
            self._release()

    async def retry(self, delay: float) -> None:
        """Raises `BrokerUnavailable` when the copy was not stored: the delivery is still unsettled."""
        async with self._settling:
            await self._again(delay, attempts=self.attempt)
            self._release()

    async def defer(self, delay: float) -> None:
        """Like `retry`, but this attempt does not count."""
        async with self._settling:
            await self._again(delay, attempts=self.attempt - 1)
            self._release()

    async def reject(self, code: str, reason: str) -> None:
        """Raises `BrokerUnavailable` when the dead letter was not stored: the delivery is still unsettled."""
        async with self._settling:
            if not self._over():
                origin = str(self.topic)
                properties = messages.dead(
                    self._message, code=code, reason=reason, origin=self.message_id, attempts=self.attempt
                )
                exchange = self._owner.names.exchange(Kind.DEAD)
                await self._owner.publisher.store(exchange, origin, self.body, properties)
                self._ack()
            self._release()

    async def store_again(self) -> None:
        """Unsettled for too long: a copy waits instead, and the holder may go on. Raises `BrokerUnavailable`."""
        async with self._settling:
            await self._again(self.rest, attempts=self.attempt - 1)

    def give_back(self) -> None:
        """Have it delivered again at once. Counts as an attempt if it was handed out and the broker can tell that."""
        if not self._over():
            self._done()
            if self.handed_out:
                self._inlet.reject(self._message.tag)
            else:
                self._inlet.nack(self._message.tag)

    def aside(self) -> Aside:
        """What is kept of it while there is no room for it."""
        return Aside(
            inlet=self._inlet,
            lane=self.topic.key,
            consumer=self.tag,
            tag=self._message.tag,
            size=self.size,
            since=self.since,
        )

    def lose(self) -> None:
        """Its channel is gone: the broker has it back."""
        if not self.settled:
            self._done()

    async def _again(self, delay: float, *, attempts: int) -> None:
        if self._over():
            return
        names, topic = self._owner.names, self.topic
        key, delay = topic.key, min(delay, stamps.LONGEST_DELAY)
        if delay <= 0:
            exchange, until = names.exchange(topic.kind), None
        elif topic.kind is Kind.CONTROL:
            # The delay queues lead to the requests. Control events are few, and wait in the process that consumes them.
            exchange, until = names.exchange(topic.kind), time.time() + delay
        else:
            step = delay_for(delay)
            exchange, until = names.delay(step), (time.time() + delay if step < delay else None)
        properties = messages.again(self._message, attempts=attempts, until=until)
        try:
            await self._owner.publisher.store(exchange, key, self.body, properties)
        except ServerRefused as error:
            if not too_large(error):
                raise
            # The server's limit was lowered since the original was published. That comes again instead.
            self.give_back()
        else:
            self._ack()

    def _ack(self) -> None:
        if self._over():
            return
        self._done()
        self._owner.hold.settled(self.message_id)
        self._inlet.ack(self._message.tag)

    def _over(self) -> bool:
        # On a channel that was lost nothing can be settled: the broker delivers it again.
        if not self.settled and self._inlet.ended:
            self._done()
        return self.settled

    def _done(self) -> None:
        self.settled = True
        self._owner.forget(self)

    def _release(self) -> None:
        if not self.released:
            self.released = True
            self._owner.free(self)
