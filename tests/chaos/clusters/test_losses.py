"""Claims about three brokers that lose nodes: no request is lost, and while two of them stand, no outcome is late."""

import asyncio
import os
import time
from pathlib import Path

import pytest

from adapters.servers.release import Release
from k8s.background import beside
from tests.adapters.conftest import need_rabbit
from tests.chaos.clusters.faults import AWAY_SECONDS, FAULTS, LEADER_KILLED, Fault
from tests.chaos.clusters.forms import FORMS
from tests.chaos.clusters.scene import MEMBERS, Form, Scene, scene
from tests.chaos.load import Journal, Load
from tests.chaos.table import Rows
from tests.handler.samples import until
from tests.long import LONG
from tests.patience import within
from tests.processes import NATS, RABBITMQ

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(1200 if LONG else 300)]

REQUESTS = 80 if LONG else 16
SHORT = ("controller-1", "handler-1", "handler-2")


@pytest.mark.long
@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.label)
async def test_a_cluster_that_loses_nodes_loses_nothing_and_tells_in_time(
    tmp_path: Path, form: Form, rows: Rows
) -> None:
    if form.broker == RABBITMQ:
        need_rabbit()
    async with scene(tmp_path, form) as on:
        for number, fault in enumerate(FAULTS):
            await _play(on, fault, f"f{number}", rows)
        assert not on.problems, on.problems


@pytest.mark.parametrize("broker", [NATS, RABBITMQ], indirect=True)
async def test_the_loss_of_the_leaders_node_loses_nothing_and_makes_nothing_late(
    tmp_path: Path, broker: str, rows: Rows
) -> None:
    async with scene(tmp_path, Form(broker=broker, release=Release()), members=MEMBERS if LONG else SHORT) as on:
        await _play(on, LEADER_KILLED, "f", rows, mended=LONG)
        assert not on.problems, on.problems


async def _play(on: Scene, fault: Fault, prefix: str, rows: Rows, *, mended: bool = True) -> None:
    """Requests, a fault in the middle of them, the account, and a row of the table.

    `mended`: before the account, which then waits for empty queues, too.
    """
    version = f"{on.form.broker} {await on.nodes.version()}, {on.form}"
    journal = Journal(f"{fault.name}, {version}, load {os.getloadavg()[0]:.1f}")
    leader = await on.nodes.leader(on.stores[1])
    before = await on.repeated()
    load, captive = on.load(prefix, REQUESTS), on.form.captive and fault.lasting
    async with beside(on.feed(load, over=fault.over)):
        await until(lambda: _some_told(on, load))
        usual = on.times.longest(on.times.told.keys() & load.jobs)
        begun = time.monotonic()
        journal.note(f"{on.told(load)} of {REQUESTS} told after {usual:.1f} s at most; node n{leader + 1} leads")
        await fault.act(on, leader)
        if captive:
            await asyncio.sleep(AWAY_SECONDS)
            await fault.mend(on, leader)
        ended = time.monotonic()
        journal.note(f"it took {ended - begun:.1f} s; {on.told(load)} told")
        await on.all_told(load)
    waited = fault.outage or captive
    since = ended if waited else begun
    late, held = on.times.longest(load.jobs) - usual, on.times.longest_held(load.jobs)
    if mended and not captive:
        await fault.mend(on, leader)
    await on.all_ready()
    stored = await on.account(load, emptied=mended)
    if not waited and late > within(fault.late):
        on.problems.append(f"{fault.name}: an outcome came {late:.1f} s later than usual")
    told = max(on.times.told[name] for name in load.jobs) - since
    outcome = (
        f"all told {max(0.0, told):.1f} s after, none more than {late:.1f} s late, none held over {held:.1f} s; "
        f"{stored}, {await on.repeated() - before} requests came again; {on.readiness.since(begun)}"
    )
    journal.note(outcome)
    journal.print()
    rows.add(f"cluster: {fault.name}", version, done=f"{fault.done}; {REQUESTS} requests", outcome=outcome)


async def _some_told(on: Scene, load: Load) -> bool:
    return on.told(load) >= REQUESTS // 5
