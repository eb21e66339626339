"""The history while the process that records is killed, and while its database goes away."""

import asyncio
import itertools
import random
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from adapters.base import Broker, Kind, Topic
from adapters.connect import connect
from adapters.jetstream.connection import connection
from handler.history.base import Store, StoreUnavailable
from handler.history.recording.recorder import Recorder
from handler.history.sql.store import open_store
from handler.telemetry.metrics import Metrics
from k8s.api.clock import backoff
from k8s.background import beside
from tests.adapters.brokers import OPTIONS, some_nats
from tests.chaos.dying import MOMENTS, Mother, mother
from tests.chaos.table import Rows
from tests.handler.history.recording.contents import contents, event_ids
from tests.handler.history.recording.records import STORED, a_life, key_of
from tests.handler.history.stores import MEMORY, POSTGRESQL, SQLITE, opened, url_of
from tests.handler.samples import until
from tests.long import LONG
from tests.postgres import PostgresServer, need_postgres

pytestmark = [pytest.mark.broker, pytest.mark.timeout(3600 if LONG else 300)]

DEATHS = 1000 if LONG else 6
STOPS = (signal.SIGINT, signal.SIGQUIT) if LONG else (signal.SIGQUIT,)
AWAY_SECONDS = 30.0 if LONG else 2.0
REQUESTS_PER_DEATH = 12
TOGETHER = 4
NAME = "nats"


def told(rng: random.Random) -> Iterator[Any]:
    """Events of requests without end, of several at a time; each of them in its order."""
    names = itertools.count()
    lives: list[Iterator[Any]] = []
    while True:
        while len(lives) < TOGETHER:
            number = next(names)
            end = rng.choice(["succeeded", "failed", "cancelled"])
            lives.append(iter(a_life(f"r-{number}", time=STORED + number * 60, end=end)))
        life = rng.choice(lives)
        event = next(life, None)
        if event is None:
            lives.remove(life)
        else:
            yield event


class Load:
    """Publishes, some of it twice. `ids`: of the events that were published."""

    def __init__(self, broker: Broker, rng: random.Random) -> None:
        self._broker = broker
        self._rng = rng
        self._told = told(rng)
        self.ids: list[str] = []
        self.last = 0

    async def publish(self, count: int) -> None:
        for event in itertools.islice(self._told, count):
            self.ids.append(event.get_id())
            await self._put(event, None)
            if self._rng.random() < 0.1:
                await self._put(event, f"again-{self.last}")

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        """Publish until the block ends. The last one is not cut off: nobody knows whether that would be stored."""
        ended = asyncio.Event()

        async def publish() -> None:
            while not ended.is_set():
                await self.publish(2)
                await asyncio.sleep(0.02)

        async with asyncio.TaskGroup() as group:
            group.create_task(publish())
            try:
                yield
            finally:
                ended.set()

    async def _put(self, event: Any, message_id: str | None) -> None:
        await self._broker.publish(Topic(Kind.LIFECYCLE, key_of(event)), event, message_id=message_id)
        self.last += 1


@asynccontextmanager
async def loaded(directory: Path) -> AsyncIterator[tuple[str, Load]]:
    async with some_nats(directory / "nats") as url, connect(url) as broker:
        await broker.declare()
        yield url, Load(broker, random.Random(15))


async def has_recorded(recorder: Recorder, store: Store, last: int) -> bool:
    """Everything, and it knows that: what it commits can be read a moment before."""
    return await has_come_to(store, last) and recorder.lag == 0


async def has_come_to(store: Store, sequence: int) -> bool:
    found = await store.position(NAME)
    return found is not None and found.sequence >= sequence


async def caught_up(broker: Broker, store: Store, last: int, metrics: Metrics | None = None) -> None:
    """Record, in this process, until everything is recorded."""

    recorder = Recorder(broker, reader=store, metrics=metrics or Metrics())
    async with store.writing() as writer, beside(recorder.run(writer)):
        await until(lambda: has_recorded(recorder, store, last))


