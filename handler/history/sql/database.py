"""Engines for each kind of database: how it is connected to, and how transactions begin."""

import asyncio
import os
import sqlite3
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import aiosqlite
from sqlalchemy import URL, event
from sqlalchemy.engine import AdaptedConnection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from adapters.tls import client_context
from adapters.urls import BrokerURL
from handler.history.base import StoreRefused

READERS = 4
_POOL_SECONDS = 10.0
_BUSY_MILLISECONDS = 5000
_BUSY_POLL_SECONDS = 0.01
_CONNECT_SECONDS = 10.0
_STATEMENT_SECONDS = 30
_GRACE_SECONDS = 5.0
"""For the server's own answer that a statement took too long."""
_LOCK_SECONDS = 10
_GOODBYE_SECONDS = 1.0
"""How long a server is waited for that should hear that a connection ends: it may hang."""
_PRAGMAS = {
    "busy_timeout": _BUSY_MILLISECONDS,
    "foreign_keys": "ON",
    "synchronous": "NORMAL",
    "temp_store": "MEMORY",
    "journal_size_limit": 16 << 20,
    # Some builds write zeros over all that is deleted: every page of a log would be written once more.
    "secure_delete": "FAST",
}
_PAGE = 4096
"""Bytes of a page, as SQLite has it where nobody says otherwise."""
_READER_CACHE, _WRITER_CACHE = -8_000, -64_000
"""KiB, negative as SQLite has it."""
# Pages are read along an index and then by number, whatever the statistics of the tables say, which may be old. A plan
# that was made for any limit would not do that.
_PLANNING = {"plan_cache_mode": "force_custom_plan", "enable_hashjoin": "off", "enable_mergejoin": "off"}
_memories = count(1)

Begin = Callable[[], AbstractAsyncContextManager[AsyncConnection]]
"""A transaction: committed after the block, rolled back if it raises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """Connections to one database. `reader` and `writer` are the same one in memory, with one connection.

    `path`: of the file; None for others.
    """

    reader: AsyncEngine
    writer: AsyncEngine
    path: Path | None = None

    @property
    def in_memory(self) -> bool:
        return self.reader is self.writer

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self.reader.dialect.name

    @property
    def on_server(self) -> bool:
        return self.dialect == "postgresql"

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """What is read in the block is of one moment on SQLite."""
        async with self.reader.begin() as connection:
            yield connection

    @asynccontextmanager
    async def changing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction beside those of the writer, which need not be this process."""
        async with self.writer.begin() as connection:
            yield connection

    async def shrink(self, pages: int) -> None:
        """Give so many empty pages at the end of the file back; those in use there move to empty ones before."""
        async with self.writer.connect() as connection:
            driver: Any = (await connection.get_raw_connection()).driver_connection
            # Run as a query, it would end after a page.
            await driver.executescript(f"PRAGMA incremental_vacuum({pages})")

    async def close(self) -> None:
        await self.reader.dispose()
        await self.writer.dispose()


async def bytes_of_pages(connection: AsyncConnection) -> tuple[int, int]:
    """Of SQLite: bytes of the pages that have something in them, and of the empty ones."""
    pages, empty, size = [
        int((await connection.exec_driver_sql(f"PRAGMA {name}")).scalar_one())
        for name in ("page_count", "freelist_count", "page_size")
    ]
    return (pages - empty) * size, empty * size


@asynccontextmanager
async def memory() -> AsyncIterator[Database]:
    """Gone after the block. A second connection keeps it while the first one is replaced after a cancelled query."""
    name = f"file:/jobrelay-{os.getpid()}-{next(_memories)}?vfs=memdb"
    engine = _sqlite(name, size=1, begin="BEGIN IMMEDIATE", pragmas={"auto_vacuum": "INCREMENTAL", **_PRAGMAS})
    keeper = _sqlite(name, size=1, begin="BEGIN", pragmas={})
    kept = await keeper.connect()
    database = Database(reader=engine, writer=engine)
    try:
        yield database
    finally:
        await database.close()
        await kept.close()
        await keeper.dispose()


