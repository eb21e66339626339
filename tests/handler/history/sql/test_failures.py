"""A database that is away, full, locked or refused: told by its error, nothing kept by halves, and it goes on."""

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from events.phases import Phase
from handler.history.base import Store, StoreRefused, StoreUnavailable, Wanted
from handler.history.sql import database as databases, finishing
from handler.history.sql.store import SqlStore, open_store
from tests.handler.history.sql.entries import BROKER, batch, entry
from tests.handler.history.stores import POSTGRESQL, SQLITE, opened, url_of
from tests.patience import PATIENCE, within
from tests.postgres import PostgresServer, need_postgres, run


@pytest.fixture(scope="module")
def own_server() -> Iterator[PostgresServer]:
    need_postgres()
    made = PostgresServer()
    try:
        yield made
    finally:
        made.remove()


@pytest.fixture
def server(own_server: PostgresServer) -> PostgresServer:
    """One that the test may stop."""
    own_server.start()
    return own_server


async def test_goes_on_after_the_server_was_away(server: PostgresServer) -> None:
    async with open_store(server.url, migrate=True) as store:
        async with store.writing() as writer:
            first = batch(1, entry(1, Phase.CREATED, time=1.0))
            await writer.add(first, broker=BROKER, after=None)
            server.stop()
            second = batch(2, entry(2, Phase.CREATED, time=1.0))
            with pytest.raises(StoreUnavailable):
                await writer.add(second, broker=BROKER, after=first.cursor)
            with pytest.raises(StoreUnavailable):
                await store.page(Wanted(), limit=5)
            with pytest.raises(StoreUnavailable):
                async with store.writing():
                    pass
            server.start()
            assert len((await store.page(Wanted(), limit=5)).requests) == 1
            with pytest.raises(StoreUnavailable):
                await writer.add(second, broker=BROKER, after=first.cursor)
        async with store.writing() as writer:
            assert await writer.add(second, broker=BROKER, after=first.cursor) == 1


@pytest.mark.stricter
async def test_a_server_that_hangs_keeps_nobody_from_ending(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finishing, "SECONDS", 0.5)
    async with open_store(server.url, migrate=True) as store, AsyncExitStack() as stack:

        async def use() -> None:
            async with store.writing() as writer, asyncio.TaskGroup() as group:
                await writer.add(batch(1, entry(1, Phase.CREATED, time=1.0)), broker="hanging", after=None)
                for _ in range(databases.READERS):
                    group.create_task(store.page(Wanted(), limit=5))
                await asyncio.sleep(0)
                await stack.enter_async_context(server.hanging())
                begun.set()
                await store.position(BROKER)

        begun = asyncio.Event()
        using = asyncio.create_task(use())
        waiting = asyncio.create_task(begun.wait())
        await asyncio.wait({using, waiting}, return_when=asyncio.FIRST_COMPLETED)
        since = time.monotonic()
        using.cancel()
        await asyncio.wait({using})
        assert using.cancelled()
        # Its connections are closed while it hangs, too.
        await store._database.close()  # type: ignore[attr-defined]
        assert time.monotonic() - since < within(10)


async def test_a_server_that_is_away_when_it_is_opened(server: PostgresServer) -> None:
    server.stop()
    with pytest.raises(StoreUnavailable, match="does not answer"):
        async with open_store(server.url, migrate=True):
            pass


@pytest.mark.parametrize(
    ("statements", "change", "said"),
    [
        ((), ("/postgres", "/nowhere"), 'database "nowhere" does not exist'),
        ((), ("jobrelay@", "nobody:secret@"), 'role "nobody" does not exist'),
        (("CREATE ROLE guest LOGIN", "CREATE DATABASE theirs"), ("jobrelay@", "guest@"), "permission denied"),
    ],
)
async def test_what_will_not_pass_is_refused(
    server: PostgresServer, statements: tuple[str, ...], change: tuple[str, str], said: str
) -> None:
    await run(server.url, *statements)
    url = server.url.replace(*change)
    with pytest.raises(StoreRefused, match=said) as caught:
        async with open_store(url, migrate=True):
            pass
    assert "secret" not in str(caught.value)


async def test_nothing_waits_for_ever_for_a_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "_LOCK_SECONDS", 1)
    async with url_of(POSTGRESQL) as url, open_store(url, migrate=True) as store, store.writing() as writer:
        assert url is not None
        async with _sql(store).changing() as other:
            await other.exec_driver_sql("LOCK TABLE request")
            with pytest.raises(StoreUnavailable):
                await writer.add(batch(1, entry(1, Phase.CREATED, time=1.0)), broker=BROKER, after=None)
        assert await writer.add(batch(1, entry(1, Phase.CREATED, time=1.0)), broker=BROKER, after=None) == 1


