"""Statements that write, in both dialects. Each takes rows of `columns` or `folding`."""

from collections.abc import Iterable, Mapping
from functools import cache
from itertools import islice
from typing import Any

from sqlalchemy import (
    ARRAY,
    Column,
    ColumnElement,
    Delete,
    Executable,
    Insert,
    Select,
    Table,
    and_,
    any_,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from handler.history.sql.tables import counter, daily, event, log, pod, request, stat, tag, unreadable

_ROWS = 100
"""Rows that are handed to the driver at once: what SQLAlchemy does with them holds the loop."""


def is_old(*columns: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether a row has in these columns what `old` gives."""
    return and_(*(column == bindparam(f"old_{column.key}") for column in columns))


def old(row: Mapping[str, Any]) -> dict[str, Any]:
    return {f"old_{name}": value for name, value in row.items()}


INSERT_REQUEST, INSERT_EVENT, INSERT_TAG = insert(request), insert(event), insert(tag)
UPDATE_REQUEST = update(request).where(request.c.pk == bindparam("number"))
DELETE_TAG = delete(tag).where(is_old(*tag.primary_key))
DELETE_CHUNK = delete(log).where(is_old(*log.primary_key))
COUNTERS: Select[Any] = select(counter.c.name, counter.c.value)
POD: Select[Any] = select(pod.c.uid).where(pod.c.uid == bindparam("pod")).with_for_update(read=True, key_share=True)
"""Nobody else deletes it until the transaction ends."""


async def many(connection: AsyncConnection, statement: Executable, rows: Iterable[Mapping[str, Any]]) -> None:
    """Execute it with each of these rows; without any, not at all."""
    left = iter(rows)
    while part := list(islice(left, _ROWS)):
        await connection.execute(statement, part)


@cache
def known_events(dialect: str) -> Select[Any]:
    """Those of `ids` that are recorded."""
    return select(event.c.id).where(_among(event.c.id, "ids", dialect))


@cache
def known_requests(dialect: str) -> Select[Any]:
    """Rows by their `keys`. Nobody else deletes them until the transaction ends."""
    return select(request).where(_among(request.c.key, "keys", dialect)).with_for_update()


@cache
def known_days(dialect: str) -> Select[Any]:
    """The sums of `services` in `days`: more than those of both, where days have others."""
    return select(daily).where(_among(daily.c.day, "days", dialect), _among(daily.c.service, "services", dialect))


@cache
def put(table: Table, dialect: str) -> Insert:
    """Insert a row, or set all of the one with its primary key."""
    return _upsert(table, dialect, {column.name: None for column in table.columns if not column.primary_key})


@cache
def put_pod(dialect: str) -> Insert:
    """What a later row does not say stays. A pod stays with its request."""
    kept = [column for column in pod.columns if column.name not in ("uid", "request", "name", "namespace")]
    return _upsert(pod, dialect, {column.name: column for column in kept})


@cache
def add_to_stat(dialect: str) -> Insert:
    made = _insert(dialect)(stat)
    sums = {name: stat.c[name] + made.excluded[name] for name in ("n", "wait", "run", "cpu")}
    added: Insert = made.on_conflict_do_update(index_elements=list(stat.primary_key), set_=sums)
    return added


@cache
def put_new(table: Table, dialect: str) -> Insert:
    """Insert a row, unless there is one with its primary key."""
    made: Insert = _insert(dialect)(table).on_conflict_do_nothing(index_elements=list(table.primary_key))
    return made


def oldest_unreadable(most: int) -> Delete:
    """All but the newest `most`."""
    key = [*unreadable.primary_key]
    newest = select(unreadable.c.time).order_by(unreadable.c.time.desc(), *key).limit(1).offset(most - 1)
    return delete(unreadable).where(unreadable.c.time < newest.scalar_subquery())


def _insert(dialect: str) -> Any:
    return postgresql.insert if dialect == "postgresql" else sqlite.insert


def _upsert(table: Table, dialect: str, kept: Mapping[str, Column[Any] | None]) -> Insert:
    """`kept`: columns to set, and what they keep where the new row says nothing."""
    made = _insert(dialect)(table)
    values = {
        name: made.excluded[name] if column is None else func.coalesce(made.excluded[name], column)
        for name, column in kept.items()
    }
    found: Insert = made.on_conflict_do_update(index_elements=list(table.primary_key), set_=values)
    return found


def _among(column: Column[Any], name: str, dialect: str) -> ColumnElement[bool]:
    """One statement whatever their number, where the database has lists."""
    if dialect == "postgresql":
        return column == any_(bindparam(name, type_=ARRAY(column.type)))
    return column.in_(bindparam(name, expanding=True, type_=column.type))
