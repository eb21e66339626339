"""Reads the stream queue of lifecycle events on RabbitMQ from an offset on. Reading a stream consumes nothing."""

import asyncio
import logging
import re
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from adapters.base import BrokerUnavailable, Cursor, Kind, Record, Topic, digest_of
from adapters.rabbitmq import message as messages
from adapters.rabbitmq.client import Channel, Delivered, ServerRefused, received
from adapters.rabbitmq.connection import Connection, close_channel
from adapters.rabbitmq.dead import DeadLetters, NewDeadLetters, none
from adapters.rabbitmq.message import record_of
from adapters.rabbitmq.topology import QueueNames
from adapters.rabbitmq.wire.content import Message
from adapters.topics import require_history, selects

logger = logging.getLogger(__name__)

PREFETCH = 200
RETRY_SECONDS = 0.5
QUIET_SECONDS = 0.1
EMPTY_SECONDS = 0.5
LONGEST_SECONDS = 2.0
SILENT_SECONDS = 2.0
_OFFSET = "x-stream-offset"
_ELSEWHERE = re.compile("does not have a (running )?replica on the local node")
_LARGEST = (1 << 63) - 1


class Elsewhere(BrokerUnavailable):
    """Other nodes of the cluster have the stream. Over AMQP each node lets only its own member be read."""


class StreamReader:
    """One channel with one consumer of the stream; deliveries in order."""

    def __init__(self, connection: Connection, queue: str) -> None:
        self._connection = connection
        self._queue = queue
        self._channel: Channel | None = None
        self._arrived: deque[Message] = deque()
        self._heard = asyncio.Event()
        self._cancelled = False

    @property
    def lost(self) -> bool:
        """Whether nothing more will come."""
        return self._channel is None or self._channel.is_closed or self._cancelled

    async def attach(self, offset: str | int) -> None:
        """Begin at `first`, `last` (the last chunk), `next` or an offset. Raises `BrokerUnavailable`."""
        await self.close()
        self._arrived.clear()
        self._cancelled = False
        channel = self._channel = await self._connection.open_channel()
        channel.on_consumer_cancel_callbacks.add(self._on_cancelled)
        channel.closing.add_done_callback(lambda _: self._heard.set())

        async def on_message(delivered: Delivered) -> None:
            message = received(delivered)
            if message is not None and channel is self._channel:
                self._arrived.append(message)
                self._heard.set()

        try:
            async with self._connection.answered(f"reading {self._queue}"):
                await channel.basic_qos(prefetch_count=PREFETCH)
                await channel.basic_consume(self._queue, on_message, arguments={_OFFSET: offset})
        except ServerRefused as error:
            if _ELSEWHERE.search(error.text):
                raise Elsewhere(
                    f"{self._queue} cannot be read from the RabbitMQ node that this process is connected to, which has "
                    "no running member of it: `rabbitmq-streams add_replica` gives it one"
                ) from error
            raise

    def _on_cancelled(self, frame: object) -> None:
        self._cancelled = True
        self._heard.set()

    async def next(self, timeout: float) -> Message | None:
        """The next message; None when none came in time, or none will come."""
        if not self._arrived and not self.lost:
            self._heard.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await self._heard.wait()
        if not self._arrived:
            return None
        message = self._arrived.popleft()
        channel = self._channel
        if channel is not None and not channel.is_closed:
            with suppress(BrokerUnavailable):
                async with self._connection.answered("ack"):
                    await channel.basic_ack(message.tag, wait=False)
        return message

    async def close(self) -> None:
        """Never raises."""
        channel, self._channel = self._channel, None
        if channel is not None:
            await close_channel(channel)


def offset_of(message: Message) -> int:
    """Its position in the stream."""
    return int(messages.headers_of(message).get(_OFFSET, 0))


async def last_offset(connection: Connection, queue: str) -> int:
    """The offset of the last message; -1 for an empty stream. The broker only says where the last chunk begins."""
    reader = StreamReader(connection, queue)
    await reader.attach("last")
    try:
        last = -1
        loop = asyncio.get_running_loop()
        until = loop.time() + LONGEST_SECONDS
        while loop.time() < until:
            message = await reader.next(QUIET_SECONDS if last >= 0 else EMPTY_SECONDS)
            if message is None:
                break
            last = offset_of(message)
        return last
    finally:
        await reader.close()


