"""Recording a broker's log, on each kind of store."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from prometheus_client import generate_latest

from adapters.base import BrokerUnavailable, Cursor, Kind, Record, Topic
from adapters.memory import MemoryBroker
from events.phases import Phase
from handler.history.base import Batch, LockLost, Store, StoreUnavailable, Wanted, Writer
from handler.history.recording import facts, inbox as inboxes, recorder as recorders
from handler.history.recording.inbox import MOST_BYTES, MOST_RECORDS
from handler.history.recording.recorder import Recorder
from handler.telemetry.metrics import Metrics
from k8s.background import beside
from tests.handler.history.recording.contents import contents, event_ids
from tests.handler.history.recording.records import a_life, key_of, lifecycle, record_of, stored
from tests.handler.history.stores import KINDS, MEMORY, SQLITE, opened
from tests.handler.samples import until
from tests.long import LONG
from tests.patience import PATIENCE

NAME = "memory"


@pytest.fixture(params=KINDS)
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    async with opened(request.param) as found:
        yield found


@pytest.fixture
async def in_memory() -> AsyncIterator[Store]:
    async with opened(MEMORY) as found:
        yield found


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


async def tell(broker: Any, events: Sequence[Any]) -> None:
    for event in events:
        await broker.publish(Topic(Kind.LIFECYCLE, key_of(event)), event)


async def caught_up(recorder: Recorder) -> None:
    """Until it knows, too: what is committed can be read a moment before."""

    async def look() -> bool:
        return recorder.problem is None and recorder.lag == 0

    await until(look)


@asynccontextmanager
async def recording(broker: Any, store: Store, metrics: Metrics) -> AsyncIterator[Recorder]:
    """A recorder, which has no lag and no problem at the end."""
    made = Recorder(broker, reader=store, metrics=metrics)
    async with store.writing() as writer, beside(made.run(writer)):
        yield made
        await caught_up(made)


async def recorded(store: Store, sequence: int) -> Cursor:
    """The position, once it is at this record."""

    async def look() -> Cursor | None:
        found = await store.position(NAME)
        return found if found is not None and found.sequence >= sequence else None

    return await until(look)


async def test_what_is_told_is_recorded_and_what_follows_too(
    broker: MemoryBroker, store: Store, metrics: Metrics
) -> None:
    await tell(broker, a_life("r-1") + a_life("r-2", end="failed"))
    async with recording(broker, store, metrics):
        await recorded(store, 6)
        await tell(broker, a_life("r-3")[:2])
        await recorded(store, 8)
    phases = {row.key.id: row.phase for row in (await store.page(Wanted(), limit=10)).requests}
    assert phases == {"r-1": Phase.SUCCEEDED, "r-2": Phase.FAILED, "r-3": Phase.STARTED}
    assert metrics.history_events.labels(NAME)._value.get() == 8
    (one,) = await store.find("r-1")
    assert [told.phase for told in await store.events(one.pk)] == ["created", "started", "succeeded"]
    assert [pod.name for pod in await store.pods(one.pk)] == ["r-1-0"]
    assert sum(stat.n for stat in await store.stats()) == 5


async def test_recording_the_log_again_changes_nothing(broker: MemoryBroker, store: Store, metrics: Metrics) -> None:
    await tell(broker, [event for number in range(12) for event in a_life(f"r-{number}")])
    async with recording(broker, store, metrics):
        await recorded(store, 36)
    before, at = await contents(store), await store.position(NAME)
    for position in (None, Cursor("", 17, "0" * 32)):
        await store.settle_position(NAME, position)
        async with recording(broker, store, metrics):
            await recorded(store, 36)
        assert await contents(store) == before
        assert await store.position(NAME) == at
    assert metrics.history_events.labels(NAME)._value.get() == 36


async def test_who_asked_for_a_request_is_recorded_once(broker: MemoryBroker, store: Store, metrics: Metrics) -> None:
    first = lifecycle("created", attributes={"actor": "ann"})
    refusal = lifecycle("rejected", "r-2", uid=None, attributes={"actor": "bob", "replayof": "r-1"})
    await tell(broker, [first, refusal])
    for _ in range(2):
        async with recording(broker, store, metrics):
            await recorded(store, 2)
        page = (await store.actions()).actions
        found = {(one.actor, one.verb, one.request_id, one.outcome) for one in page}
        assert found == {("ann", "submit", "r-1", "created"), ("bob", "again", "r-2", "rejected")}
        assert len(page) == 2
        await store.settle_position(NAME, None)
    assert metrics.history_events.labels(NAME)._value.get() == 2


async def test_somebody_sets_the_position_while_it_records(
    broker: MemoryBroker, store: Store, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorders, "LOOK_SECONDS", 0.02)
    await tell(broker, a_life("r-1"))
    async with recording(broker, store, metrics):
        end = await recorded(store, 3)
        # Noticed on a quiet log, and by the next batch.
        await store.settle_position(NAME, None)
        assert await recorded(store, 3) == end
        await store.settle_position(NAME, None)
        await tell(broker, a_life("r-2")[:1])
        await recorded(store, 4)
        assert sorted(row.key.id for row in (await store.page(Wanted(), limit=9)).requests) == ["r-1", "r-2"]
    assert [stat.n for stat in await store.stats()] == [2, 1]


class Tape:
    """A log as the recorder sees it, that its test writes. `away`: it cannot be opened."""

    def __init__(self, *records: Record) -> None:
        self.name = NAME
        self.records = list(records)
        self.away = 0
        self.read = 0
        self.opened: list[Cursor | None] = []
        self._more = asyncio.Event()

    def put(self, *records: Record) -> None:
        self.records += records
        self._more.set()

    @asynccontextmanager
    async def history(self, kind: Kind, *, follow: bool, after: Cursor | None) -> AsyncIterator[AsyncIterator[Record]]:
        assert (kind, follow) == (Kind.LIFECYCLE, True)
        if self.away:
            self.away -= 1
            raise BrokerUnavailable("no such stream")
        self.opened.append(after)
        yield self._read(after)

    async def _read(self, after: Cursor | None) -> AsyncIterator[Record]:
        places = [record.cursor for record in self.records]
        at = places.index(after) + 1 if after in places else 0
        while True:
            self._more.clear()
            while at < len(self.records):
                self.read += 1
                yield self.records[at]
                at += 1
            await self._more.wait()


class Fragile:
    """A writer that fails in the ways it is told: what `add` raises, before or after it has written."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self.before: list[Exception] = []
        self.after: list[Exception] = []
        self.batches: list[Batch] = []
        self.ill = False

    async def add(self, batch: Batch, *, broker: str, after: Cursor | None) -> int:
        self.batches.append(batch)
        if self.ill:
            raise StoreUnavailable("the disk is full")
        if self.before:
            raise self.before.pop(0)
        new = await self._writer.add(batch, broker=broker, after=after)
        if self.after:
            raise self.after.pop(0)
        return new


