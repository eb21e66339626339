"""jobrelay, the broker or the API server is killed under load: nothing is lost, and nothing runs twice."""

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from handler.local.processes import Process
from tests.chaos.load import INLINE, Journal, Load, Stage, account, feed, quiet, stage, stored, under_way
from tests.chaos.table import Rows
from tests.long import LONG
from tests.processes import NATS, RABBITMQ

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(600 if LONG else 300)]

REQUESTS = 200 if LONG else 40
KILLS = 10 if LONG else 3
ANY_KILLS = 15 if LONG else 2
OUTAGE = 20.0 if LONG else 2.0
LISTEN_ON = 60.0 if LONG else 1.0
PATIENCE = 180.0 if LONG else 150.0
EITHER = (NATS, RABBITMQ)
OUTAGES = [(RABBITMQ, "killed"), (NATS, "killed"), (RABBITMQ, "stopped")]
TOGETHER = (1, 1, 2, 3)
# `make test` kills each of the three on each broker, and the servers while jobrelay has to live on. The other tests
# here do these one at a time, more often and for longer.
SHORT = (("broker", "cluster"), ("jobrelay",))


@pytest.mark.long
@pytest.mark.parametrize("broker", EITHER, indirect=True)
async def test_jobrelay_killed_again_and_again_loses_nothing(tmp_path: Path, broker: str, rows: Rows) -> None:
    journal = Journal(f"{broker}: kill -9 of jobrelay, {KILLS} times, {REQUESTS} requests")
    load = Load(tmp_path, count=REQUESTS)
    async with stage(tmp_path, broker=broker) as on, asyncio.TaskGroup() as group:
        relay = await on.here.start_relay(INLINE)
        lives = [random.uniform(0.2, 6.0 if LONG else 4.0) for _ in range(KILLS)]
        group.create_task(feed(on.broker, load.requests, over=sum(lives) * 0.8))
        for life in lives:
            await asyncio.sleep(life)
            relay.kill()
            await relay.wait()
            journal.note(f"killed after {life:.2f} s; {len(on.observer.events)} events, {load.runs().total()} runs")
            # Does not wait until it is ready: it may be killed before.
            relay = await on.here.start_relay(INLINE, wait=False)
        await quiet(on, load, seconds=PATIENCE)
        await asyncio.sleep(LISTEN_ON)
        journal.show(on.observer, load)
        await account(on, load, [on.observer.received(), await stored(on.broker)])
    done = f"{KILLS} times at random; {REQUESTS} requests"
    rows.add("kill -9 of jobrelay", broker, done=done, outcome=on.observer.repeats())


@pytest.mark.long
@pytest.mark.parametrize(("broker", "how"), OUTAGES, indirect=["broker"])
async def test_a_broker_that_dies_under_load_comes_back_with_everything(
    tmp_path: Path, broker: str, how: str, rows: Rows
) -> None:
    journal = Journal(f"{broker} {how}, {OUTAGE:.0f} s without it, {REQUESTS} requests")
    load = Load(tmp_path, count=REQUESTS)
    async with stage(tmp_path, broker=broker) as on, asyncio.TaskGroup() as group:
        relay = await on.here.start_relay(INLINE)
        group.create_task(feed(on.broker, load.requests, over=OUTAGE / 8))
        await under_way(on.observer, at_least=REQUESTS)
        await (on.here.server.kill() if how == "killed" else on.here.rabbit.ctl("stop_app"))
        journal.note(f"{how}; {len(on.observer.events)} events, {load.runs().total()} runs")
        await asyncio.sleep(OUTAGE)
        await (on.here.server.start() if how == "killed" else on.here.rabbit.ctl("start_app"))
        journal.note(f"started; {load.runs().total()} runs")
        await quiet(on, load, seconds=PATIENCE)
        await asyncio.sleep(LISTEN_ON)
        journal.show(on.observer, load)
        # A plain subscriber on NATS misses what is published before it is connected again; the stream does not.
        views = [await stored(on.broker)] if broker == NATS else [await stored(on.broker), on.observer.received()]
        await account(on, load, views)
        assert relay.exit_code is None, "it needed no restart"
    done = f"away for {OUTAGE:.0f} s under load; {REQUESTS} requests"
    rows.add(f"broker {how}", broker, done=done, outcome=on.observer.repeats())


