"""Dead letters on RabbitMQ. They are in a quorum queue, which can only be read by fetching from it.

They are fetched one at a time, and go back when the reader is done, except those that were replayed or dropped.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext, suppress

from adapters import headers as stamps
from adapters.base import BrokerUnavailable, DeadLetter, Kind, Record, Topic, TopicRefused
from adapters.rabbitmq import message as messages
from adapters.rabbitmq.client import Channel, Delivered, ServerRefused, received
from adapters.rabbitmq.connection import Connection, close_channel
from adapters.rabbitmq.declare import Declarer
from adapters.rabbitmq.publisher import Publisher, forbidden, too_large
from adapters.rabbitmq.topology import QueueNames, reader
from adapters.rabbitmq.wire.content import Message
from adapters.topics import origin, selects

logger = logging.getLogger(__name__)

RETRY_SECONDS = 0.5
LOOK_SECONDS = 0.05
POLL_SECONDS = 0.01
BACK_SECONDS = 5.0
_LOCKED = 405


class DeadLetters:
    """Fetches dead letters and iterates their records. What was fetched and not removed goes back at `close`."""

    def __init__(self, connection: Connection, names: QueueNames, *, key: str | None) -> None:
        self._connection = connection
        self._names = names
        self._queue = names.queue(Topic(Kind.DEAD))
        self._declarer = Declarer(connection, names)
        self._selects = selects(key)
        self._channel: Channel | None = None
        self._left = 0
        self._fetched: set[int] = set()
        self._locked = False
        self._reader = reader(self._queue)

    async def open(self) -> None:
        """Raises `BrokerUnavailable`, also when somebody else is reading and does not go on."""
        waited, before = 0.0, -1
        while not await self._lock():
            ready = await self._ready()
            # A slow reader still takes letters. The time of answers to us does not count: those to the other reader are
            # just as slow.
            waited = 0.0 if ready < before else waited + LOOK_SECONDS
            before = ready
            if waited > self._connection.options.publish_timeout:
                raise BrokerUnavailable(f"somebody else is reading {self._queue}")
            await asyncio.sleep(LOOK_SECONDS)
        self._left = await self._ready()

    async def _lock(self) -> bool:
        """False while another reader is there: of two at once, neither would see all letters.

        The lock is an exclusive queue, which goes with the connection.
        """
        if self._connection.reading:
            return False
        self._connection.reading = self._locked = True
        channel = self._channel = await self._connection.open_channel()
        try:
            async with self._connection.answered(f"reading {self._queue}"):
                await channel.queue_declare(self._reader, exclusive=True)
        except ServerRefused as error:
            if error.code == _LOCKED:
                self._connection.reading = self._locked = False
                return False
            raise
        return True

    async def _ready(self) -> int:
        ready = await self._declarer.ready(self._queue)
        if ready is None:
            raise BrokerUnavailable(f"missing on the broker: queue {self._queue}")
        return ready

    def __aiter__(self) -> AsyncIterator[Record]:
        return self

    async def __anext__(self) -> Record:
        while message := await self.fetch():
            record = _record(self._names, message)
            if self._selects(record.topic.key):
                return record
        raise StopAsyncIteration

    async def fetch(self) -> Message | None:
        """The next message, unsettled until `remove` or `close`; None after the last. Raises `BrokerUnavailable`."""
        if self._left <= 0 or self._channel is None:
            return None
        self._left -= 1
        async with self._connection.answered(f"reading {self._queue}"):
            message = received(await self._channel.basic_get(self._queue))
        if message is None:
            self._left = 0
            return None
        self._fetched.add(message.tag)
        return message

    async def remove(self, message: Message) -> None:
        """Return once the server knows that it is settled. Raises `BrokerUnavailable`: then it may be there still."""
        async with self._connection.answered(f"removing from {self._queue}"):
            if self._channel is None or self._channel.is_closed:
                raise BrokerUnavailable("the channel was closed")
            await self._channel.basic_ack(message.tag)
            # An ack has no reply. The reply to a method behind it, on the same channel, tells that it was read.
            await self._channel.basic_qos(prefetch_count=0)
        self._fetched.discard(message.tag)

    async def close(self) -> None:
        """Give back what was fetched, in its order. Never raises."""
        try:
            if self._channel is not None:
                await self._leave(self._channel)
        finally:
            if self._locked:
                self._connection.reading = self._locked = False

    async def _leave(self, channel: Channel) -> None:
        if self._fetched and not channel.is_closed:
            try:
                await self._give_back(channel)
            except BrokerUnavailable:
                # They go back with it.
                await close_channel(channel)
        self._channel = None
        if self._locked:
            with suppress(BrokerUnavailable):
                await self._unlock(channel)
        await close_channel(channel)

    async def _unlock(self, channel: Channel) -> None:
        # Also when the channel was closed: the lock stays with the connection, and would look like another reader.
        using = self._connection.channel() if channel.is_closed else nullcontext(channel)
        async with using as deleting, self._connection.answered("closing"):
            await deleting.queue_delete(self._reader)

    async def _give_back(self, channel: Channel) -> None:
        # Messages that go back go behind those still in the queue: only by fetching all do we keep their order.
        while await self.fetch():
            pass
        async with self._connection.answered("giving back"):
            await channel.basic_nack(max(self._fetched), multiple=True, requeue=True)
        # The queue takes its time for that; until then the next reader would miss some.
        for _ in range(round(BACK_SECONDS / POLL_SECONDS)):
            if await self._ready() >= len(self._fetched):
                break
            await asyncio.sleep(POLL_SECONDS)


class Letter:
    """See the port's `DeadLetter`."""

    def __init__(self, reader: DeadLetters, publisher: Publisher, names: QueueNames, *, message: Message) -> None:
        self.record = _record(names, message)
        self._reader = reader
        self._publisher = publisher
        self._names = names
        self._message = message
        self._gone = False

    async def replay(self) -> None:
        """See the port."""
        if self._gone:
            return
        topic = origin(self.record.topic)
        properties = messages.replayed(self._message)
        try:
            await self._publisher.store(self._names.exchange(topic.kind), topic.key, self.record.body, properties)
        except ServerRefused as error:
            if too_large(error) or forbidden(error):
                raise TopicRefused(topic, str(error), too_large=too_large(error)) from error
            raise
        await self.drop()

    async def drop(self) -> None:
        """See the port."""
        if not self._gone:
            await self._reader.remove(self._message)
            self._gone = True


