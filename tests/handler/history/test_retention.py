"""What is too old goes, and the oldest where room is short; what has not ended stays, and recording goes on."""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import event

from adapters.base import Cursor
from events.phases import LAST, Phase
from handler.history import retention as module
from handler.history.base import (
    Action,
    Batch,
    Entry,
    KeptLog,
    Key,
    LogState,
    PodRun,
    Room,
    Store,
    StoreUnavailable,
    Unreadable,
    Wanted,
    Writer,
)
from handler.history.retention import DAY, EVERY_SECONDS, LOOK_SECONDS, Retention
from handler.history.sql.ballast import ENOUGH, LOW, SIZE, Ballast
from handler.history.sql.store import SqlStore, open_store
from handler.settings.settings import Settings
from handler.telemetry.metrics import Metrics
from k8s.background import beside
from tests.handler.history.stores import KINDS, SQLITE, opened
from tests.handler.history.volumes import mounted
from tests.patience import PATIENCE

NOW = 1_800_000_000.0
SETTINGS = Settings.model_validate({"history_days": 10, "log_days": 2})
BROKER = "nats"


@pytest.fixture(params=KINDS)
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    async with opened(str(request.param)) as made:
        yield made


class Elsewhere:
    """Chunks outside of the database. Those of `broken` pods cannot be deleted now."""

    def __init__(self) -> None:
        self.chunks: dict[tuple[str, str, int], bytes] = {}
        self.broken: set[str] = set()

    async def put(self, pod: str, container: str, number: int, body: bytes) -> None:
        self.chunks[pod, container, number] = body

    async def get(self, pod: str, container: str, number: int) -> bytes | None:
        return self.chunks.get((pod, container, number))

    async def delete(self, pod: str, container: str, numbers: Sequence[int]) -> None:
        if pod in self.broken:
            raise StoreUnavailable("no answer")
        for number in numbers:
            self.chunks.pop((pod, container, number), None)


def told(name: str, phase: Phase, *, days: float, **more: Any) -> Entry:
    """An event of so many days ago."""
    return Entry(
        id=f"{name}/{phase}",
        key=Key(id=name, cause=f"cause of {name}", source="/shop"),
        phase=phase,
        time=NOW - days * DAY,
        changes={"service": "billing", "job_uid": name},
        body=b"{}",
        **more,
    )


def lived(name: str, *, days: float, phase: Phase = Phase.SUCCEEDED) -> list[Entry]:
    """The events of a request with a pod, the last of them so many days ago."""
    pod = PodRun(uid=f"pod of {name}", name=name, namespace="default")
    return [
        told(name, Phase.CREATED, days=days + 1, tags=("nightly",)),
        told(name, Phase.STARTED, days=days + 1, pod=pod),
        *([told(name, phase, days=days)] if phase is not Phase.STARTED else []),
    ]


async def record(writer: Writer, entries: Sequence[Entry], store: Store, **more: Any) -> None:
    before = await store.position(BROKER)
    after = Cursor("made", (before.sequence if before else 0) + 1, "digest")
    await writer.add(Batch(cursor=after, entries=entries, **more), broker=BROKER, after=before)


async def keep_log(writer: Writer, name: str, *, days: float, size: int = 3, elsewhere: bool = False) -> None:
    """The log of its pod, in two chunks."""
    log = KeptLog(
        pod=f"pod of {name}",
        container="main",
        state=LogState.WHOLE,
        bytes=2 * size,
        chunks=(0, 1),
        read=NOW - days * DAY,
    )
    await writer.keep_log(log, put={} if elsewhere else {0: b"a" * size, 1: b"b" * size})


def keeping(store: Store, **more: Any) -> Retention:
    settings = more.pop("settings", SETTINGS)
    return Retention(settings, store, more.pop("metrics", Metrics()), clock=lambda: NOW, **more)


async def through(retention: Retention) -> None:
    """Steps until nothing is left to do."""
    async with asyncio.timeout(PATIENCE):
        while await retention.step() < LOOK_SECONDS:
            pass


