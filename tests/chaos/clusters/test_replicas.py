"""Claims about streams and queues that have fewer copies than the cluster has nodes."""

import re
import shlex
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from adapters.servers.release import Release
from tests.adapters.conftest import need_rabbit
from tests.chaos.clusters.forms import releases
from tests.chaos.clusters.nodes import NODES
from tests.chaos.clusters.rabbitmq import RabbitCluster
from tests.chaos.clusters.scene import MEMBERS, Form, Scene, scene
from tests.chaos.table import Rows
from tests.handler.samples import until
from tests.long import LONG
from tests.patience import within
from tests.processes import NATS, RABBITMQ

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(600 if LONG else 300)]

REQUESTS = 20
STREAMS = ("JOBRELAY_REQUESTS", "JOBRELAY_LIFECYCLE", "JOBRELAY_DEAD")
READY_SECONDS = within(10.0)
SAID_SECONDS = within(60.0)
COMMAND = re.compile("`(rabbitmq-(?:queues|streams)) ([^`]+)`")


async def test_replicas_of_a_running_installation_are_raised_by_the_setting(tmp_path: Path, rows: Rows) -> None:
    async with scene(tmp_path, Form(broker=NATS), replicas=1) as on:
        assert [await on.nodes.members(stream) for stream in STREAMS] == [1, 1, 1]
        load = on.load("r", REQUESTS)
        await on.feed(load, over=0.5)
        took = []
        for name in MEMBERS:
            on.own[name]["JOBRELAY_NATS_REPLICAS"] = str(NODES)
            assert await on.fleet.end(name) == 0
            begun = time.monotonic()
            await on.fleet.start(name)
            took.append(time.monotonic() - begun)
        await until(lambda: _whole(on, STREAMS))
        await on.all_told(load)
        await on.account(load)
        where = f"{NATS} {await on.nodes.version()}"
    assert max(took) <= READY_SECONDS, took
    outcome = f"each ready again after {max(took):.1f} s at most"
    rows.add("cluster: replicas 1 to 3", where, done="the setting, and all five processes restarted", outcome=outcome)


@pytest.mark.parametrize("release", releases(), ids=lambda release: Path(release.home).name or "installed")
async def test_queues_declared_before_the_cluster_was_complete_are_said_and_grown_as_said(
    tmp_path: Path, release: Release, rows: Rows
) -> None:
    need_rabbit()
    form = Form(broker=RABBITMQ, release=release, management=True)
    async with scene(tmp_path, form, members=MEMBERS[1:3], first=(0,)) as on:
        assert [await on.nodes.members(store) for store in on.stores] == [1, 1]
        await on.nodes.start(1)
        await on.nodes.start(2)
        begun = time.monotonic()
        said = await until(lambda: _said(on))
        seconds = time.monotonic() - begun
        assert isinstance(on.nodes, RabbitCluster)
        for program, arguments in said:
            await on.nodes.one.ctl(*shlex.split(arguments), program=program)
        await until(lambda: _whole(on, on.stores))
        await until(lambda: _says_no_more(on))
        load = on.load("r", REQUESTS)
        await on.feed(load, over=0.5)
        await on.all_told(load)
        await on.account(load)
        version = await on.nodes.version()
    assert seconds <= SAID_SECONDS
    done = "n1 alone when queues were declared; then n2 and n3 came"
    outcome = f"said after {seconds:.0f} s by each process; {len(said)} commands as said gave all three members"
    rows.add("cluster: declared too early", f"{RABBITMQ} {version}", done=done, outcome=outcome)


async def _said(on: Scene) -> set[tuple[str, str]]:
    """The commands that `/readyz` of all processes names; nothing until each has named all, in its log too."""
    found: set[tuple[str, str]] = set()
    for name, process in on.fleet.members.items():
        notes = on.readiness.notes(name)
        named = set(COMMAND.findall(notes))
        if (
            not named
            or "joined the cluster" in notes
            or not all(arguments in process.output() for _, arguments in named)
        ):
            return set()
        found |= named
    return found


async def _says_no_more(on: Scene) -> bool:
    return not any(COMMAND.search(on.readiness.notes(name)) for name in on.fleet.members)


async def _whole(on: Scene, stores: Sequence[str]) -> bool:
    return all([await on.nodes.members(store) == NODES for store in stores])