@asynccontextmanager
async def dead_letters(
    connection: Connection, publisher: Publisher, names: QueueNames
) -> AsyncIterator[AsyncIterator[DeadLetter]]:
    """See the port's `DeadLetters`."""
    reader = DeadLetters(connection, names, key=None)
    try:
        await reader.open()
        yield _letters(reader, publisher, names)
    finally:
        await reader.close()


async def _letters(reader: DeadLetters, publisher: Publisher, names: QueueNames) -> AsyncIterator[DeadLetter]:
    while message := await reader.fetch():
        yield Letter(reader, publisher, names, message=message)


class NewDeadLetters:
    """Iterates dead letters and goes on with new ones, which come to a temporary queue bound beside the real queue."""

    def __init__(self, connection: Connection, names: QueueNames, *, key: str | None, new_only: bool) -> None:
        self._connection = connection
        self._names = names
        self._key = key
        self._new_only = new_only
        self._seen: set[int] = set()
        self._buffer: deque[Record] = deque()
        self._channel: Channel | None = None
        self._heard = asyncio.Event()

    async def open(self) -> None:
        """Raises `BrokerUnavailable`."""
        await self._attach(listing=not self._new_only)

    def __aiter__(self) -> AsyncIterator[Record]:
        return self

    async def __anext__(self) -> Record:
        while not self._buffer:
            if self._channel is None or self._channel.is_closed:
                try:
                    await self._attach(listing=True)
                except BrokerUnavailable as error:
                    logger.debug("following the dead letters: %s", error)
                    await asyncio.sleep(RETRY_SECONDS)
                continue
            self._heard.clear()
            await self._heard.wait()
        return self._buffer.popleft()

    async def close(self) -> None:
        """Never raises."""
        if self._channel is not None:
            await close_channel(self._channel)

    async def _attach(self, *, listing: bool) -> None:
        letters = DeadLetters(self._connection, self._names, key=self._key)
        channel = self._channel = await self._connection.open_channel()
        channel.closing.add_done_callback(lambda _: self._heard.set())
        wanted = selects(self._key)

        async def on_message(delivered: Delivered) -> None:
            message = received(delivered)
            if message is not None and wanted((record := _record(self._names, message)).topic.key):
                self._offer(record)

        async with self._connection.answered("following the dead letters"):
            made = await channel.queue_declare("", exclusive=True)
            await channel.queue_bind(str(made.queue), self._names.exchange(Kind.DEAD))
        if listing:
            try:
                await letters.open()
                async for record in letters:
                    self._offer(record)
            finally:
                await letters.close()
        async with self._connection.answered("following the dead letters"):
            await channel.basic_consume(str(made.queue), on_message, no_ack=True)

    def _offer(self, record: Record) -> None:
        if record.sequence not in self._seen:
            self._seen.add(record.sequence)
            self._buffer.append(record)
            self._heard.set()


async def none() -> AsyncIterator[Record]:
    """No dead letters at all."""
    nothing: tuple[Record, ...] = ()
    for record in nothing:
        yield record


def _record(names: QueueNames, message: Message) -> Record:
    ours = messages.died(message)
    key = names.origin(ours[stamps.ORIGIN]) if ours else message.key
    return messages.record_of(message, Topic(Kind.DEAD, key), messages.number_of(message), ours)
