"""Two controllers and three handlers as processes, killed or rolled over under load: clients do not notice.

`make test` kills several processes in test_admission.py and tests/e2e (takeover), and stops them cleanly in tests/e2e
(drain).
"""

import asyncio
import random
import time
from pathlib import Path

import pytest

from adapters.base import Kind
from tests.chaos.fleet import CONTROLLERS, HANDLERS, Fleet
from tests.chaos.gateway import gateway
from tests.chaos.load import INLINE, Journal, Load, Stage, account, feed, quiet, stage, stored
from tests.chaos.table import Rows
from tests.chaos.waiting import says
from tests.handler.samples import until
from tests.long import LONG
from tests.patience import within
from tests.processes import NATS, RABBITMQ

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(900 if LONG else 300)]

REQUESTS = 2000 if LONG else 120
ROUNDS = 5 if LONG else 1
PAUSE = 8.0 if LONG else 1.2
"""Seconds between two kills or replacements, on average."""
PATIENCE = 400.0 if LONG else 150.0
# Only the long form uses each broker.
KILLED_ON = (NATS, RABBITMQ) if LONG else (NATS,)
ROLLED_ON = (NATS, RABBITMQ) if LONG else (NATS,)
STOPPED_ON = (NATS, RABBITMQ) if LONG else (NATS,)
HANDED_OVER = within(2.0)
"""Seconds from SIGTERM. After a kill, NATS would wait 30 s for the dead handler."""


@pytest.mark.long
@pytest.mark.parametrize("broker", KILLED_ON, indirect=True)
async def test_each_of_five_processes_is_killed_in_turn_and_nothing_is_lost(
    tmp_path: Path, broker: str, rows: Rows
) -> None:
    turns = [name for _ in range(ROUNDS) for name in random.sample(CONTROLLERS + HANDLERS, 5)]
    journal = Journal(f"{broker}: kill -9 of 2 controllers and 3 handlers, {len(turns)} times, {REQUESTS} requests")
    load = Load(tmp_path, count=REQUESTS)
    async with stage(tmp_path, broker=broker) as on, asyncio.TaskGroup() as group:
        fleet = Fleet(on.here, INLINE)
        await fleet.start(*CONTROLLERS, *HANDLERS)
        feeding = group.create_task(feed(on.broker, load.requests, over=PAUSE * len(turns)))
        for name in turns:
            await asyncio.sleep(random.uniform(0.5 * PAUSE, 1.5 * PAUSE))
            await fleet.kill(name)
            journal.note(f"killed {name}; {len(on.observer.events)} events, {load.runs().total()} runs")
            # Does not wait until it is ready: the next process may be killed before.
            await fleet.start(name, wait=False)
        await feeding
        await quiet(on, load, seconds=PATIENCE)
        journal.show(on.observer, load)
        await account(on, load, [on.observer.received(), await stored(on.broker)])
    done = f"2 controllers and 3 handlers killed in turn, {len(turns)} kills; {REQUESTS} requests"
    rows.add("kill -9 of a fleet", broker, done=done, outcome=on.observer.repeats())


@pytest.mark.long
@pytest.mark.parametrize("broker", ROLLED_ON, indirect=True)
async def test_an_upgrade_under_load_with_controllers_first_is_not_noticed(
    tmp_path: Path, broker: str, rows: Rows
) -> None:
    turns = (CONTROLLERS + HANDLERS) * ROUNDS
    journal = Journal(f"{broker}: 2 controllers, then 3 handlers replaced, {ROUNDS} times, {REQUESTS} requests")
    load = Load(tmp_path, count=REQUESTS)
    async with stage(tmp_path, broker=broker) as on, asyncio.TaskGroup() as group:
        fleet = Fleet(on.here, INLINE)
        await fleet.start(*CONTROLLERS, *HANDLERS)
        feeding = group.create_task(feed(on.broker, load.requests, over=PAUSE * len(turns)))
        for name in turns:
            assert await fleet.roll(name) == 0
            journal.note(f"replaced {name}; {len(on.observer.events)} events, {load.runs().total()} runs")
            await asyncio.sleep(random.uniform(0, PAUSE))
        await feeding
        await quiet(on, load, seconds=PATIENCE)
        journal.show(on.observer, load)
        await account(on, load, [on.observer.received(), await stored(on.broker)])
        for process in fleet.retired:
            assert "redelivers" not in process.output(), "all that was in flight was finished"
        for process in [*fleet.members.values(), *fleet.retired]:
            assert "duplicate" not in process.output(), "nothing was even delivered twice"
    done = f"2 controllers and 3 handlers replaced, {ROUNDS} times under load; {REQUESTS} requests"
    rows.add("rolling restart", broker, done=done, outcome=f"nothing delivered twice, {on.observer.repeats()}")


@pytest.mark.parametrize("broker", STOPPED_ON, indirect=True)
async def test_unsettled_requests_of_a_stopped_handler_go_to_another_at_once(
    tmp_path: Path, broker: str, rows: Rows
) -> None:
    load = Load(tmp_path, count=20)
    async with stage(tmp_path, broker=broker) as on, gateway("mute", on.here.kubeconfig, []) as (between, kubeconfig):
        fleet = Fleet(on.here, INLINE)
        mute = Fleet(on.here, {**INLINE, "JOBRELAY_KUBECONFIG": str(kubeconfig), "JOBRELAY_KUBE_TIMEOUT": "1"})
        await fleet.start("controller-1")
        await mute.start("handler-1")
        await between.swallow()
        await feed(on.broker, load.requests, over=0.1)
        await until(lambda: says(mute.members["handler-1"], "intake pauses"))
        await until(lambda: _all_taken(on))
        await fleet.start("handler-2")
        assert await on.jobs(load) == [], "the other handler has nothing to do"
        begun = time.monotonic()
        assert await mute.end("handler-1") == 0
        await until(lambda: _all_there(on, load))
        seconds = time.monotonic() - begun
        assert seconds <= HANDED_OVER
        await quiet(on, load, seconds=PATIENCE)
        await account(on, load, [on.observer.received(), await stored(on.broker)])
    done = f"SIGTERM to one that holds {len(load.jobs)} requests and cannot reach the API server"
    rows.add("handler stopped", broker, done=done, outcome=f"the other one had made all Jobs {seconds:.1f} s later")


async def _all_taken(on: Stage) -> bool:
    return not any(depth.ready for topic, depth in (await on.broker.depth()).items() if topic.kind is Kind.REQUESTS)


async def _all_there(on: Stage, load: Load) -> bool:
    return len(await on.jobs(load)) == len(load.jobs)