async def test_a_statement_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "_STATEMENT_SECONDS", 3)
    async with opened(POSTGRESQL) as store:

        async def sleep() -> None:
            async with _reading(store) as connection:
                await connection.exec_driver_sql("SELECT pg_sleep(100)")

        with pytest.raises(StoreUnavailable, match="statement timeout"):
            await asyncio.wait_for(sleep(), PATIENCE)
        assert (await store.page(Wanted(), limit=5)).requests == []


async def test_readers_wait_for_a_connection_no_longer_than_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "_POOL_SECONDS", 0.2)
    async with opened(SQLITE) as store:
        async with AsyncExitStack() as holding:
            for _ in range(databases.READERS):
                _ = await holding.enter_async_context(_sql(store).reading())
            with pytest.raises(StoreUnavailable, match="no connection"):
                await store.page(Wanted(), limit=5)
        assert (await store.page(Wanted(), limit=5)).requests == []


async def test_a_file_that_another_process_locks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(databases._PRAGMAS, "busy_timeout", 100)
    async with open_store(f"sqlite://{tmp_path}/history.db", migrate=True) as store, store.writing() as writer:
        other = sqlite3.connect(tmp_path / "history.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        first = batch(1, entry(1, Phase.CREATED, time=1.0))
        with pytest.raises(StoreUnavailable, match="locked"):
            await writer.add(first, broker=BROKER, after=None)
        other.execute("ROLLBACK")
        other.close()
        assert await writer.add(first, broker=BROKER, after=None) == 1


async def test_a_full_disk_keeps_nothing_by_halves(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async with open_store(f"sqlite://{tmp_path}/history.db", migrate=True) as store, store.writing() as writer:
        async with _sql(store).changing() as connection:
            pages = (await connection.exec_driver_sql("PRAGMA page_count")).scalar_one()
            await connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 2}")
        many = batch(1, *(entry(number, Phase.CREATED, time=1.0) for number in range(500)))
        with pytest.raises(StoreUnavailable, match="full"):
            await writer.add(many, broker=BROKER, after=None)
        assert await store.position(BROKER) is None
        assert (await store.page(Wanted(), limit=5)).requests == []
        async with _sql(store).changing() as connection:
            await connection.exec_driver_sql("PRAGMA max_page_count = 100000")
        assert await writer.add(many, broker=BROKER, after=None) == 500


async def test_a_mistake_of_ours_stays_an_error() -> None:
    async with opened(SQLITE) as store:
        with pytest.raises(Exception, match="no such table") as caught:
            async with _reading(store) as connection:
                await connection.exec_driver_sql("SELECT * FROM nowhere")
        assert not isinstance(caught.value, StoreUnavailable)


@pytest.mark.parametrize("content", [b"not a database at all" * 100, b""])
async def test_a_file_of_something_else_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "history.db").write_bytes(content)
    with pytest.raises(StoreRefused, match=r"not a database|no tables"):
        async with open_store(f"sqlite://{tmp_path}/history.db"):
            pass


async def test_places_that_cannot_hold_a_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    for path, said in (
        (tmp_path / "nowhere" / "history.db", "JOBRELAY_HISTORY: there is no directory"),
        (tmp_path / "directory", "JOBRELAY_HISTORY: .* is a directory"),
        (tmp_path / "history.db", "JOBRELAY_HISTORY: there is no .*jobrelay run --role console"),
    ):
        with pytest.raises(StoreRefused, match=said):
            async with open_store(f"sqlite://{path}", migrate=path.parent != tmp_path):
                pass
    assert not (tmp_path / "history.db").exists()


async def test_odd_names_of_files(tmp_path: Path) -> None:
    path = tmp_path / "100% ours;mode=ro é.db"
    async with open_store(f"sqlite://{path}", migrate=True) as store, store.writing() as writer:
        assert await writer.add(batch(1, entry(1, Phase.CREATED, time=1.0)), broker=BROKER, after=None) == 1
    assert path.stat().st_size > 0
    assert path.stat().st_mode & 0o007 == 0


def _sql(store: Store) -> databases.Database:
    assert isinstance(store, SqlStore)
    return store._database


def _reading(store: Store) -> AbstractAsyncContextManager[AsyncConnection]:
    assert isinstance(store, SqlStore)
    return store._reading()
