"""Reads a stream on NATS JetStream without consuming it: an ephemeral consumer that acknowledges nothing.

When messages are missing, the connection was lost or the consumer is gone, it goes on with a new consumer, after the
last record that it gave. That record comes first again: when it is another one, the server has lost what it had stored.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

from adapters.base import BrokerUnavailable, Cursor, Kind, Record, Topic
from adapters.jetstream.client import Interest
from adapters.jetstream.connection import Connection
from adapters.jetstream.delivery import Receipt
from adapters.jetstream.message import Message
from adapters.jetstream.topology import NANOSECONDS, StreamNames
from adapters.topics import require_history
from events.cloudevent.binding import from_nats

logger = logging.getLogger(__name__)

BATCH = 200
EXPIRES_SECONDS = 30
HEARTBEAT_SECONDS = 2
SILENT_SECONDS = 2.5 * HEARTBEAT_SECONDS
IDLE_SECONDS = 60
"""The server removes a consumer from which nothing was requested for this long."""
RETRY_SECONDS = 0.5
LOOK_SECONDS = 2.0
"""Who goes on following waits so long for the state of the stream, and asks again: in an election nobody answers."""
_BATCH_BYTES = 4 << 20


class History:
    """Iterates records. Use `history()`."""

    def __init__(
        self, connection: Connection, names: StreamNames, kind: Kind, *, key: str | None, follow: bool
    ) -> None:
        self._connection = connection
        self._names = names
        self._kind = kind
        self._stream = names.stream(kind)
        self._filter = _filter(names, kind, key)
        self._follow = follow
        self._buffer: deque[Record] = deque()
        self._next = 1
        self._before: Cursor | Record | None = None
        self._checking = False
        self._last: int | None = None
        self._created = ""
        self._interest: Interest | None = None
        self._inbox = ""
        self._asked = 0
        self._number = 0
        self._lost = True
        self._ended = False
        self._heard = asyncio.Event()

    async def open(self, *, new_only: bool, after: Cursor | None) -> None:
        """Find where the stream ends. Raises `BrokerUnavailable` when there is no stream."""
        self._created, last = await self._state()
        if after is not None and after.stream == self._created and 1 <= after.sequence <= last:
            self._before = after
        self._next = last + 1 if new_only else 1
        self._last = None if self._follow else last
        self._ended = self._last is not None and self._next > self._last

    def __aiter__(self) -> AsyncIterator[Record]:
        return self

    async def __anext__(self) -> Record:
        while True:
            while not self._buffer:
                if self._ended:
                    raise StopAsyncIteration
                await self._fetch()
            record = self._buffer.popleft()
            if self._is_new(record):
                break
        self._next = record.sequence + 1
        self._before = record
        if self._last is not None and record.sequence >= self._last:
            self._ended = True
            self._buffer.clear()
            if record.sequence > self._last:
                raise StopAsyncIteration
        return record

    def _is_new(self, record: Record) -> bool:
        before, checking = self._before, self._checking
        self._checking = False
        if not checking or before is None or record.sequence != before.sequence:
            return True
        if record.cursor != (before.cursor if isinstance(before, Record) else before):
            self._begin()
            self._lost = True
        elif record.sequence == self._last:
            self._ended = True
        return False

    def _begin(self) -> None:
        """Nothing is known of the stream any more: read all of it."""
        self._next = 1
        self._before = None
        self._ended = False
        self._buffer.clear()

    def lose(self) -> None:
        """Start again after the last record: there was a reconnect."""
        self._lost = True
        self._heard.set()

    async def close(self) -> None:
        """Delete the consumer. While disconnected this is not possible, and the server removes it after a while."""
        await self._connection.unsubscribe(self._interest)
        if self._interest is not None:
            subject = self._connection.api_subject(f"CONSUMER.DELETE.{self._stream}.{self._consumer}")
            self._connection.send(subject, b"", keep=False)

    @property
    def _consumer(self) -> str:
        return self._inbox.rpartition(".")[2]

    async def _fetch(self) -> None:
        self._heard.clear()
        try:
            if self._lost:
                await self._attach()
            if self._ended:
                return
            if not self._asked:
                self._pull()
        except BrokerUnavailable as error:
            if not self._follow:
                raise
            logger.debug("history of %s: %s", self._stream, error)
            self._lost = True
            await asyncio.sleep(RETRY_SECONDS)
            return
        try:
            async with asyncio.timeout(SILENT_SECONDS):
                await self._heard.wait()
        except TimeoutError:
            self._lost = True

    async def _attach(self) -> None:
        await self.close()
        self._interest = None
        self._buffer.clear()
        self._asked = 0
        self._number = 0
        if not await self._find_place():
            self._ended = True
            return
        self._inbox = self._connection.new_inbox()
        name = self._consumer
        self._interest = await self._connection.interest(self._inbox, self._on_message)
        config: dict[str, Any] = {
            "name": name,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": self._before.sequence if self._before is not None else self._next,
            "ack_policy": "none",
            "replay_policy": "instant",
            "filter_subject": self._filter,
            "mem_storage": True,
            "num_replicas": 1,
            "inactive_threshold": IDLE_SECONDS * NANOSECONDS,
        }
        request = {"stream_name": self._stream, "action": "create", "config": config}
        await self._connection.api(f"CONSUMER.CREATE.{self._stream}.{name}.{self._filter}", request)
        if (await self._state())[0] != self._created:
            raise BrokerUnavailable(f"{self._stream} was created again meanwhile")
        self._checking = self._before is not None
        self._lost = False

    async def _find_place(self) -> bool:
        """Find out whether the record read last can still be there. False: nothing is left of what was to be read."""
        created, last = await self._state(within=LOOK_SECONDS if self._follow else None)
        if created != self._created:
            # Deleted and created again: its sequences start from 1.
            self._created = created
            self._begin()
            return self._follow
        if self._before is not None and self._before.sequence > last:
            self._begin()
        return True

    async def _state(self, *, within: float | None = None) -> tuple[str, int]:
        info = await self._connection.api(f"STREAM.INFO.{self._stream}", within=within)
        return str(info["created"]), int(info["state"]["last_seq"])

    def _pull(self) -> None:
        wait = b'"expires":%d,"idle_heartbeat":%d' % (EXPIRES_SECONDS * NANOSECONDS, HEARTBEAT_SECONDS * NANOSECONDS)
        size = max(_BATCH_BYTES, 2 * self._connection.max_payload)
        request = b'{"batch":%d,"max_bytes":%d,%s}' % (BATCH, size, wait if self._follow else b'"no_wait":true')
        self._asked = BATCH
        subject = self._connection.api_subject(f"CONSUMER.MSG.NEXT.{self._stream}.{self._consumer}")
        if not self._connection.send(subject, request, reply=f"{self._inbox}.0", keep=False):
            raise self._connection.missing

    def _on_message(self, message: Message) -> None:
        if self._lost:
            return
        if message.reply:
            self._on_record(message)
        else:
            self._on_status(message)
        self._heard.set()

    def _on_record(self, message: Message) -> None:
        receipt = Receipt(message.reply)
        self._asked -= 1
        self._number += 1
        if receipt.number != self._number:
            self._lost = True
            return
        headers = message.headers or {}
        self._buffer.append(
            Record(
                topic=Topic(self._kind, self._names.key(self._kind, message.subject)),
                sequence=receipt.sequence,
                stream=self._created,
                time=datetime.fromtimestamp(receipt.time_ns / NANOSECONDS, UTC),
                headers=headers,
                body=message.data,
                decode=partial(from_nats, headers, message.data),
            )
        )

    def _on_status(self, message: Message) -> None:
        headers = message.headers or {}
        status = headers.get("Status", "")
        if status == "100":
            return
        if status == "404" and not self._follow:
            self._ended = True
        elif status in ("404", "408") or "MaxBytes" in headers.get("Description", ""):
            self._asked = 0
        else:
            self._lost = True


@asynccontextmanager
async def history(
    connection: Connection,
    names: StreamNames,
    kind: Kind,
    *,
    key: str | None,
    follow: bool,
    new_only: bool,
    after: Cursor | None,
) -> AsyncIterator[AsyncIterator[Record]]:
    """See the port's `Log`."""
    require_history(kind, new_only=new_only, after=after)
    reader = History(connection, names, kind, key=key, follow=follow)
    await reader.open(new_only=new_only, after=after)
    async with connection.reconnects.listening(reader.lose):
        try:
            yield reader
        finally:
            await reader.close()


def _filter(names: StreamNames, kind: Kind, key: str | None) -> str:
    """`jobrelay.lifecycle.*.42.>` for the key pattern `*.42.#`."""
    pattern = "#" if key is None else key
    return names.subject(Topic(kind, ".".join(">" if part == "#" else part for part in pattern.split("."))))