async def names(store: Store) -> list[str]:
    return [request.key.id for request in (await store.page(Wanted(), limit=200)).requests]


async def test_ended_requests_go_by_age_with_all_that_is_theirs(store: Store) -> None:
    metrics = Metrics()
    async with store.writing() as writer:
        await record(writer, [*lived("old", days=11), *lived("young", days=9)], store)
        await keep_log(writer, "old", days=11)
        (old,) = await store.find("old")
        await through(keeping(store, metrics=metrics))
    assert await names(store) == ["young"]
    assert (await store.page(Wanted(tag="nightly"), limit=10)).requests == await store.find("young")
    assert await store.events(old.pk) == []
    assert await store.pods(old.pk) == []
    assert await store.logs("pod of old") == []
    assert await store.chunk("pod of old", "main", 0) is None
    assert len(await store.since(0)) == 3
    pruned = {what: metrics.history_pruned.labels(what)._value.get() for what in ("requests", "logs")}
    assert pruned == {"requests": 1, "logs": 1}


@pytest.mark.parametrize("phase", sorted(set(Phase) - LAST))
async def test_what_has_not_ended_stays_whatever_its_age(phase: Phase) -> None:
    async with opened(SQLITE) as store, store.writing() as writer:
        await record(writer, [told("waits", phase, days=4000), *lived("old", days=3999)], store)
        await through(keeping(store))
        assert await names(store) == ["waits"]


async def test_the_log_of_a_request_goes_before_it_and_says_so(store: Store) -> None:
    async with store.writing() as writer:
        await record(writer, [*lived("one", days=1), *lived("two", days=1)], store)
        await keep_log(writer, "one", days=3)
        await keep_log(writer, "two", days=1)
        await through(keeping(store))
    (gone,), (kept,) = await store.logs("pod of one"), await store.logs("pod of two")
    assert (gone.state, gone.bytes, gone.chunks) == (LogState.EXPIRED, 0, ())
    assert await store.chunk("pod of one", "main", 1) is None
    assert kept.state is LogState.WHOLE
    assert await store.chunk("pod of two", "main", 1) == b"bbb"
    assert sorted(await names(store)) == ["one", "two"]


