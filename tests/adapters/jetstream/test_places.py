"""Claims about going on in a stream whose records have gone, or that its server has lost."""

import asyncio
import shutil
from pathlib import Path

import pytest

from adapters.base import Broker, Cursor, Kind, Record, Topic
from adapters.jetstream import broker as jetstream
from adapters.jetstream.connection import connection
from adapters.servers.nats import NatsServer
from tests.adapters.brokers import OPTIONS
from tests.adapters.harness import publish, records
from tests.adapters.loads import publish_surely
from tests.patience import PATIENCE

pytestmark = pytest.mark.broker
TOPIC = Topic(Kind.LIFECYCLE, "s.1.created")
PURGE = "STREAM.PURGE.JOBRELAY_LIFECYCLE"


async def after(broker: Broker, place: Cursor) -> list[Record]:
    async with asyncio.timeout(PATIENCE), broker.history(Kind.LIFECYCLE, after=place) as history:
        return [record async for record in history]


def names(found: list[Record]) -> list[str]:
    return [str(record.event().get_id()) for record in found]


async def test_records_that_went_meanwhile_are_missing_and_nothing_is_repeated(server: NatsServer) -> None:
    async with jetstream.connect(server.url, options=OPTIONS) as broker, connection(server.url, OPTIONS) as link:
        await broker.declare()
        await publish(broker, 10, TOPIC)
        found = await records(broker, Kind.LIFECYCLE)
        place, last = found[2].cursor, found[-1].cursor
        await link.api(PURGE, {"keep": 4})
        assert await after(broker, place) == found[6:]
        assert await after(broker, last) == []
        async with asyncio.timeout(PATIENCE), broker.history(Kind.LIFECYCLE, follow=True, after=place) as history:
            assert [await anext(history) for _ in range(4)] == found[6:]
            await link.api(PURGE)
            await publish(broker, 2, TOPIC, prefix="new")
            new = [await anext(history) for _ in range(2)]
        assert [record.sequence for record in new] == [11, 12]
        for gone in (place, last):
            assert await after(broker, gone) == new


@pytest.mark.parametrize("more", [1, 9])
async def test_stream_restored_from_a_backup_is_read_from_its_first_record(
    tmp_path: Path, server: NatsServer, more: int
) -> None:
    store, backup = tmp_path / "nats", tmp_path / "backup"
    async with jetstream.connect(server.url, options=OPTIONS) as broker:
        await broker.declare()
        await publish(broker, 3, TOPIC)
        await server.kill()
        shutil.copytree(store, backup)
        await server.start()
        for number in range(5):
            await publish_surely(broker, TOPIC, f"lost{number}")
        found = await records(broker, Kind.LIFECYCLE)
        async with asyncio.timeout(PATIENCE), broker.history(Kind.LIFECYCLE, follow=True) as history:
            assert [await anext(history) for _ in range(8)] == found
            await server.kill()
            shutil.rmtree(store)
            shutil.copytree(backup, store)
            await server.start()
            for number in range(more):
                await publish_surely(broker, TOPIC, f"new{number}")
            expected = [*names(found[:3]), *(f"new{number}" for number in range(more))]
            assert names([await anext(history) for _ in range(3 + more)]) == expected
        assert names(await after(broker, found[-1].cursor)) == expected
        # What was there before the backup is the same.
        assert names(await after(broker, found[1].cursor)) == expected[2:]
