"""Records. Every method is one transaction; a batch and the position after it are kept together or not at all."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from hashlib import blake2b
from typing import Any, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from adapters.base import Cursor
from events.phases import Phase
from handler.history.base import Action, Batch, Entry, KeptLog, Key, Moved, PodRun, Request, Unreadable
from handler.history.sql import statements
from handler.history.sql.columns import action_row, cursor_row, log_row, request_of, tags_of
from handler.history.sql.database import Begin
from handler.history.sql.failures import DataRefused, translated
from handler.history.sql.finishing import finished
from handler.history.sql.folding import Folding, Known
from handler.history.sql.packing import pack, pack_event
from handler.history.sql.reading import stored_position
from handler.history.sql.statements import many, old
from handler.history.sql.tables import (
    UNREADABLE_BYTES,
    UNREADABLE_MOST,
    action,
    asked as asked_table,
    counter,
    cursor,
    daily,
    log as log_table,
    podlog,
    unreadable,
)
from handler.history.sql.trimming import trim
from handler.history.sql.values import clean, digest, indexed
from k8s.informer.slices import in_slices

logger = logging.getLogger(__name__)
_HELD = 0.001
_REQUESTS, _EVENTS = "request", "event"
Item = Entry | Action
T = TypeVar("T")


class SqlWriter:
    """See `handler.history.base.Writer`. `keep`: the most requests that are kept, the newest; None: all."""

    def __init__(self, begin: Begin, *, dialect: str, keep: int | None = None) -> None:
        self._begin = begin
        self._dialect = dialect
        self._keep = keep
        self._turn = asyncio.Lock()

    async def add(self, batch: Batch, *, broker: str, after: Cursor | None) -> int:
        try:
            return await finished(self._add(batch, broker, after, self._record))
        except DataRefused:
            return await finished(self._add(batch, broker, after, self._record_carefully))

    async def keep_pod(self, key: Key, pod: PodRun, *, created: float, asked: bytes | None = None) -> None:
        with _heard():
            await finished(self._keep_pod(key, pod, created, asked))

    async def keep_log(self, log: KeptLog, *, put: Mapping[int, bytes] = {}, drop: Sequence[int] = ()) -> None:
        with _heard():
            await finished(self._keep_log(log, put, drop))

    async def _keep_pod(self, key: Key, pod: PodRun, created: float, asked: bytes | None) -> None:
        body = None if asked is None else await asyncio.to_thread(pack_event, asked)
        async with self._changing() as connection:
            folding = await self._folding(connection, [key])
            request = folding.ensure(Request(key=key, phase=Phase.CREATED, created=created, updated=created))
            folding.add_pod(request, pod)
            await self._store(connection, folding)
            if body is not None:
                kept = [{"request": request, "body": body}]
                await many(connection, statements.put_new(asked_table, self._dialect), kept)

    async def _keep_log(self, log: KeptLog, put: Mapping[int, bytes], drop: Sequence[int]) -> None:
        row = log_row(log)
        bodies = await asyncio.to_thread(lambda: {number: pack(body) for number, body in put.items()})
        async with self._changing() as connection:
            if (await connection.execute(statements.POD, {"pod": row["pod"]})).one_or_none() is None:
                # Its request went meanwhile, and everything with it.
                return
            await self._put(connection, podlog, [row])
            place = {"pod": row["pod"], "container": row["container"]}
            gone = [{**place, "chunk": number} for number in drop]
            await many(connection, statements.DELETE_CHUNK, map(old, gone))
            await self._put(connection, log_table, [{**place, "chunk": n, "body": body} for n, body in bodies.items()])
            await self._trim(connection)

    async def _add(self, batch: Batch, broker: str, after: Cursor | None, record: Any) -> int:
        async with self._changing() as connection:
            if await stored_position(connection, broker, locked=True) != after:
                raise Moved(f"the position in the log of {broker} was set anew")
            new: int = await record(connection, broker, batch, [*batch.entries, *batch.actions])
            await self._keep_unreadable(connection, broker, batch.cursor, batch.unreadable)
            await self._put(connection, cursor, [cursor_row(broker, batch.cursor)])
            await self._trim(connection)
        return new

    async def _record(self, connection: AsyncConnection, _broker: str, _batch: Batch, items: Sequence[Item]) -> int:
        entries: dict[str, Entry] = {}
        for item in items:
            if isinstance(item, Entry):
                entries.setdefault(indexed(item.id), item)
        found = await connection.execute(statements.known_events(self._dialect), {"ids": list(entries)})
        recorded = {row.id for row in found}
        new = [(name, entry) for name, entry in entries.items() if name not in recorded]
        if new:
            folding = await self._folding(connection, [entry.key for _, entry in new])
            async for name, entry in in_slices(new, held=_HELD):
                folding.add(entry, name)
            await self._store(connection, folding)
        actions = [action_row(item) for item in items if isinstance(item, Action)]
        await many(connection, statements.put_new(action, self._dialect), actions)
        return len(new)

    async def _record_carefully(
        self, connection: AsyncConnection, broker: str, batch: Batch, items: Sequence[Item]
    ) -> int:
        """Find what the database refuses, and keep it as unreadable."""
        if not items:
            return 0
        try:
            async with connection.begin_nested():
                with translated():
                    return await self._record(connection, broker, batch, items)
        except DataRefused as error:
            if len(items) == 1:
                await self._keep_unreadable(connection, broker, batch.cursor, [_refused(items[0], str(error))])
                return 0
        half = len(items) // 2
        new = await self._record_carefully(connection, broker, batch, items[:half])
        return new + await self._record_carefully(connection, broker, batch, items[half:])

    async def _folding(self, connection: AsyncConnection, keys: Sequence[Key]) -> Folding:
        asked = statements.known_requests(self._dialect)
        rows = await connection.execute(asked, {"keys": list({digest(key) for key in keys})})
        known = {row.key: Known(request_of(row), tags_of(row.tags)) async for row in in_slices(rows, held=_HELD)}
        counters = {row.name: row.value for row in await connection.execute(statements.COUNTERS)}
        return Folding(known, request=counters.get(_REQUESTS, 0), event=counters.get(_EVENTS, 0))

    async def _store(self, connection: AsyncConnection, folding: Folding) -> None:
        await many(connection, statements.INSERT_REQUEST, folding.made())
        await many(connection, statements.UPDATE_REQUEST, folding.changed())
        gone, come = folding.tags()
        await many(connection, statements.DELETE_TAG, map(old, gone))
        await many(connection, statements.INSERT_TAG, come)
        await many(connection, statements.put_pod(self._dialect), folding.pods())
        await many(connection, statements.INSERT_EVENT, folding.events)
        await many(connection, statements.add_to_stat(self._dialect), folding.stats())
        if folding.days:
            stored = await connection.execute(statements.known_days(self._dialect), folding.days.asked())
            await self._put(connection, daily, folding.days.rows(stored))
        last = {_REQUESTS: folding.last_request, _EVENTS: folding.last_event}
        await self._put(connection, counter, [{"name": name, "value": value} for name, value in last.items()])

    async def _keep_unreadable(
        self, connection: AsyncConnection, broker: str, at: Cursor, unreadables: Sequence[Unreadable]
    ) -> None:
        rows = [
            {
                "broker": broker,
                "stream": at.stream,
                "sequence": item.sequence,
                "time": item.time,
                "reason": clean(item.reason),
                "body": item.body[:UNREADABLE_BYTES],
            }
            for item in unreadables
        ]
        await many(connection, statements.put_new(unreadable, self._dialect), rows)
        if rows:
            await connection.execute(statements.oldest_unreadable(UNREADABLE_MOST))

    async def _trim(self, connection: AsyncConnection) -> None:
        if self._keep is not None:
            await trim(connection, self._keep)

    async def _put(self, connection: AsyncConnection, table: Any, rows: Iterable[Mapping[str, Any]]) -> None:
        await many(connection, statements.put(table, self._dialect), rows)

    @asynccontextmanager
    async def _changing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction. Recorders of several brokers, and keepers of logs, share the connection."""
        async with self._turn:
            with translated():
                async with self._begin() as connection:
                    yield connection


@contextmanager
def _heard() -> Iterator[None]:
    """What the database will never take stops nobody."""
    try:
        yield
    except DataRefused as error:
        logger.warning("a pod or its log is not kept: %s", error)


def _refused(item: Item, reason: str) -> Unreadable:
    """It has no place of its own in the log: its number is made from its id, and negative as no other is."""
    number = int.from_bytes(blake2b(item.id.encode(errors="replace"), digest_size=8).digest(), "big") >> 1
    body = item.body if isinstance(item, Entry) else b""
    return Unreadable(sequence=-number, time=item.time, reason=reason, body=body)