async def test_statistics_actions_and_unreadable_records_go_by_age(store: Store) -> None:
    actions = [
        Action(id=name, time=NOW - days * DAY, actor="eve", verb="cancel", request_id="x", outcome="accepted")
        for name, days in (("old", 11), ("young", 9))
    ]
    unreadable = [
        Unreadable(sequence=number, time=NOW - days * DAY, reason="no JSON", body=b"\0")
        for number, days in ((1, 11), (2, 9))
    ]
    async with store.writing() as writer:
        entries = [told("old", Phase.CREATED, days=11), told("young", Phase.CREATED, days=9)]
        await record(writer, entries, store, actions=actions, unreadable=unreadable)
        await through(keeping(store))
    assert [action.id for action in (await store.actions()).actions] == ["young"]
    assert [stat.hour for stat in await store.stats()] == [(NOW - 9 * DAY) // 3600 * 3600]
    # They have not ended, and what is told of them stays.
    assert sorted(await names(store)) == ["old", "young"]


async def test_statistics_of_very_many_services_go_in_parts(store: Store) -> None:
    hour = (NOW - 20 * DAY) // 3600 * 3600
    entries = [
        Entry(
            id=f"{number}",
            key=Key(id="one", cause="one", source="/shop"),
            phase=Phase.CREATED,
            time=hour + number % 2 * 3600,
            changes={"service": f"Sérvice-{number % 25}", "job_uid": f"{number}"},
            body=b"{}",
        )
        for number in range(50)
    ]
    async with store.writing() as writer:
        await record(writer, [*entries, told("young", Phase.CREATED, days=1)], store)
        before = len(await store.stats())
        left = []
        more = True
        while more:
            more = (await store.prune(requests_before=NOW - 10 * DAY, logs_before=None, limit=20)).more
            left.append(len(await store.stats()))
    assert before > 45
    assert left == [*range(before - 20, 1, -20), 1]


async def test_finds_what_goes_by_indexes() -> None:
    """Among a million requests that have not ended it would else look at all of them, for each batch."""
    asked: list[tuple[str, Any]] = []

    def executes(_c: object, _cursor: object, statement: str, values: Any, _context: object, many: bool) -> None:
        asked.append((statement, values[0] if many else values))

    async with opened(SQLITE) as store, store.writing() as writer:
        assert isinstance(store, SqlStore)
        await record(writer, [*lived("old", days=11), *lived("young", days=1)], store)
        await keep_log(writer, "young", days=3)
        for engine in (store._database.reader, store._database.writer):
            event.listen(engine.sync_engine, "before_cursor_execute", executes)
        await store.prune(requests_before=NOW - 10 * DAY, logs_before=NOW)
        plans = []
        for statement, values in [one for one in asked if one[0].startswith(("SELECT", "DELETE", "UPDATE"))]:
            async with store._database.reading() as connection:
                found = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
                plans += [f"{step.detail}: {statement}" for step in found]
    assert len(plans) > 30
    # At most a thousand of those are kept.
    seen = [plan for plan in plans if "SCAN unreadable" not in plan]
    assert not [plan for plan in seen if re.match(r"SCAN (?!anon)|SEARCH request USING INDEX", plan)]


async def test_deletes_in_small_batches_and_rests_between_them(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 10)
    async with store.writing() as writer:
        await record(writer, [event for number in range(35) for event in lived(f"{number:02d}", days=20)], store)
        retention = keeping(store)
        left = []
        for _ in range(4):
            pause = await retention.step()
            left.append(len(await names(store)))
            # A rest is as long as the batch took, however slow the machine is; a look is awaited when all are gone.
            assert pause > 0
            assert (pause == LOOK_SECONDS) == (not left[-1])
    assert left == [25, 15, 5, 0]


async def test_a_request_with_many_events_goes_in_several_transactions(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handler.history.sql.pruning.EVENTS_MOST", 10)
    progress = [
        Entry(**{**_fields(told("busy", Phase.PROGRESS, days=20)), "id": f"busy/progress/{number}"})
        for number in range(35)
    ]
    async with store.writing() as writer:
        await record(writer, [*progress, *lived("busy", days=20), *lived("young", days=1)], store)
        pruned = await store.prune(requests_before=NOW - DAY * 10, logs_before=None)
        assert (pruned.requests, pruned.more) == (0, True)
        await through(keeping(store))
    assert await names(store) == ["young"]
    assert len(await store.since(0)) == 3


def _fields(entry: Entry) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in Entry.__struct_fields__}


async def test_chunks_elsewhere_are_deleted_before_anything_forgets_them(store: Store) -> None:
    bodies = Elsewhere()
    async with store.writing() as writer:
        for name in ("one", "two"):
            await record(writer, lived(name, days=11), store)
            await keep_log(writer, name, days=11, elsewhere=True)
            for number in range(2):
                await bodies.put(f"pod of {name}", "main", number, b"x")
        bodies.broken = {"pod of one"}
        retention = keeping(store, bodies=bodies)
        await through(retention)
        assert await names(store) == ["one"]
        assert [log.chunks for log in await store.logs("pod of one")] == [(0, 1)]
        assert sorted(bodies.chunks) == [("pod of one", "main", 0), ("pod of one", "main", 1)]
        bodies.broken = set()
        await through(keeping(store, bodies=bodies))
    assert await names(store) == []
    assert bodies.chunks == {}


async def test_more_of_a_log_that_came_meanwhile_is_not_lost(store: Store) -> None:
    class Slow(Elsewhere):
        async def delete(self, pod: str, container: str, numbers: Sequence[int]) -> None:
            await writer.keep_log(later)

    later = KeptLog(
        pod="pod of one", container="main", state=LogState.WHOLE, bytes=9, chunks=(2, 3), read=NOW, head=1, dropped=2
    )
    async with store.writing() as writer:
        await record(writer, lived("one", days=1), store)
        await keep_log(writer, "one", days=3, elsewhere=True)
        await through(keeping(store, bodies=Slow()))
        assert await store.logs("pod of one") == [later]


async def test_searches_what_is_too_old_at_the_start_and_every_ten_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    async with opened(SQLITE) as store, store.writing() as writer:
        retention = keeping(store)
        await record(writer, lived("first", days=11), store)
        await retention.step()
        await record(writer, lived("second", days=11), store)
        clock[0] += EVERY_SECONDS - LOOK_SECONDS
        await retention.step()
        assert await names(store) == ["second"]
        clock[0] += LOOK_SECONDS
        await retention.step()
        assert await names(store) == []


async def test_tries_again_when_the_database_was_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    async with opened(SQLITE) as store, store.writing() as writer:
        await record(writer, lived("old", days=11), store)
        room, asked = store.room, 0

        async def ill() -> Room | None:
            nonlocal asked
            asked += 1
            if asked < 3:
                raise StoreUnavailable("the database is away")
            return await room()

        monkeypatch.setattr(store, "room", ill)
        async with asyncio.timeout(PATIENCE), beside(keeping(store).run()):
            while await names(store):
                await asyncio.sleep(0.01)
        assert asked >= 3


def bounded(mebibytes: int, **more: object) -> Settings:
    """With a bound that is smaller than may be set."""
    return SETTINGS.model_copy(update={"history_max_bytes": mebibytes << 20, **more})


def heavy(name: str, *, size: int) -> list[Entry]:
    """An ended request whose event does not compress."""
    return [Entry(**{**_fields(told(name, Phase.SUCCEEDED, days=1)), "body": os.urandom(size)})]


async def test_the_file_stays_below_its_bound_while_recording_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    bound, written, sizes = 8 << 20, 0, []
    async with (
        open_store(f"sqlite://{tmp_path}/history.db", migrate=True, max_bytes=bound) as store,
        store.writing() as writer,
        beside(keeping(store, settings=bounded(8)).run()),
        asyncio.timeout(PATIENCE),
    ):
        while written < 2 * bound:
            some = [one for part in range(8) for one in heavy(f"{written:09}-{part}", size=30_000)]
            # Where recording is faster than deleting, it has to wait.
            with suppress(StoreUnavailable):
                await record(writer, some, store)
                written += 8 * 30_000
            sizes.append((tmp_path / "history.db").stat().st_size)
        newest = (await names(store))[:8]
    assert bound * 3 // 4 < max(sizes) <= bound
    assert sorted(newest) == [f"{written - 8 * 30_000:09}-{part}" for part in range(8)]


async def test_what_does_not_fit_is_recorded_once_there_is_room(tmp_path: Path) -> None:
    bound, number = 1 << 20, 0
    url = f"sqlite://{tmp_path}/history.db"
    async with open_store(url, migrate=True, max_bytes=bound) as store, store.writing() as writer:
        with pytest.raises(StoreUnavailable, match="full"):
            while True:
                await record(writer, heavy(f"{number:03}", size=30_000), store)
                number += 1
        assert len(await names(store)) == number
        await through(keeping(store, settings=SETTINGS.model_copy(update={"history_max_bytes": bound})))
        await record(writer, heavy("more", size=30_000), store)
        assert "more" in await names(store)
        assert "000" not in await names(store)
    assert (tmp_path / "history.db").stat().st_size <= bound


async def test_where_room_is_short_the_oldest_logs_go_first(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEAST", 4)
    monkeypatch.setattr(module, "MOST", 4)
    every = [f"{number:02}" for number in range(12)]

    async def with_log() -> list[str]:
        return [name for name in every for log in await store.logs(f"pod of {name}") if log.bytes]

    async def room() -> Room:
        """Short until so many of them are gone."""
        gone = 2 * len(every) - len(await with_log()) - len(await names(store))
        return Room(used=(8 << 20) if gone < wanted else 0, spare=0, free=1 << 40)

    monkeypatch.setattr(store, "room", room)
    async with store.writing() as writer:
        for name in every:
            await record(writer, lived(name, days=1 - int(name) / 100), store)
            await keep_log(writer, name, days=1 - int(name) / 100)
        wanted = 6
        await through(keeping(store, settings=bounded(8)))
        assert (await with_log(), len(await names(store))) == (every[8:], 12)
        wanted = 14
        await through(keeping(store, settings=bounded(8)))
        assert await with_log() == []
    assert sorted(await names(store)) == every[4:]


async def test_where_logs_are_kept_elsewhere_deleting_them_makes_no_room(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def room() -> Room:
        return Room(used=(8 << 20) if len(await names(store)) > 1 else 0, spare=0, free=1 << 40)

    monkeypatch.setattr(store, "room", room)
    monkeypatch.setattr(module, "LEAST", 1)
    async with store.writing() as writer:
        for name in ("one", "two"):
            await record(writer, lived(name, days=1), store)
            await keep_log(writer, name, days=1, elsewhere=True)
        await through(keeping(store, settings=bounded(8), bodies=Elsewhere()))
        assert await names(store) == ["two"]
        assert [log.bytes for log in await store.logs("pod of two")] == [6]


async def test_says_once_that_nothing_may_be_deleted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(SQLITE) as store, store.writing() as writer:
        await record(writer, lived("runs", days=4000, phase=Phase.STARTED), store)

        async def room() -> Room:
            return Room(used=8 << 20, spare=0, free=1 << 40)

        monkeypatch.setattr(store, "room", room)
        retention = keeping(store, settings=bounded(8))
        assert [await retention.step() for _ in range(3)] == [LOOK_SECONDS] * 3
        assert await names(store) == ["runs"]
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == [
        "no room in the history, and nothing in it that may be deleted"
    ]


async def test_a_full_volume_is_no_end(tmp_path: Path) -> None:
    """SQLite could not even delete on it: the ballast goes first."""
    number = 0

    async def record_some(writer: Writer, store: Store) -> None:
        nonlocal number
        await record(writer, [one for part in range(20) for one in heavy(f"{number:04}-{part:02}", size=50_000)], store)
        number += 1

    with mounted(tmp_path / "volume", mebibytes=64) as volume:
        url = f"sqlite://{volume}/history.db"
        settings = bounded(64, history=url)
        async with open_store(url, migrate=True) as store, store.writing() as writer:
            await keeping(store, settings=settings).step()
            (volume / "others").write_bytes(b"\0" * (32 << 20))
            with pytest.raises(StoreUnavailable, match="full"):
                for _ in range(64):
                    await record_some(writer, store)
        # Nor could SQLite open the database.
        async with open_store(url, migrate=True) as store, store.writing() as writer:
            retention = keeping(store, settings=settings)
            for _ in range(24):
                await retention.step()
                await record_some(writer, store)
            assert (await store.find(f"{number - 1:04}-19")) != []
            assert (await store.find("0000-00")) == []


def test_ballast_is_made_where_there_is_room_and_given_up_where_there_is_none(tmp_path: Path) -> None:
    ballast, path = Ballast(tmp_path / "history.db"), tmp_path / "history.db.ballast"
    ballast.take(ENOUGH - 1)
    assert not path.exists()
    ballast.take(ENOUGH)
    assert path.stat().st_blocks * 512 >= SIZE
    assert not ballast.give_way(LOW)
    assert path.exists()
    assert ballast.give_way(LOW - 1)
    assert not path.exists()
    assert not ballast.give_way(0)
    Ballast(tmp_path / "missing" / "history.db").take(ENOUGH)
