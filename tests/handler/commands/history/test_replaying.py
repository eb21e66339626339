"""`jobrelay history replay` beside a recorder, with a real NATS server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest

from adapters.base import Broker, Cursor, Kind, Record
from adapters.connect import connect
from adapters.servers import rabbitmq as rabbitmqserver
from handler.commands import connection
from handler.commands.history.replaying import history_replay, last_before
from handler.history.base import Store
from handler.history.recording import recorder as recorders
from handler.history.recording.recorder import Recorder
from handler.history.sql.store import open_store
from handler.settings.settings import Settings
from handler.telemetry.metrics import Metrics
from k8s.background import beside
from tests.adapters.brokers import some_nats
from tests.adapters.conftest import need_rabbit
from tests.handler.commandline import call, make_environ
from tests.handler.commands.history.records import fill, life, url_of
from tests.handler.history.recording.contents import contents
from tests.handler.history.recording.records import a_life
from tests.handler.history.recording.test_recorder import tell
from tests.handler.samples import until

NATS, RABBITMQ = "nats", "rabbitmq"


@asynccontextmanager
async def some_rabbitmq(directory: Path) -> AsyncIterator[str]:
    need_rabbit()
    async with rabbitmqserver.run(directory) as server:
        yield server.url


@asynccontextmanager
async def installed(directory: Path, name: str = NATS) -> AsyncIterator[tuple[Broker, Settings]]:
    """A broker, and settings that name it and a database that does not exist yet."""
    instance = f"test-{uuid4().hex[:8]}"
    run = some_nats if name == NATS else some_rabbitmq
    async with run(directory / name) as url, connect(url, instance=instance) as broker:
        await broker.declare()
        environ = make_environ(
            directory, JOBRELAY_SOURCES=url, JOBRELAY_INSTANCE=instance, JOBRELAY_HISTORY=url_of(directory)
        )
        yield broker, Settings.from_env(environ)


@asynccontextmanager
async def recording(broker: Broker, settings: Settings, metrics: Metrics) -> AsyncIterator[Store]:
    async with (
        open_store(settings.history, migrate=True) as store,
        store.writing() as writer,
        beside(Recorder(broker, reader=store, metrics=metrics).run(writer)),
    ):
        yield store


async def stored(broker: Broker) -> list[Record]:
    async with broker.history(Kind.LIFECYCLE) as records:
        return [record async for record in records]


async def recorded(store: Store, end: Cursor, name: str) -> None:
    async def look() -> bool:
        return await store.position(name) == end

    await until(look)


def transactions(metrics: Metrics) -> float:
    (found,) = metrics.history_write_seconds.collect()
    return next(sample.value for sample in found.samples if sample.name.endswith("_count"))


@pytest.mark.parametrize("name", [NATS, pytest.param(RABBITMQ, marks=[pytest.mark.broker, pytest.mark.long])])
async def test_a_filled_database_does_not_change_and_an_empty_one_gets_everything(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(recorders, "LOOK_SECONDS", 0.02)
    metrics = Metrics()
    async with installed(tmp_path, name) as (broker, settings):
        await tell(broker, [event for number in range(5) for event in a_life(f"r-{number}")])
        records = await stored(broker)
        end, middle = records[-1].cursor, records[7]
        async with recording(broker, settings, metrics) as store:
            await recorded(store, end, name)
            before = await contents(store)
            for since in (None, middle.time):
                done = transactions(metrics)
                assert await history_replay(settings, since=since, confirmed=True) == 0
                await until(partial(_is_above, metrics, done))
                await recorded(store, end, name)
                assert await contents(store) == before
        assert metrics.history_events.labels(name)._value.get() == 15
        # RabbitMQ notes whole seconds: there it may be an earlier one.
        which = f"record {middle.sequence}" if name == NATS else ""
        assert f"recorded up to record {end.sequence}: again from {which}" in capsys.readouterr().err

        empty = settings.model_copy(update={"history": url_of(tmp_path, "other")})
        async with recording(broker, empty, metrics) as store:
            await recorded(store, end, name)
            assert await contents(store) == before


async def _is_above(metrics: Metrics, done: float) -> bool:
    return transactions(metrics) > done


async def test_a_time_leads_to_the_record_before_it_and_never_forward(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with installed(tmp_path) as (broker, settings):
        await tell(broker, a_life("r-1"))
        records = await stored(broker)
        times = [record.time for record in records]
        assert await last_before(broker, times[0]) is None
        assert await last_before(broker, times[2]) == records[1].cursor
        assert await last_before(broker, times[2] + timedelta(seconds=1)) == records[2].cursor
        async with open_store(settings.history, migrate=True) as store:
            for position, since, expected in (
                (records[2].cursor, times[1], records[0].cursor),
                (records[2].cursor, times[0], None),
                (records[0].cursor, times[2], records[0].cursor),
                (None, times[2], None),
                # Of a log that was deleted: all of the new one is still to be recorded.
                (Cursor("former", 9, ""), times[2], Cursor("former", 9, "")),
            ):
                await store.settle_position(NATS, position)
                assert await history_replay(settings, since=since, confirmed=True) == 0
                assert await store.position(NATS) == expected
    said = capsys.readouterr().err
    assert "nothing is recorded yet" in said
    assert "what comes after that time is not recorded yet" in said


def test_whoever_says_no_changes_nothing_and_first_needs_no_broker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 0.2)
    environ = make_environ(tmp_path, JOBRELAY_HISTORY=url_of(tmp_path))
    end = asyncio.run(fill(url_of(tmp_path), life("r-1")))

    async def position() -> Cursor | None:
        async with open_store(url_of(tmp_path)) as store:
            return await store.position(NATS)

    refused = call("history", "replay", "--from", "first", environ=environ, text="n\n")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "Events that are recorded change nothing" in refused.stderr
    away = call("history", "replay", "--from", "1h", "--yes", environ=environ)
    assert (away.returncode, away.stdout) == (1, "")
    assert asyncio.run(position()) == end
    done = call("history", "replay", "--from", "first", environ=environ, text="y\n")
    assert (done.returncode, done.stdout) == (0, "nats: set back\n")
    assert "recorded up to record 3: again from the first on" in done.stderr
    assert asyncio.run(position()) is None