class Lifecycle:
    """Iterates lifecycle records. When it follows, it goes on after the last record once a lost connection is back.

    It begins again at the record that it read last. When another record is there, or none, the stream was deleted and
    declared again.
    """

    def __init__(self, connection: Connection, names: QueueNames, *, key: str | None, follow: bool) -> None:
        self._connection = connection
        self._queue = names.queue(Topic(Kind.LIFECYCLE))
        self._reader = StreamReader(connection, self._queue)
        self._selects = selects(key)
        self._follow = follow
        self._last: int | None = None
        self._read = -1
        self._seen: tuple[int, str] | None = None
        self._resuming = False
        self._told = False

    async def open(self, *, new_only: bool, after: Cursor | None) -> None:
        """Raises `BrokerUnavailable` when there is no stream."""
        if not self._follow:
            self._last = -1 if new_only else await last_offset(self._connection, self._queue)
        if (
            after is not None
            and not after.stream
            and 0 <= after.sequence <= (_LARGEST if self._last is None else self._last)
        ):
            self._seen = after.sequence, after.digest
        self._resuming = self._seen is not None
        await self._reader.attach("next" if new_only else self._place)

    def __aiter__(self) -> AsyncIterator[Record]:
        return self

    async def __anext__(self) -> Record:
        while self._last is None or self._read < self._last:
            message = await self._reader.next(SILENT_SECONDS)
            if message is None:
                if self._last is not None and not self._reader.lost:
                    # The last record has expired meanwhile.
                    break
                await self._resume()
            elif await self._is_new(message) and (record := self._record(message)):
                return record
        raise StopAsyncIteration

    async def close(self) -> None:
        """Never raises."""
        await self._reader.close()

    async def _is_new(self, message: Message) -> bool:
        offset, digest = offset_of(message), digest_of(message.body)
        if self._resuming and self._seen is not None and offset <= self._seen[0]:
            if (offset, digest) == self._seen:
                self._resuming, self._read = False, offset
            elif offset == self._seen[0]:
                await self._begin()
            return False
        if offset <= self._read and not self._resuming:
            return False
        self._resuming = False
        self._read, self._seen = offset, (offset, digest)
        return self._last is None or offset <= self._last

    def _record(self, message: Message) -> Record | None:
        key = message.key
        if not self._selects(key):
            return None
        return record_of(message, Topic(Kind.LIFECYCLE, key), offset_of(message))

    async def _resume(self) -> None:
        if not self._reader.lost and not self._resuming:
            return
        if not self._follow:
            raise BrokerUnavailable(f"reading {self._queue}: the connection was lost")
        if self._reader.lost or self._seen is None:
            await self._attach()
            return
        # Not even the record that was read last has come.
        try:
            last = await last_offset(self._connection, self._queue)
        except BrokerUnavailable as error:
            logger.debug("history of %s: %s", self._queue, error)
            return
        if last < self._seen[0]:
            await self._begin()

    async def _begin(self) -> None:
        """Nothing is known of the stream any more: read all of it."""
        self._seen, self._read = None, -1
        await self._attach()

    async def _attach(self) -> None:
        self._resuming = self._seen is not None
        try:
            await self._reader.attach(self._place)
        except BrokerUnavailable as error:
            if not self._follow:
                raise
            # Of a lost connection, the connection tells.
            level = logging.WARNING if isinstance(error, Elsewhere) and not self._told else logging.DEBUG
            logger.log(level, "history of %s: %s", self._queue, error)
            self._told = self._told or level == logging.WARNING
            await self._reader.close()
            await asyncio.sleep(RETRY_SECONDS)
        else:
            self._told = False

    @property
    def _place(self) -> str | int:
        return "first" if self._seen is None else self._seen[0]


@asynccontextmanager
async def history(
    connection: Connection,
    names: QueueNames,
    kind: Kind,
    *,
    key: str | None,
    follow: bool,
    new_only: bool,
    after: Cursor | None,
) -> AsyncIterator[AsyncIterator[Record]]:
    """See the port's `Log`."""
    require_history(kind, new_only=new_only, after=after)
    reader: Lifecycle | DeadLetters | NewDeadLetters
    if kind is Kind.LIFECYCLE:
        reader = Lifecycle(connection, names, key=key, follow=follow)
        opening = reader.open(new_only=new_only, after=after)
    elif follow:
        reader = NewDeadLetters(connection, names, key=key, new_only=new_only)
        opening = reader.open()
    else:
        reader = DeadLetters(connection, names, key=key)
        opening = reader.open()
    try:
        await opening
        yield none() if kind is Kind.DEAD and new_only and not follow else reader
    finally:
        await reader.close()