@pytest.mark.long
@pytest.mark.parametrize("broker", EITHER, indirect=True)
async def test_an_api_server_that_dies_under_load_comes_back_and_nothing_ran_twice(
    tmp_path: Path, broker: str, rows: Rows
) -> None:
    journal = Journal(f"{broker}: API server killed, {OUTAGE:.0f} s without it, {REQUESTS} requests")
    load = Load(tmp_path, count=REQUESTS)
    async with stage(tmp_path, broker=broker) as on, asyncio.TaskGroup() as group:
        relay = await on.here.start_relay(INLINE)
        group.create_task(feed(on.broker, load.requests, over=OUTAGE / 8))
        await under_way(on.observer, at_least=REQUESTS)
        await on.here.kill_cluster()
        journal.note(f"killed; {len(on.observer.events)} events, {load.runs().total()} runs")
        await asyncio.sleep(OUTAGE)
        await on.here.start_cluster()
        journal.note(f"started; {load.runs().total()} runs")
        await quiet(on, load, seconds=PATIENCE)
        await asyncio.sleep(LISTEN_ON)
        journal.show(on.observer, load)
        await account(on, load, [on.observer.received(), await stored(on.broker)])
        assert relay.exit_code is None, "it needed no restart"
    done = f"away for {OUTAGE:.0f} s under load; {REQUESTS} requests"
    rows.add("API server killed", broker, done=done, outcome=on.observer.repeats())


@pytest.mark.parametrize("broker", [NATS, pytest.param(RABBITMQ, marks=pytest.mark.long)], indirect=True)
async def test_nothing_is_lost_whatever_dies_and_whenever(tmp_path: Path, broker: str, rows: Rows) -> None:
    journal = Journal(f"{broker}: anything killed, {ANY_KILLS} times, {REQUESTS} requests")
    load = Load(tmp_path, count=REQUESTS)
    async with stage(tmp_path, broker=broker) as on, asyncio.TaskGroup() as group:
        relay = await on.here.start_relay(INLINE)
        group.create_task(feed(on.broker, load.requests, over=ANY_KILLS * 2.0))
        for number in range(ANY_KILLS):
            await asyncio.sleep(random.uniform(0.2, 4.0 if LONG else 2.0))
            victims = (
                random.sample(("jobrelay", "broker", "cluster"), random.choice(TOGETHER)) if LONG else SHORT[number]
            )
            journal.note(f"killed {', '.join(victims)}; {len(on.observer.events)} events, {load.runs().total()} runs")
            relay = await _die_and_return(on, relay, victims)
        await quiet(on, load, seconds=PATIENCE)
        journal.show(on.observer, load)
        await account(on, load, [await stored(on.broker)])
    done = f"of jobrelay, broker and API server one or more at a time, {ANY_KILLS} times; {REQUESTS} requests"
    rows.add("kill -9 of anything", broker, done=done, outcome=on.observer.repeats())


async def _die_and_return(on: Stage, relay: Process, victims: Sequence[str]) -> Process:
    assert relay.exit_code is None, "it needed no restart"
    if "jobrelay" in victims:
        relay.kill()
        await relay.wait()
    if "broker" in victims:
        await on.here.server.kill()
    if "cluster" in victims:
        await on.here.kill_cluster()
    await asyncio.sleep(random.uniform(0.0, 4.0 if LONG else 1.0))
    if "cluster" in victims:
        await on.here.start_cluster()
    if "broker" in victims:
        await on.here.server.start()
    return await on.here.start_relay(INLINE, wait=False) if "jobrelay" in victims else relay
