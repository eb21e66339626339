"""A console process records the logs of two brokers into one database, through kills and stops, each event once."""

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from adapters.base import Broker, Kind, Topic
from handler.history.sql.store import open_store
from handler.local.processes import Process
from tests.adapters.conftest import need_rabbit
from tests.handler.history.recording.records import a_life
from tests.handler.samples import until
from tests.patience import PATIENCE, within
from tests.processes import NATS, RABBITMQ, installation

pytestmark = [pytest.mark.broker, pytest.mark.long]
LIVES = 100


async def published(broker: Broker, numbers: range) -> list[str]:
    """Publish whole lives beside each other. Returns the ids of their events."""

    async def one(number: int) -> list[str]:
        events = a_life(f"{broker.name}-{number}", time=time.time())
        for event in events:
            await broker.publish(Topic(Kind.LIFECYCLE, f"s.{event.get_subject()}.x"), event)
        return [event.get_id() for event in events]

    return [name for names in await asyncio.gather(*map(one, numbers)) for name in names]


async def test_each_event_of_both_is_recorded_once_and_a_stop_under_load_is_soon(tmp_path: Path) -> None:
    need_rabbit()
    url = f"sqlite://{tmp_path}/history.db"
    settings = {"JOBRELAY_ROLE": "console", "JOBRELAY_HISTORY": url}

    async with (
        installation(tmp_path, brokers=(NATS, RABBITMQ)) as here,
        here.broker(NATS) as nats,
        here.broker(RABBITMQ) as rabbit,
    ):
        for broker in (nats, rabbit):
            await broker.declare()
        sent: list[str] = []
        for turn in range(4):
            console = await here.start_relay(settings, name=f"console-{turn}")
            for broker in (nats, rabbit):
                sent += await published(broker, range(turn * LIVES, (turn + 1) * LIVES))
            await ended(console, by=signal.SIGKILL if turn % 2 else signal.SIGTERM)
        await here.start_relay(settings, name="last")
        found = await recorded(url, len(sent))
    assert sorted(found) == sorted(sent)


async def ended(console: Process, *, by: signal.Signals) -> None:
    began = time.monotonic()
    os.kill(console.pid, by)
    code = await console.wait()
    if by == signal.SIGTERM:
        assert code == 0, console.tail()
        assert time.monotonic() - began < within(5)


async def recorded(url: str, count: int) -> list[str]:
    """The ids of all events, once there are as many."""
    async with open_store(url) as store:

        async def look() -> list[str] | None:
            found = await store.since(0, limit=2 * count)
            return [one.id for one in found] if len(found) >= count else None

        return await until(look, seconds=2 * PATIENCE)