async def as_if_never_killed(url: str, store: Store, load: Load) -> None:
    """What is recorded is what somebody records who reads the log from its beginning, and each event is there once."""
    async with connect(url) as broker, opened(SQLITE) as fresh:
        await caught_up(broker, store, load.last)
        await caught_up(broker, fresh, load.last)
        assert sorted(await event_ids(store)) == sorted(load.ids)
        assert await contents(store) == await contents(fresh)
        assert (await store.position(NAME)) == (await fresh.position(NAME))


@pytest.mark.parametrize("kind", [SQLITE, POSTGRESQL])
async def test_killed_around_commits_under_load_it_records_each_event_once(
    kind: str, tmp_path: Path, rows: Rows
) -> None:
    rng = random.Random(f"{kind} 15")
    async with loaded(tmp_path) as (broker, load), url_of(kind) as database, mother() as bearing:
        assert database is not None
        async with open_store(database, migrate=True):
            pass
        for number in range(DEATHS):
            async with load.going_on():
                await load.publish(REQUESTS_PER_DEATH)
                assert await died(bearing, database, broker, MOMENTS[number % 3], rng) == signal.SIGKILL
        async with open_store(database) as store:
            await as_if_never_killed(broker, store, load)
    done = f"{DEATHS} times, before and after commits and within transactions, under load"
    rows.add("the recorder is killed", kind, done=done, outcome=f"{len(load.ids)} events, each recorded once")


async def died(bearing: Mother, database: str, broker: str, moment: str, rng: random.Random) -> int:
    batch, statement = rng.randint(1, 3), rng.randint(1, 9)
    return await bearing.bear(database=database, broker=broker, moment=moment, batch=batch, statement=statement)


async def test_what_the_broker_has_dropped_meanwhile_is_counted(
    tmp_path: Path, rows: Rows, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = Metrics()
    async with loaded(tmp_path) as (url, load), connect(url) as broker, opened(MEMORY) as store:
        await load.publish(60)
        await caught_up(broker, store, load.last, metrics)
        at = load.last
        await load.publish(60)
        async with connection(url, OPTIONS) as link:
            # As when seven days have passed.
            await link.api("STREAM.PURGE.JOBRELAY_LIFECYCLE", {"seq": at + 31})
        await caught_up(broker, store, load.last, metrics)
    assert metrics.history_gap.labels(NAME)._value.get() == 30
    assert "30 records of the log of nats were gone before they were recorded" in caplog.messages
    rows.add("the broker drops what is not recorded", NAME, done="30 records", outcome="counted and told")


async def test_without_its_server_for_a_while_it_goes_on(tmp_path: Path, rows: Rows) -> None:
    need_postgres()
    server = PostgresServer(settings={"synchronous_commit": "on"})
    try:
        await asyncio.to_thread(server.start)
        async with (
            loaded(tmp_path) as (url, load),
            connect(url) as broker,
            open_store(server.url, migrate=True) as store,
        ):
            recorder = Recorder(broker, reader=store, metrics=Metrics())
            async with beside(_recording(recorder, store)), load.going_on():
                for stop in STOPS:
                    await load.publish(50)
                    # Until it has had the lock once, it is not this recorder that lags.
                    await until(partial(has_come_to, store, load.last))
                    await asyncio.to_thread(server.stop, by=stop)
                    await load.publish(50)
                    await asyncio.sleep(AWAY_SECONDS)
                    assert recorder.lag > 0
                    await asyncio.to_thread(server.start)

                    async def healthy() -> bool:
                        return recorder.problem is None and (await store.position(NAME)) is not None

                    await until(healthy)
            await as_if_never_killed(url, store, load)
        done = f"stopped, or as if it had crashed, for {AWAY_SECONDS:.0f} s under load"
        rows.add("the server of the history is away", POSTGRESQL, done=done, outcome=f"{len(load.ids)} events")
    finally:
        await asyncio.to_thread(server.remove)


async def _recording(recorder: Recorder, store: Store) -> None:
    """As the role does: a new writer whenever the lock was lost."""
    for attempt in itertools.count(1):
        try:
            async with store.writing() as writer:
                await recorder.run(writer)
        except StoreUnavailable:
            await asyncio.sleep(backoff(min(attempt, 3)))