@asynccontextmanager
async def file(path: Path, *, max_bytes: int | None) -> AsyncIterator[Database]:
    """A file of SQLite, made if it does not exist. What would have it grow above `max_bytes` fails."""
    name = f"file:{path.as_posix().replace('%', '%25').replace('?', '%3f').replace('#', '%23')}"
    # The first pragma of `_PRAGMAS` first: each of the others may have to wait for somebody.
    pragmas = {**_PRAGMAS, "auto_vacuum": "INCREMENTAL", "journal_mode": "WAL"}
    if max_bytes is not None:
        pragmas["max_page_count"] = max_bytes // _PAGE
    writer = _sqlite(name, size=1, begin="BEGIN IMMEDIATE", pragmas={**pragmas, "cache_size": _WRITER_CACHE})
    readers = {**_PRAGMAS, "cache_size": _READER_CACHE, "query_only": "ON"}
    database = Database(
        reader=_sqlite(name, size=READERS, begin="BEGIN", pragmas=readers),
        writer=writer,
        path=path,
    )
    try:
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def server(url: BrokerURL, *, patient: bool = False) -> AsyncIterator[Database]:
    """A PostgreSQL server. Raises `StoreRefused` for certificates that cannot be read.

    `patient`: no statement takes too long.
    """
    arguments = _arguments(url)
    if patient:
        arguments["command_timeout"] = None
        arguments["server_settings"] |= {"statement_timeout": "0", "lock_timeout": "0"}
    database = Database(
        reader=_postgresql(
            url, {**arguments, "server_settings": arguments["server_settings"] | _PLANNING}, size=READERS
        ),
        writer=_postgresql(url, arguments, size=2),
    )
    try:
        yield database
    finally:
        await database.close()


def _sqlite(name: str, *, size: int, begin: str, pragmas: Mapping[str, object]) -> AsyncEngine:
    engine = create_async_engine(
        URL.create("sqlite+aiosqlite", database=name, query={"uri": "true"}),
        poolclass=AsyncAdaptedQueuePool,
        pool_size=size,
        max_overflow=0,
        pool_timeout=_POOL_SECONDS,
        # The driver's own transactions would begin at the first change only.
        connect_args={"isolation_level": None},
        hide_parameters=True,
    )

    async def prepare(driver: aiosqlite.Connection) -> None:
        for pragma, value in pragmas.items():
            await _set(driver, pragma, value)

    def connected(connection: AdaptedConnection, _record: object) -> None:
        connection.run_async(prepare)

    def begun(connection: Any) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine.sync_engine, "connect", connected)
    event.listen(engine.sync_engine, "begin", begun)
    return engine


async def _set(driver: aiosqlite.Connection, pragma: str, value: object) -> None:
    """SQLite itself waits for other processes, but not to change the kind of journal."""
    until = time.monotonic() + _BUSY_MILLISECONDS / 1000
    while True:
        try:
            async with driver.execute(f"PRAGMA {pragma} = {value}"):
                return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= until:
                raise
        await asyncio.sleep(_BUSY_POLL_SECONDS)


def _postgresql(url: BrokerURL, arguments: Mapping[str, Any], *, size: int) -> AsyncEngine:
    host = url.hosts[0]
    return create_async_engine(
        URL.create(
            "postgresql+asyncpg",
            username=url.user,
            password=url.password,
            host=host.name.strip("[]"),
            port=host.port,
            database=url.path,
        ),
        connect_args={**arguments, "connection_class": _connection_class()},
        pool_size=size,
        max_overflow=0,
        pool_timeout=_POOL_SECONDS,
        pool_pre_ping=True,
        hide_parameters=True,
    )


@cache
def _connection_class() -> type[Any]:
    from asyncpg import Connection

    class Brief(Connection):
        """Cut off without the server's answer, if that takes long."""

        async def close(self, *, timeout: float | None = None) -> None:
            with suppress(TimeoutError):
                await super().close(timeout=timeout or _GOODBYE_SECONDS)  # type: ignore[no-untyped-call]

    return Brief


def _arguments(url: BrokerURL) -> dict[str, Any]:
    """Of asyncpg. A server that hears nothing any more ends our session, and with it the lock, after half a minute."""
    return {
        "timeout": _CONNECT_SECONDS,
        "command_timeout": _STATEMENT_SECONDS + _GRACE_SECONDS,
        "ssl": _tls(url.query),
        "server_settings": {
            "application_name": "jobrelay",
            "statement_timeout": f"{_STATEMENT_SECONDS}s",
            "lock_timeout": f"{_LOCK_SECONDS}s",
            "idle_in_transaction_session_timeout": "60s",
            "tcp_keepalives_idle": "10",
            "tcp_keepalives_interval": "5",
            "tcp_keepalives_count": "3",
            "tcp_user_timeout": "30s",
        },
    }


def _tls(query: Mapping[str, str]) -> ssl.SSLContext | str:
    """What `sslmode` asks for, as libpq reads it, but without a certificate to check by: those of the system."""
    mode = query.get("sslmode", "prefer")
    root = query.get("sslrootcert")
    if mode in ("disable", "allow", "prefer"):
        return mode
    try:
        context = client_context(root)
        if "sslcert" in query:
            context.load_cert_chain(query["sslcert"], query.get("sslkey"))
    except (OSError, ssl.SSLError) as error:
        raise StoreRefused(f"JOBRELAY_HISTORY: sslrootcert, sslcert or sslkey cannot be used: {error}") from error
    context.check_hostname = mode == "verify-full"
    if mode == "require" and root is None:
        context.verify_mode = ssl.CERT_NONE
    return context
