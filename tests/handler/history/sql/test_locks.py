"""One process records at a time, and whatever becomes of it, the next one can."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from events.phases import Phase
from handler.history.base import Store, StoreRefused, StoreUnavailable
from handler.history.sql import locks
from handler.history.sql.store import SqlStore, open_store
from tests.handler.history.sql.entries import BROKER, batch, entry
from tests.handler.history.stores import KINDS, POSTGRESQL, SQLITE, opened, url_of
from tests.paths import ROOT
from tests.patience import PATIENCE
from tests.postgres import run

SHARED = (SQLITE, POSTGRESQL)
HOLDER = """
import asyncio, sys
from handler.history.sql.store import open_store

async def main():
    async with open_store(sys.argv[1], migrate=True) as store, store.writing():
        print("holds", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@asynccontextmanager
async def holder(url: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Another process that is the writer; killed after the block."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, url, stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    try:
        assert process.stdout is not None
        assert await asyncio.wait_for(process.stdout.readline(), PATIENCE) == b"holds\n"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "POLL_SECONDS", 0.05)


async def waiting_to_write(store: Store) -> asyncio.Task[int]:
    """Somebody who wants to write while somebody else may."""
    waiting = asyncio.create_task(_write(store))
    await asyncio.wait({waiting}, timeout=0.5)
    assert not waiting.done()
    return waiting


@pytest.mark.parametrize("kind", SHARED)
async def test_another_process_waits_until_the_writer_was_killed(kind: str) -> None:
    async with url_of(kind) as url:
        assert url is not None
        async with holder(url) as process, open_store(url) as store:
            waiting = await waiting_to_write(store)
            assert (await store.find("task-1")) == []  # It can be read meanwhile.
            process.send_signal(signal.SIGKILL)
            assert await asyncio.wait_for(waiting, PATIENCE) == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_in_a_process_one_writes_after_the_other(kind: str) -> None:
    async with opened(kind) as store:
        async with store.writing():
            waiting = await waiting_to_write(store)
        assert await asyncio.wait_for(waiting, PATIENCE) == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_who_gives_up_waiting_holds_nothing(kind: str) -> None:
    async with opened(kind) as store:
        async with store.writing():
            waiting = await waiting_to_write(store)
            waiting.cancel()
            await asyncio.wait({waiting})
        assert await asyncio.wait_for(_write(store), PATIENCE) == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_a_cancelled_write_is_finished_and_costs_no_lock(kind: str) -> None:
    async with opened(kind) as store, store.writing() as writer:
        many = [entry(number, Phase.CREATED, time=1.0) for number in range(300)]
        adding = asyncio.create_task(writer.add(batch(1, *many), broker=BROKER, after=None))
        for _ in range(5):
            await asyncio.sleep(0)
            adding.cancel()
        await asyncio.wait({adding})
        assert adding.cancelled()
        position = await store.position(BROKER)
        assert position in (None, batch(1).cursor)
        more = batch(2, entry(301, Phase.CREATED, time=1.0))
        assert await writer.add(more, broker=BROKER, after=position) == 1


async def test_a_writer_that_lost_its_session_never_writes_again() -> None:
    async with url_of(POSTGRESQL) as url, open_store(url, migrate=True) as store:
        assert url is not None
        async with store.writing() as writer:
            await run(url, "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted")
            async with store.writing() as other:
                first = batch(1, entry(1, Phase.CREATED, time=1.0))
                assert await other.add(first, broker=BROKER, after=None) == 1
                for number in (2, 3):
                    with pytest.raises(StoreUnavailable):
                        late = batch(number, entry(number, Phase.CREATED, time=1.0))
                        await writer.add(late, broker=BROKER, after=first.cursor)
        assert await store.position(BROKER) == first.cursor


async def test_two_schemas_of_a_database_have_a_writer_each() -> None:
    async with url_of(POSTGRESQL) as url:
        assert url is not None
        async with open_store(url, migrate=True) as store, store.writing() as writer:
            first = batch(1, entry(1, Phase.CREATED, time=1.0))
            await writer.add(first, broker=BROKER, after=None)
            name = url.rpartition("/")[2]
            await run(url, "CREATE SCHEMA other", f"ALTER DATABASE {name} SET search_path = other")
            async with open_store(url, migrate=True) as other:
                assert await other.position(BROKER) is None
                assert await asyncio.wait_for(_write(other), PATIENCE) == 1


async def test_a_lock_file_that_somebody_removed_locks_nobody_out_and_nobody_in(tmp_path: Path) -> None:
    url = f"sqlite://{tmp_path}/history.db"
    async with open_store(url, migrate=True) as store:
        async with store.writing():
            pass
        (tmp_path / "history.db.lock").unlink()
        assert await asyncio.wait_for(_write(store), PATIENCE) == 1


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "smb3", "9p", "fuse.sshfs"])
async def test_network_file_systems_are_refused_by_name(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = tmp_path / "mounts"
    place = str(tmp_path).replace(" ", "\\040")
    mounts.write_text(f"none / ext4 rw 0 0\nserver:/export {place} {kind} rw 0 0\nnone {place}/local ext4 rw 0 0\n")
    monkeypatch.setattr(locks, "_MOUNTS", mounts)
    with pytest.raises(StoreRefused, match=f"JOBRELAY_HISTORY: .*{kind}"):
        async with open_store(f"sqlite://{tmp_path}/history.db", migrate=True):
            pass
    assert not (tmp_path / "history.db").exists()
    (tmp_path / "local").mkdir()
    async with open_store(f"sqlite://{tmp_path}/local/history.db", migrate=True):
        pass


async def _write(store: object) -> int:
    assert isinstance(store, SqlStore)
    async with store.writing() as writer:
        after = await store.position(BROKER)
        return await writer.add(batch(1, entry(1, Phase.CREATED, time=1.0)), broker=BROKER, after=after)
