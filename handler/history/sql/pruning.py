"""Deletes what is to go, the oldest first, and no more in a transaction than the recorder can wait for."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, Table, delete, literal, select, tuple_, union_all, update
from sqlalchemy.ext.asyncio import AsyncConnection

from events.phases import LAST
from handler.history.base import Bodies, KeptLog, LogState, Pruned, Room, StoreUnavailable
from handler.history.sql.ballast import left_on
from handler.history.sql.columns import log_of, log_row
from handler.history.sql.database import Database, bytes_of_pages
from handler.history.sql.deleting import COLUMNS, delete_requests
from handler.history.sql.failures import translated
from handler.history.sql.statements import is_old, many, old
from handler.history.sql.tables import action, daily, event, log, pod, podlog, request, stat, unreadable

EVENTS_MOST = 5000
"""Events that are deleted in a transaction: a request may have any number."""
ELSEWHERE_AT_ONCE = 8
"""Logs whose chunks are deleted from outside of the database at the same time."""
_LENGTHS = {stat.name: 3600, daily.name: 86400}
"""Seconds."""
_EXPIRE = (
    update(podlog)
    .where(is_old(podlog.c.pod, podlog.c.container, podlog.c.chunks))
    .values(state=LogState.EXPIRED.value, bytes=0, head=0, chunks="[]")
)
"""Unless more of it was kept meanwhile."""
_DELETE_CHUNKS = delete(log).where(
    is_old(log.c.pod, log.c.container),
    select(podlog.c.pod)
    .where(podlog.c.pod == log.c.pod, podlog.c.container == log.c.container, podlog.c.bytes == 0)
    .exists(),
)


@dataclass(frozen=True, slots=True)
class _Due:
    """`requests`: numbers. `horizon`: what is older than that goes with them. `logs`: theirs, and others."""

    requests: Sequence[int]
    horizon: float
    logs: Sequence[KeptLog]
    full: bool


async def prune(
    database: Database,
    *,
    requests_before: float | None,
    logs_before: float | None,
    limit: int,
    bodies: Bodies | None,
) -> Pruned:
    """See `handler.history.base.Reader.prune`."""
    with translated():
        async with database.reading() as connection:
            due = await _due(connection, requests_before, logs_before, limit)
        gone = due.logs if bodies is None else await _deleted_elsewhere(bodies, due.logs)
        begun = time.monotonic()
        async with database.changing() as connection:
            await _expire(connection, gone)
            requests, more = 0, False
            if requests_before is not None:
                requests, more = await _delete_requests(connection, due.requests, requests_before)
                more |= await _delete_others(connection, due.horizon, limit)
    return Pruned(
        requests=requests,
        logs=gone,
        failed=len(due.logs) - len(gone),
        more=more or (due.full and bool(requests or gone)),
        seconds=time.monotonic() - begun,
    )


async def room(database: Database) -> Room | None:
    """See `handler.history.base.Reader.room`."""
    if database.path is None:
        return None
    with translated():
        async with database.reading() as connection:
            used, spare = await bytes_of_pages(connection)
        return Room(used=used, spare=spare, free=left_on(database.path))


async def _due(
    connection: AsyncConnection, requests_before: float | None, logs_before: float | None, limit: int
) -> _Due:
    oldest: Sequence[Any] = ()
    logs: dict[tuple[str, str], KeptLog] = {}
    full = False
    asked = []
    if requests_before is not None:
        oldest = (await connection.execute(_oldest(requests_before, limit))).all()
        asked.append(_logs_of([row.pk for row in oldest]))
    if logs_before is not None:
        asked.append(select(podlog).where(podlog.c.bytes > 0, podlog.c.read < logs_before).order_by(podlog.c.read))
    for statement in asked:
        found = [log_of(row) for row in await connection.execute(statement.limit(limit))]
        full |= len(found) == limit
        logs |= {(log.pod, log.container): log for log in found}
    horizon = oldest[-1].updated if len(oldest) == limit else requests_before or 0.0
    return _Due([row.pk for row in oldest], horizon, [*logs.values()], full or len(oldest) == limit)


def _oldest(before: float, limit: int) -> Select[Any]:
    """Of each phase that is an end, the index knows the oldest: those that have not ended may be many, and older."""
    parts = [
        select(request.c.pk, request.c.updated)
        .where(request.c.phase == phase.value, request.c.updated < before)
        .order_by(request.c.updated, request.c.pk)
        .limit(limit)
        .subquery()
        for phase in LAST
    ]
    merged = union_all(*(select(part) for part in parts)).subquery()
    return select(merged.c.pk, merged.c.updated).order_by(merged.c.updated, merged.c.pk).limit(limit)


def _logs_of(requests: Sequence[int]) -> Select[Any]:
    of_requests = select(podlog).join(pod, pod.c.uid == podlog.c.pod).where(pod.c.request.in_(requests))
    return of_requests.where(podlog.c.bytes > 0)


async def _deleted_elsewhere(bodies: Bodies, logs: Sequence[KeptLog]) -> list[KeptLog]:
    """Delete the chunks of these logs. Returns those of which all are gone."""
    gone = []
    left = iter(logs)

    async def work() -> None:
        for kept in left:
            try:
                await bodies.delete(kept.pod, kept.container, kept.chunks)
            except StoreUnavailable:
                continue
            gone.append(kept)

    async with asyncio.TaskGroup() as group:
        for _ in range(ELSEWHERE_AT_ONCE):
            group.create_task(work())
    return gone


async def _expire(connection: AsyncConnection, logs: Sequence[KeptLog]) -> None:
    rows = [log_row(kept) for kept in logs]
    for statement, names in ((_EXPIRE, ("pod", "container", "chunks")), (_DELETE_CHUNKS, ("pod", "container"))):
        await many(connection, statement, (old({name: row[name] for name in names}) for row in rows))


async def _delete_requests(connection: AsyncConnection, requests: Sequence[int], before: float) -> tuple[int, bool]:
    """Delete those of which no log is kept. Returns how many went, and whether some of their events are left."""
    kept = select(podlog.c.pod).join(pod, pod.c.uid == podlog.c.pod)
    kept = kept.where(pod.c.request == request.c.pk, podlog.c.bytes > 0)
    asked = select(*COLUMNS).where(request.c.pk.in_(requests), ~kept.exists())
    rows = await connection.execute(asked.with_for_update())
    # Some may have been asked for again meanwhile. Asked here: an index of phases would lead to far more requests.
    going = {row.pk: row for row in rows if row.phase in LAST and row.updated < before}
    if not going:
        return 0, False
    some = select(event.c.position).where(event.c.request.in_(going)).limit(EVENTS_MOST)
    if (await connection.execute(delete(event).where(event.c.position.in_(some)))).rowcount == EVENTS_MOST:
        return 0, True
    await delete_requests(connection, [*going.values()])
    return len(going), False


async def _delete_others(connection: AsyncConnection, before: float, limit: int) -> bool:
    """Statistics, actions and unreadable records. Returns whether there are more."""
    actions = select(action.c.id).where(action.c.time < before).order_by(action.c.time).limit(limit)
    deleted = await connection.execute(delete(action).where(action.c.id.in_(actions)))
    await connection.execute(delete(unreadable).where(unreadable.c.time < before))
    more = [await _delete_sums(connection, table, before, limit) for table in (stat, daily)]
    return any(more) or deleted.rowcount == limit


async def _delete_sums(connection: AsyncConnection, table: Table, before: float, limit: int) -> bool:
    """Statistics of hours, or of days, that have ended before. There may be any number of services."""
    key = [*table.primary_key.columns]
    gone = key[0] <= before - _LENGTHS[table.name]
    last = (await connection.execute(select(*key).where(gone).order_by(*key).limit(1).offset(limit - 1))).one_or_none()
    if last is not None:
        values = [literal(value, column.type) for column, value in zip(key, last, strict=True)]
        gone = tuple_(*key) <= tuple_(*values)
    await connection.execute(delete(table).where(gone))
    return last is not None
