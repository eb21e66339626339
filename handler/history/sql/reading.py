"""Answers questions from the database. Every answer has a bound."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache
from math import ceil
from typing import Any, TypeVar

from sqlalchemy import (
    BigInteger,
    CompoundSelect,
    Integer,
    Row,
    Select,
    Text,
    bindparam,
    func,
    literal,
    select,
    text,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from adapters.base import Cursor
from events.phases import Phase
from handler.history.base import (
    ANY_ACTION,
    Action,
    ActionPage,
    Change,
    Day,
    KeptLog,
    Page,
    PodRun,
    Request,
    Stat,
    Tagged,
    Told,
    Wanted,
    WantedActions,
)
from handler.history.sql import audits, paging
from handler.history.sql.columns import action_of, day_of, log_of, pod_of, request_of, stat_of_row, tags_of, told_of
from handler.history.sql.database import Database, bytes_of_pages
from handler.history.sql.failures import DataRefused, translated
from handler.history.sql.finishing import finished
from handler.history.sql.packing import unpack
from handler.history.sql.paging import Place, Shape, Way
from handler.history.sql.tables import action, asked, cursor, daily, event, log, metadata, pod, podlog, request, stat
from handler.history.sql.values import indexed
from k8s.informer.slices import in_slices

T = TypeVar("T")
Asked = Select[Any] | CompoundSelect[Any]
FOUND_MOST = 100
PODS_MOST = 10_000
STATS_MOST = 500_000
LATEST_MOST = 1000
DAYS_MOST = 50_000
_HELD = 0.002
_LAST = select(func.max(event.c.position).label("last"))
_CHANGES = (
    select(event.c.position, event.c.request, event.c.id)
    .where(event.c.position > bindparam("position", type_=BigInteger))
    .order_by(event.c.position)
    .limit(bindparam("limit", type_=Integer))
)
_REQUESTS = select(*paging.BRIEF, request.c.tags).where(
    request.c.pk.in_(bindparam("pks", expanding=True, type_=BigInteger))
)
_last = (
    select(func.max(event.c.position))
    .where(event.c.request == request.c.pk, event.c.phase == bindparam("phase", type_=Text))
    .correlate(request)
    .scalar_subquery()
)
_LATEST = (
    select(event)
    .join(request, event.c.position == _last)
    .where(request.c.pk.in_(bindparam("pks", expanding=True, type_=BigInteger)))
)


class SqlReader:
    """See `handler.history.base.Reader`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, wanted: Wanted, *, limit: int, after: str | None = None, results: bool = True) -> Page:
        return await finished(self._page(wanted, limit, paging.place_of(wanted, after), results))

    async def _page(self, wanted: Wanted, limit: int, place: Place, results: bool) -> Page:
        found: list[Request] = []
        end: Place | None = None
        async with self._reading() as connection:
            shape = paging.shape_of(wanted, way=await _narrow(connection, wanted))
            for _ in range(paging.WINDOWS):
                values = paging.values_of(wanted, shape, place)
                left = limit - len(found) + 1
                rows = paging.rows(shape, results=results)
                found += await _rows(connection, rows, _limits(values, shape, left), request_of)
                end = await _window_end(connection, shape, values) if len(found) <= limit else None
                if end is None:
                    break
                place = end
        if len(found) > limit:
            last = found[limit - 1]
            return Page(requests=found[:limit], next=paging.token(wanted, Place(last.updated, last.pk)))
        return Page(requests=found, next=None if end is None else paging.token(wanted, end))

    async def request(self, pk: int) -> Request | None:
        found = await self._all(select(*paging.SHOWN).where(request.c.pk == pk), request_of)
        return found[0] if found else None

    async def find(self, request_id: str, source: str | None = None) -> Sequence[Request]:
        page = await self.page(Wanted(id=request_id, source=source), limit=FOUND_MOST)
        return page.requests

    async def tags(self, pk: int) -> Sequence[str]:
        found = await self._all(select(request.c.tags).where(request.c.pk == pk), lambda row: tags_of(row.tags))
        return found[0] if found else ()

    async def events(self, pk: int, *, after: int = 0, limit: int = 1000) -> Sequence[Told]:
        asked = select(event).where(event.c.request == pk, event.c.position > after)
        return await self._all(asked.order_by(event.c.position).limit(limit), told_of)

    async def since(self, position: int, *, limit: int = 1000) -> Sequence[Told]:
        asked = select(event).where(event.c.position > position)
        return await self._all(asked.order_by(event.c.position).limit(limit), told_of)

    async def last(self) -> int:
        found = await self._all(_LAST, lambda row: int(row.last or 0))
        return found[0]

    async def changes(self, position: int, *, limit: int = 1000) -> Sequence[Change]:
        return await self._all(
            _CHANGES, lambda row: Change(row.position, row.request, row.id), {"position": position, "limit": limit}
        )

    async def requests(self, pks: Sequence[int]) -> Sequence[Tagged]:
        return await self._all(_REQUESTS, lambda row: Tagged(request_of(row), row.tags), {"pks": list(pks)})

    async def latest(self, pk: int, phase: Phase) -> Told | None:
        asked = select(event).where(event.c.request == pk, event.c.phase == phase.value)
        found = await self._all(asked.order_by(event.c.position.desc()).limit(1), told_of)
        return found[0] if found else None

    async def latest_of(self, pks: Sequence[int], phase: Phase) -> Sequence[Told]:
        return await finished(self._latest_of(pks[:LATEST_MOST], phase)) if pks else []

    async def _latest_of(self, pks: Sequence[int], phase: Phase) -> Sequence[Told]:
        async with self._reading() as connection:
            return await _rows(connection, _LATEST, {"pks": list(pks), "phase": phase.value}, told_of)

    async def pods(self, pk: int) -> Sequence[PodRun]:
        return await self._all(select(pod).where(pod.c.request == pk).limit(PODS_MOST), pod_of)

    async def logs(self, pod: str) -> Sequence[KeptLog]:
        asked = select(podlog).where(podlog.c.pod == indexed(pod))
        return await self._all(asked.order_by(podlog.c.container).limit(FOUND_MOST), log_of)

    async def chunk(self, pod: str, container: str, number: int) -> bytes | None:
        asked = log.c.pod == indexed(pod), log.c.container == indexed(container), log.c.chunk == number
        found = await self._all(select(log.c.body).where(*asked), lambda row: unpack(row.body))
        return found[0] if found else None

    async def asked(self, pk: int) -> bytes | None:
        found = await self._all(select(asked.c.body).where(asked.c.request == pk), lambda row: unpack(row.body))
        return found[0] if found else None

    async def stats(self, *, newer: float | None = None, older: float | None = None) -> Sequence[Stat]:
        asked = select(stat)
        if newer is not None:
            asked = asked.where(stat.c.hour >= ceil(newer))
        if older is not None:
            asked = asked.where(stat.c.hour < ceil(older))
        ordered = asked.order_by(stat.c.hour, stat.c.service, stat.c.phase)
        return await self._all(ordered.limit(STATS_MOST), stat_of_row)

    async def days(self, *, newer: float, older: float, service: str | None = None) -> Sequence[Day]:
        asked = select(daily).where(daily.c.day >= ceil(newer), daily.c.day < ceil(older))
        if service is not None:
            asked = asked.where(daily.c.service == indexed(service))
        return await self._all(asked.order_by(daily.c.day.desc(), daily.c.service).limit(DAYS_MOST), day_of)

    async def totals(self, *, newer: float) -> Mapping[Phase, int]:
        asked = select(stat.c.phase, func.sum(stat.c.n).label("n")).where(stat.c.hour >= ceil(newer))
        return dict(await self._all(asked.group_by(stat.c.phase), _counted))

    async def held(self, phases: Sequence[Phase], *, most: int) -> Mapping[Phase, int]:
        return dict(await self._all(_held_each(tuple(phases), most), _counted))

    async def actions(
        self, wanted: WantedActions = ANY_ACTION, *, limit: int = 100, after: str | None = None
    ) -> ActionPage:
        return await finished(self._actions(wanted, limit, after))

    async def _actions(self, wanted: WantedActions, limit: int, after: str | None) -> ActionPage:
        async with self._reading() as connection:
            return await audits.page(connection, wanted, limit=limit, after=after)

    async def action(self, ids: Sequence[str]) -> Action | None:
        found = await self._all(select(action).where(action.c.id.in_([indexed(one) for one in ids])), action_of)
        return found[0] if found else None

    async def position(self, broker: str) -> Cursor | None:
        return await finished(self._position(broker))

    async def _position(self, broker: str) -> Cursor | None:
        async with self._reading() as connection:
            return await stored_position(connection, broker)

    async def size(self) -> int | None:
        return None if self._database.in_memory else await finished(self._size())

    async def _size(self) -> int:
        async with self._reading() as connection:
            if self._database.on_server:
                sizes = (f"pg_total_relation_size('\"{name}\"')" for name in metadata.tables)
                return int(await connection.scalar(text(f"SELECT {' + '.join(sizes)}")) or 0)
            return sum(await bytes_of_pages(connection))

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[AsyncConnection]:
        with translated():
            async with self._database.reading() as connection:
                yield connection

    async def _all(self, asked: Asked, made: Callable[[Row[Any]], T], values: Mapping[str, Any] = {}) -> list[T]:
        return await finished(self._each(asked, made, values))

    async def _each(self, asked: Asked, made: Callable[[Row[Any]], T], values: Mapping[str, Any]) -> list[T]:
        try:
            async with self._reading() as connection:
                return await _rows(connection, asked, values, made)
        except DataRefused:
            # A number that no column can hold is in no row.
            return []