@asynccontextmanager
async def played(tape: Tape, store: Store, metrics: Metrics) -> AsyncIterator[tuple[Recorder, Fragile]]:
    made = Recorder(cast(Any, tape), reader=store, metrics=metrics)
    async with store.writing() as writer:
        fragile = Fragile(writer)
        async with beside(made.run(cast(Writer, fragile))):
            yield made, fragile
            await caught_up(made)


def lives(count: int, *, first: int = 1, stream: str = "s", name: str = "r") -> list[Record]:
    """Records of this many requests, 3 each."""
    events = [event for number in range(count) for event in a_life(f"{name}-{number}")]
    return [record_of(event, sequence, stream=stream) for sequence, event in enumerate(events, first)]


async def test_records_lost_by_retention_are_counted(in_memory: Store, metrics: Metrics, caplog: Any) -> None:
    records = lives(4)
    async with played(Tape(*records[:3]), in_memory, metrics):
        await recorded(in_memory, 3)
    # Seven days later.
    async with played(Tape(*records[8:]), in_memory, metrics):
        await recorded(in_memory, 12)
    assert metrics.history_gap.labels(NAME)._value.get() == 5
    assert [record.message for record in caplog.records if record.levelno == logging.ERROR] == [
        "5 records of the log of memory were gone before they were recorded"
    ]
    assert len((await in_memory.page(Wanted(), limit=9)).requests) == 3


async def test_what_a_new_history_does_not_find_any_more_is_no_gap(in_memory: Store, metrics: Metrics) -> None:
    async with played(Tape(*lives(2, first=700)), in_memory, metrics):
        await recorded(in_memory, 705)
    assert metrics.history_gap.labels(NAME)._value.get() == 0


@pytest.mark.parametrize("stream", ["s", "another"])
async def test_a_log_made_anew_is_told_and_recorded_from_its_beginning(
    stream: str, in_memory: Store, metrics: Metrics, caplog: Any
) -> None:
    async with played(Tape(*lives(2)), in_memory, metrics):
        await recorded(in_memory, 6)
    async with played(Tape(*lives(3, stream=stream, name="new")), in_memory, metrics):
        assert (await recorded(in_memory, 9)).stream == stream
    assert "the log of memory was made anew: recording it from its first record" in caplog.messages
    assert metrics.history_gap.labels(NAME)._value.get() == 0
    assert metrics.history_events.labels(NAME)._value.get() == 15


