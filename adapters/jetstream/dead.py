"""Dead letters on NATS JetStream: read like any other stream, and removed by sequence."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from adapters import headers as stamps
from adapters.base import DeadLetter, Kind, Record, TopicRefused
from adapters.jetstream.connection import Connection
from adapters.jetstream.errors import ApiError, Forbidden, TooLarge
from adapters.jetstream.history import history
from adapters.jetstream.stores import Stores
from adapters.jetstream.topology import StreamNames
from adapters.topics import origin

_NOT_FOUND = (10037, 10043, 10057)
"""Error numbers for a missing message: beyond, between and before the sequences that the stream has."""


class Letter:
    """See the port's `DeadLetter`."""

    def __init__(self, connection: Connection, stores: Stores, names: StreamNames, record: Record) -> None:
        self.record = record
        self._connection = connection
        self._stores = stores
        self._names = names
        self._gone = False

    async def replay(self) -> None:
        """See the port."""
        if self._gone:
            return
        topic = origin(self.record.topic)
        if stamps.LEFT_OUT in self.record.headers:
            raise TopicRefused(topic, "its body was not kept: there was no room for it")
        headers = stamps.replayed(self.record.headers)
        # Not the original's id, or the replay would be dropped as a duplicate of it. The id does not change from try to
        # try: a replay whose confirmation or removal was lost is not stored twice while the server remembers the id.
        # The time is in it because a stream that was deleted and created again counts from 1.
        headers["Nats-Msg-Id"] = (
            f"replay/{self._names.stream(Kind.DEAD)}/{self.record.sequence}/{self.record.time.timestamp():.6f}"
        )
        try:
            await self._stores.store(topic, self.record.body, headers)
        except TooLarge as error:
            raise TopicRefused(topic, str(error), too_large=True) from error
        except Forbidden as error:
            raise TopicRefused(topic, str(error)) from error
        await self.drop()

    async def drop(self) -> None:
        """See the port."""
        if self._gone:
            return
        try:
            await self._connection.api(
                f"STREAM.MSG.DELETE.{self._names.stream(Kind.DEAD)}", {"seq": self.record.sequence}
            )
        except ApiError as error:
            if error.err_code not in _NOT_FOUND:
                raise
        self._gone = True


@asynccontextmanager
async def dead_letters(
    connection: Connection, stores: Stores, names: StreamNames
) -> AsyncIterator[AsyncIterator[DeadLetter]]:
    """See the port's `DeadLetters`."""
    async with history(connection, names, Kind.DEAD, key=None, follow=False, new_only=False, after=None) as records:
        yield _letters(connection, stores, names, records)


async def _letters(
    connection: Connection, stores: Stores, names: StreamNames, records: AsyncIterator[Record]
) -> AsyncIterator[DeadLetter]:
    async for record in records:
        yield Letter(connection, stores, names, record)