@cache
def _held_each(phases: tuple[Phase, ...], most: int) -> CompoundSelect[Any]:
    return union_all(*(_held(phase, most) for phase in phases))


def _held(phase: Phase, most: int) -> Select[str, int]:
    """How many requests are in this phase, from its index."""
    some = select(request.c.updated).where(request.c.phase == phase.value).limit(most).subquery()
    return select(literal(phase.value).label("phase"), func.count().label("n")).select_from(some)


def _counted(row: Row[Any]) -> tuple[Phase, int]:
    return Phase(row.phase), int(row.n)


async def stored_position(connection: AsyncConnection, broker: str, *, locked: bool = False) -> Cursor | None:
    """`locked`: nobody else sets it until the transaction ends."""
    asked = select(cursor).where(cursor.c.broker == broker)
    row = (await connection.execute(asked.with_for_update() if locked else asked)).one_or_none()
    return None if row is None else Cursor(row.stream, row.sequence, row.digest)


async def _rows(
    connection: AsyncConnection, asked: Asked, values: Mapping[str, Any], made: Callable[[Row[Any]], T]
) -> list[T]:
    result = await connection.execute(asked, values)
    return [made(row) async for row in in_slices(result, held=_HELD)]


def _limits(values: dict[str, Any], shape: Shape, limit: int) -> dict[str, Any]:
    return {**values, "limit": limit, "window": paging.WINDOW if shape.checked else limit}


async def _window_end(connection: AsyncConnection, shape: Shape, values: dict[str, Any]) -> Place | None:
    """Where to look on for what no index knows; None if there is nothing more."""
    if not shape.checked:
        return None
    last = {"window": paging.WINDOW, "last": paging.WINDOW - 1}
    row = (await connection.execute(paging.window_end(shape), values | last)).one_or_none()
    return None if row is None else Place(row.updated, row.pk)


async def _narrow(connection: AsyncConnection, wanted: Wanted) -> Way | None:
    """A way by which few requests have to be looked at, if there is one."""
    values = paging.values_of(wanted, paging.shape_of(wanted), paging.FIRST)
    for way in paging.narrow(wanted):
        if int(await connection.scalar(paging.few(way), values) or 0) <= paging.FEW:
            return way
    return None