@pytest.mark.parametrize(
    "place", [Cursor("s", 10**15, "?"), Cursor("", 3, ""), Cursor("\\' --", -5, "x" * 1000), Cursor("s", 2, "0" * 32)]
)
async def test_a_tampered_position_doubles_nothing(
    place: Cursor, in_memory: Store, metrics: Metrics, caplog: Any
) -> None:
    async with played(Tape(*lives(2)), in_memory, metrics):
        await recorded(in_memory, 6)
    before = await contents(in_memory)
    await in_memory.settle_position(NAME, place)
    async with played(Tape(*lives(2)), in_memory, metrics):
        await until(lambda: _is_at(in_memory, 6))
    assert await contents(in_memory) == before
    assert "the log of memory was made anew: recording it from its first record" in caplog.messages


async def _is_at(store: Store, sequence: int) -> bool:
    found = await store.position(NAME)
    return found is not None and found == lives(2)[sequence - 1].cursor


async def test_while_the_database_is_away_the_position_stays_and_memory_is_bounded(
    in_memory: Store, metrics: Metrics, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorders, "backoff", lambda attempt: 0.001)
    tape = Tape(*lives(1000))
    async with played(tape, in_memory, metrics) as (recorder, fragile):
        fragile.ill = True
        async with asyncio.timeout(PATIENCE):
            while len(fragile.batches) < 20:
                await asyncio.sleep(0.001)
        assert recorder.problem == "the disk is full"
        assert recorder.lag > 0
        assert b'jobrelay_history_lag_seconds{broker="memory"} 0.0' not in generate_latest(metrics.registry)
        assert tape.read <= 2 * MOST_RECORDS + 1
        assert await in_memory.position(NAME) is None
        assert len({id(batch) for batch in fragile.batches}) == 1
        fragile.ill = False
        await recorded(in_memory, 3000)
        await caught_up(recorder)
    told = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert told == ["the log of memory cannot be recorded now: the disk is full"]
    assert metrics.history_events.labels(NAME)._value.get() == 3000


async def test_a_commit_whose_answer_was_lost_is_not_repeated(in_memory: Store, metrics: Metrics) -> None:
    async with played(Tape(*lives(2)), in_memory, metrics) as (_, fragile):
        fragile.after.append(StoreUnavailable("connection reset"))
        await recorded(in_memory, 6)
    assert sum(stat.n for stat in await in_memory.stats()) == 4


async def test_a_lost_lock_ends_it(in_memory: Store, metrics: Metrics) -> None:
    with pytest.raises(LockLost):
        async with played(Tape(*lives(1)), in_memory, metrics) as (recorder, fragile):
            fragile.before.append(LockLost("the session is lost"))
            await asyncio.sleep(PATIENCE)
    assert (recorder.problem, recorder.lag > 0) == ("the session is lost", True)
    # Somebody else has the lock.
    recorder.forget()
    assert (recorder.problem, recorder.lag) == (None, 0)


async def test_it_waits_for_the_broker_too(
    in_memory: Store, metrics: Metrics, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorders, "backoff", lambda attempt: 0.05)
    tape = Tape(*lives(1))
    tape.away = 3
    async with played(tape, in_memory, metrics) as (recorder, _):

        async def troubled() -> bool:
            return recorder.problem == "no such stream"

        await until(troubled)
        await recorded(in_memory, 3)
        assert recorder.problem is None
    told = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert told == ["the log of memory cannot be recorded now: no such stream"]


async def test_poison_and_strangers_are_passed(store: Store, metrics: Metrics) -> None:
    life = lives(1)
    strange = stored({"specversion": "1.0", "id": "1", "source": "/x", "type": "com.example.x"}, 3)
    tape = Tape(life[0], stored(b"\x00\xff", 2, stream="s"), strange, record_of(a_life("r-0")[2], 4, stream="s"))
    async with played(tape, store, metrics):
        await recorded(store, 4)
    assert metrics.history_unreadable.labels(NAME)._value.get() == 1
    assert metrics.history_events.labels(NAME)._value.get() == 2
    (row,) = await store.find("r-0")
    assert row.phase is Phase.SUCCEEDED


