"""Migrations: up and down on a filled database, by two processes at once, and never past what the program knows."""

import asyncio
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncConnection

from events.phases import Phase
from handler.history.base import StoreRefused
from handler.history.sql import database, schema
from handler.history.sql.revisions import REVISIONS
from handler.history.sql.schema import bring_up_to_date, move, revision_of
from handler.history.sql.store import SqlStore, open_store
from handler.history.sql.tables import VERSION_TABLE, metadata
from tests.handler.history.sql.entries import BROKER, batch, entry
from tests.handler.history.stores import POSTGRESQL, SQLITE, url_of
from tests.paths import ROOT

SHARED = (SQLITE, POSTGRESQL)


@pytest.fixture(params=SHARED)
async def url(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    async with url_of(str(request.param)) as made:
        assert made is not None
        yield made


@asynccontextmanager
async def changing(url: str, *, migrate: bool = False) -> AsyncIterator[AsyncConnection]:
    async with open_store(url, migrate=migrate) as store:
        assert isinstance(store, SqlStore)
        async with store._database.changing() as connection:
            yield connection


def test_the_program_knows_all_its_migrations() -> None:
    config = Config()
    config.set_main_option("script_location", str(schema._DIRECTORY))
    found = ScriptDirectory.from_config(config).walk_revisions()
    assert [script.revision for script in found] == list(reversed(REVISIONS))


async def test_tables_are_as_migrations_make_them(url: str) -> None:
    def differences(connection: Connection) -> object:
        context = MigrationContext.configure(
            connection, opts={"version_table": VERSION_TABLE, "compare_type": True, "compare_server_default": True}
        )
        return compare_metadata(context, metadata)

    async with changing(url, migrate=True) as connection:
        assert await connection.run_sync(differences) == []


async def test_up_and_down_on_a_filled_database(url: str) -> None:
    async with open_store(url, migrate=True) as store, store.writing() as writer:
        many = [entry(number, Phase.CREATED, time=1.0, tags=("a",)) for number in range(50)]
        await writer.add(batch(50, *many), broker=BROKER, after=None)
    async with changing(url) as connection:
        for revision in reversed(("base", *REVISIONS[:-1])):
            await connection.run_sync(move, revision)
            assert await revision_of(connection) == (None if revision == "base" else revision)
        tables = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
        assert set(tables) == {VERSION_TABLE}
        for revision in REVISIONS:
            await connection.run_sync(move, revision)
    async with open_store(url) as store, store.writing() as writer:
        assert await writer.add(batch(50, *many), broker=BROKER, after=None) == 50


async def test_a_migration_that_fails_leaves_nothing(url: str) -> None:
    class Broken(Exception):
        pass

    async def fail() -> None:
        async with open_store(url, migrate=True) as store:
            assert isinstance(store, SqlStore)
            async with store._database.changing() as connection:
                await connection.run_sync(move, "base")
                raise Broken

    with pytest.raises(Broken):
        await fail()
    async with open_store(url) as store:
        assert await store.since(0) == []


async def test_who_does_not_migrate_says_what_does(url: str) -> None:
    if url.startswith("sqlite"):
        Path(url.removeprefix("sqlite://")).touch()  # noqa: ASYNC240
    with pytest.raises(StoreRefused, match=r"no tables yet.*jobrelay run --role console"):
        async with open_store(url):
            pass


@pytest.mark.parametrize("migrate", [True, False])
async def test_a_newer_schema_is_refused_by_name(url: str, migrate: bool) -> None:
    async with changing(url, migrate=True) as connection:
        await connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '47'"))
    with pytest.raises(StoreRefused, match=rf"revision 47, .*newer than this program's \({REVISIONS[-1]}\)"):
        async with open_store(url, migrate=migrate):
            pass


async def test_tables_of_something_else_are_left_alone(url: str) -> None:
    async with changing(url, migrate=True) as connection:
        await connection.run_sync(move, "base")
        await connection.execute(text(f"DROP TABLE {VERSION_TABLE}"))
        await connection.execute(text("CREATE TABLE event (theirs INTEGER)"))
    with pytest.raises(StoreRefused, match="tables of something else"):
        async with open_store(url, migrate=True):
            pass


async def test_processes_that_migrate_at_the_same_time(url: str) -> None:
    async def migrate() -> None:
        async with open_store(url, migrate=True) as store:
            assert await store.since(0) == []

    await asyncio.gather(*(migrate() for _ in range(4)))


async def test_waits_for_another_process_that_makes_the_file(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as another:
        another.executescript("CREATE TABLE half_made (id INTEGER); BEGIN IMMEDIATE")

        async def migrate() -> None:
            async with open_store(f"sqlite://{path}", migrate=True) as store:
                assert await store.since(0) == []

        ours = asyncio.create_task(migrate())
        await asyncio.wait({ours}, timeout=0.5)
        assert not ours.done()
        another.execute("ROLLBACK")
        await ours


async def test_waits_for_another_process_that_migrates(monkeypatch: pytest.MonkeyPatch) -> None:
    async with url_of(POSTGRESQL) as url:
        assert url is not None
        async with changing(url, migrate=True) as first:
            await first.run_sync(move, "base")
            await bring_up_to_date(first)
            monkeypatch.setattr(database, "_STATEMENT_SECONDS", 2)
            monkeypatch.setattr(database, "_LOCK_SECONDS", 2)
            monkeypatch.setattr(database, "_GRACE_SECONDS", 0.1)

            async def migrate() -> None:
                async with open_store(url, migrate=True):
                    pass

            second = asyncio.create_task(migrate())
            await asyncio.wait({second}, timeout=2.5)
            assert not second.done()
        await second


def test_the_wheel_has_the_migrations(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {"handler/history/sql/migrations/env.py", "handler/history/sql/migrations/versions/first.py"} <= set(names)
