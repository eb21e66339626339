"""Opens the database of the history."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path

from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncConnection

from adapters.base import Cursor
from adapters.urls import parse
from handler.history.base import Bodies, LockLost, Pruned, Room, Store, StoreRefused, StoreUnavailable, Writer
from handler.history.sql import database as databases, pruning, statements
from handler.history.sql.ballast import Ballast, left_on
from handler.history.sql.columns import cursor_row
from handler.history.sql.database import Database
from handler.history.sql.failures import opening, translated
from handler.history.sql.locks import file_lock, require_local, session_lock
from handler.history.sql.reading import SqlReader
from handler.history.sql.schema import bring_up_to_date, create, require_current
from handler.history.sql.tables import cursor
from handler.history.sql.writing import SqlWriter
from handler.settings.history import POSTGRESQL
from handler.settings.reach import sqlite_path

KEEP = 10_000
SPARE_BYTES = 64 << 20
SHRINK_PAGES, SHRINKS_MOST = 256, 16
"""In a transaction, and after each pruning."""


class SqlStore(SqlReader):
    """See `handler.history.base.Store`."""

    def __init__(self, database: Database, *, keep: int | None = None) -> None:
        super().__init__(database)
        self._keep = keep
        self._alone = asyncio.Lock()

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Writer]:
        database = self._database
        if database.on_server:
            async with _session(database) as session:
                yield SqlWriter(session.begin, dialect=database.dialect)
        elif database.path is not None:
            async with file_lock(database.path):
                yield SqlWriter(database.changing, dialect=database.dialect)
        else:
            async with self._alone:
                yield SqlWriter(database.changing, dialect=database.dialect, keep=self._keep)

    async def settle_position(self, broker: str, position: Cursor | None) -> None:
        with translated():
            async with self._database.changing() as connection:
                if position is None:
                    await connection.execute(delete(cursor).where(cursor.c.broker == broker))
                    return
                put = statements.put(cursor, self._database.dialect)
                await connection.execute(put, cursor_row(broker, position))

    async def room(self) -> Room | None:
        return await pruning.room(self._database)

    async def prune(
        self,
        *,
        requests_before: float | None,
        logs_before: float | None,
        limit: int = 500,
        bodies: Bodies | None = None,
    ) -> Pruned:
        pruned = await pruning.prune(
            self._database,
            requests_before=requests_before,
            logs_before=logs_before,
            limit=limit,
            bodies=bodies,
        )
        await self._give_back()
        return pruned

    async def _give_back(self) -> None:
        """Make the file smaller where much of it is empty. Less is soon filled again."""
        for _ in range(SHRINKS_MOST):
            room = await self.room()
            if room is None or room.spare <= max(SPARE_BYTES, room.used // 4):
                return
            with translated():
                await self._database.shrink(SHRINK_PAGES)


class _Session:
    """The session that holds the lock. Once it is lost it never comes back: others may have the lock."""

    def __init__(self, connection: AsyncConnection, number: int) -> None:
        self._connection = connection
        self._number = number
        self._lost = False

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        if self._lost:
            raise LockLost("the connection that held the lock of the database is lost")
        connection = self._connection
        try:
            async with connection.begin():
                # A connection that was lost is made anew, and a pooler in between may change the session any time.
                session = (await connection.exec_driver_sql("SELECT pg_backend_pid()")).scalar_one()
                if session != self._number:
                    self._lost = True
                    raise LockLost("the session that held the lock of the database is lost")
                yield connection
        finally:
            self._lost = self._lost or connection.invalidated or connection.closed


@asynccontextmanager
async def _session(database: Database) -> AsyncIterator[_Session]:
    with translated():
        connection = await database.writer.connect()
    try:
        with translated():
            session = _Session(connection, await session_lock(connection))
        yield session
    finally:
        # Not back to the pool: the lock goes with the session.
        with suppress(StoreUnavailable), translated():
            await connection.invalidate()
            await connection.close()


def open_store(
    url: str | None, *, keep: int = KEEP, migrate: bool = False, max_bytes: int | None = None
) -> AbstractAsyncContextManager[Store]:
    """The database at `url`; None: one in memory, of the newest `keep` requests.

    `url`: `sqlite:///absolute/path` or `postgresql://user:password@host/database`, as in the settings.
    `migrate`: bring its tables up to date; otherwise others than ours are refused. `max_bytes`: of a SQLite file; what
    would have it grow above that raises `StoreUnavailable`. Raises on entry `StoreRefused` and `StoreUnavailable`.
    """
    return _opened(url, keep, migrate, max_bytes)


@asynccontextmanager
async def _opened(url: str | None, keep: int, migrate: bool, max_bytes: int | None) -> AsyncIterator[Store]:
    with opening():
        if url is not None and migrate:
            # Rewriting a large table takes longer than any other statement may.
            patient = _database(url, make=True, patient=True, max_bytes=max_bytes)
            async with patient as database, database.changing() as connection:
                await bring_up_to_date(connection)
        source = _database(url, max_bytes=max_bytes)
    async with source as database:
        with opening():
            async with database.changing() if url is None else database.reading() as connection:
                await (create if url is None else require_current)(connection)
        yield SqlStore(database, keep=keep if url is None else None)


def _database(
    url: str | None, *, make: bool = False, patient: bool = False, max_bytes: int | None
) -> AbstractAsyncContextManager[Database]:
    if url is None:
        return databases.memory()
    path = sqlite_path(url)
    if path is None:
        return databases.server(parse(url, POSTGRESQL), patient=patient)
    found = Path(path).resolve()
    require_usable(found, must_exist=not make)
    # What containers print is not for everybody on this machine. SQLite gives its other files the same mode.
    os.close(os.open(found, os.O_RDWR | os.O_CREAT, 0o640))
    if make:
        Ballast(found).give_way(left_on(found))
    return databases.file(found, max_bytes=max_bytes)


def require_usable(path: Path, *, must_exist: bool) -> None:
    """Raises `StoreRefused` if there can be no database in this place."""
    if not path.parent.is_dir():
        raise StoreRefused(f"JOBRELAY_HISTORY: there is no directory {path.parent}")
    require_local(path)
    if path.is_dir():
        raise StoreRefused(f"JOBRELAY_HISTORY: {path} is a directory, and a file is expected")
    if must_exist and not path.exists():
        raise StoreRefused(f"JOBRELAY_HISTORY: there is no {path}: `jobrelay run --role console` makes it")
    for place in (path.parent, path):
        if place.exists() and not os.access(place, os.R_OK | os.W_OK):
            raise StoreRefused(f"JOBRELAY_HISTORY: {place} may not be written to by this user")