async def test_batches_are_bounded_in_records_and_bytes(in_memory: Store, metrics: Metrics) -> None:
    big = [stored(b"x" * (MOST_BYTES // 3), sequence, stream="s") for sequence in range(1, 11)]
    events = [record_of(record.event(), 11 + number, stream="s") for number, record in enumerate(lives(400))]
    async with played(Tape(*big, *events), in_memory, metrics) as (_, fragile):
        await recorded(in_memory, 1210)
        sizes = [len(batch.entries) + len(batch.unreadable) for batch in fragile.batches]
    assert max(sizes) <= MOST_RECORDS
    assert max(len(batch.unreadable) for batch in fragile.batches) <= 3
    assert metrics.history_events.labels(NAME)._value.get() == 1200


async def test_a_full_disk_is_waited_for(metrics: Metrics, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    monkeypatch.setattr(recorders, "backoff", lambda attempt: 0.01)
    rng = random.Random(15)
    texts = [[rng.randbytes(2000).hex()] * 3 for _ in range(100)]
    records = [record_of(event, number) for number, event in enumerate(_large(texts), 1)]
    tape = Tape(*records[:30])
    async with opened(SQLITE) as store, played(tape, store, metrics) as (recorder, fragile):
        await recorded(store, 30)
        await _limit(store, pages=1)
        tape.put(*records[30:])

        async def told() -> bool:
            return recorder.problem is not None

        await until(told)
        assert "full" in str(recorder.problem)
        at, tried = await store.position(NAME), len(fragile.batches)

        async def tried_again() -> bool:
            return len(fragile.batches) > tried + 3

        await until(tried_again)
        assert await store.position(NAME) == at
        assert at is not None
        assert len(await event_ids(store)) == at.sequence
        await _limit(store, pages=1 << 30)
        await recorded(store, len(records))
        assert await event_ids(store) == [record.event().get_id() for record in records]
    assert len([one for one in caplog.records if one.levelno == logging.WARNING]) == 1


def _large(texts: Sequence[Sequence[str]]) -> Iterator[Any]:
    for number, parts in enumerate(texts):
        for part, text in enumerate(parts):
            yield lifecycle("progress", uid=f"uid-{number}", suffix=f"/{part}", metadata={"x": text})


async def _limit(store: Store, *, pages: int) -> None:
    """SQLite says that the disk is full beyond this size."""
    async with cast(Any, store)._database.changing() as connection:
        await connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")


async def test_several_logs_share_a_writer(store: Store) -> None:
    metrics = Metrics()
    tapes = {name: Tape(*lives(30, name=name)) for name in ("nats", "rabbitmq")}
    async with store.writing() as writer, asyncio.TaskGroup() as group:
        tasks = []
        for name, tape in tapes.items():
            tape.name = name
            tasks.append(group.create_task(Recorder(cast(Any, tape), reader=store, metrics=metrics).run(writer)))

        async def all_recorded() -> bool:
            return [metrics.history_events.labels(name)._value.get() for name in tapes] == [90, 90]

        await until(all_recorded)
        for task in tasks:
            task.cancel()
    assert len(set(await event_ids(store))) == 180
    assert [await store.position(name) for name in tapes] == [tape.records[-1].cursor for tape in tapes.values()]


@pytest.mark.parametrize("seed", range(20 if LONG else 1))
async def test_lives_that_are_told_in_turns_come_to_the_same_in_any_batches(
    seed: int, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(seed)
    turns = [iter(a_life(f"r-{number}", end=rng.choice(["succeeded", "failed"]))) for number in range(30)]
    events = []
    while turns:
        event = next(life := rng.choice(turns), None)
        if event is None:
            turns.remove(life)
        else:
            events.append(event)
            events += rng.sample(events, 1) if rng.random() < 0.3 else []
    tape = Tape(*(record_of(event, number) for number, event in enumerate(events, 1)))
    found = []
    for size in (1, 7, 500):
        monkeypatch.setattr(inboxes, "MOST_RECORDS", size)
        async with opened(MEMORY) as store, played(tape, store, metrics):
            await recorded(store, len(events))
            found.append(await contents(store))
    assert found[0] == found[1] == found[2]
    assert sum(len(one[3]) for key, one in found[0].items() if key.startswith("Key")) == 90


async def test_a_database_that_goes_while_nothing_comes_is_noticed(
    in_memory: Store, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorders, "LOOK_SECONDS", 0.01)
    async with played(Tape(*lives(1)), in_memory, metrics) as (recorder, _):
        await recorded(in_memory, 3)
        there = in_memory.position

        async def away(broker: str) -> None:
            raise StoreUnavailable("no route to host")

        async def has(problem: str | None) -> bool:
            return recorder.problem == problem

        monkeypatch.setattr(in_memory, "position", away)
        await until(lambda: has("no route to host"))
        assert recorder.lag > 0
        monkeypatch.setattr(in_memory, "position", there)
        await until(lambda: has(None))
        assert recorder.lag == 0


async def test_a_mistake_of_ours_in_reading_a_record_stops_nothing(
    in_memory: Store, metrics: Metrics, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    def read(record: Record) -> Any:
        if record.sequence == 2:
            raise KeyError("a value of an event")
        return facts.read(record)

    monkeypatch.setattr(inboxes, "read", read)
    async with played(Tape(*lives(1)), in_memory, metrics) as (_, fragile):
        await recorded(in_memory, 3)
    (found,) = [one for batch in fragile.batches for one in batch.unreadable]
    assert (found.sequence, found.reason) == (2, "a KeyError while it was read")
    assert caplog.messages == ["a record of the log cannot be read: KeyError"]
