"""What operators do to a running jobrelay, and what they configure wrongly."""

import asyncio
import os
import re
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from adapters.base import Broker, BrokerError, Kind, Topic
from adapters.jetstream.connection import Connection, connection
from adapters.jetstream.options import JetStreamOptions
from handler.local.processes import Process
from tests.chaos.gateway import gateway
from tests.chaos.load import (
    DEFAULT_LEASE,
    INLINE,
    Journal,
    Load,
    account,
    feed,
    publish,
    quiet,
    stage,
    stored,
    under_way,
)
from tests.chaos.table import Rows
from tests.chaos.waiting import ended, reached, says
from tests.handler.jobs import is_finished, job_of, without_finalizer_or_gone
from tests.handler.samples import make_request, until, waits_for
from tests.long import LONG
from tests.patience import PATIENCE
from tests.processes import NATS, RABBITMQ, installation

pytestmark = pytest.mark.broker

REQUESTS = 200 if LONG else 30
FILLER = "jobrelay.lifecycle._filler._.x"


@pytest.mark.long
# In `make test`, a scene of tests/e2e drains under load, on each broker.
@pytest.mark.parametrize("broker", (NATS, RABBITMQ) if LONG else (NATS,), indirect=True)
async def test_sigterm_under_load_drains_and_a_successor_finishes_the_rest(
    tmp_path: Path, broker: str, rows: Rows
) -> None:
    journal = Journal(f"{broker}: SIGTERM twice under load, {REQUESTS} requests")
    load = Load(tmp_path, count=REQUESTS)
    async with stage(tmp_path, broker=broker) as on, asyncio.TaskGroup() as group:
        group.create_task(feed(on.broker, load.requests, over=3.0))
        for part in (1, 2):
            relay = await on.here.start_relay(INLINE)
            await under_way(on.observer, at_least=part * REQUESTS)
            assert await _terminated(relay, within=PATIENCE) == 0
            assert "redelivers" not in relay.output(), "all that was in flight was finished"
            journal.note(f"exit 0; {len(on.observer.events)} events")
        await on.here.start_relay(INLINE)
        await quiet(on, load, seconds=PATIENCE)
        journal.show(on.observer, load)
        await account(on, load, [on.observer.received(), await stored(on.broker)])
    done = f"twice under load; {REQUESTS} requests"
    rows.add("SIGTERM", broker, done=done, outcome=f"exit 0, nothing in flight left, {on.observer.repeats()}")


async def test_a_drain_that_cannot_end_is_cut_short_by_its_time_or_by_a_second_signal(tmp_path: Path) -> None:
    async with stage(tmp_path) as on, gateway("slow", on.here.kubeconfig, []) as (between, kubeconfig):
        settings = {"JOBRELAY_KUBECONFIG": str(kubeconfig), "JOBRELAY_DRAIN_SECONDS": "1"}
        relay = await on.here.start_relay(settings)
        await between.swallow()
        await on.broker.publish(Topic(Kind.REQUESTS), make_request("held"))
        await until(lambda: _unsettled(on.broker, 1))
        begun = time.monotonic()
        assert await _terminated(relay, within=PATIENCE) == 0
        assert time.monotonic() - begun > 0.9, "it used its time"
        await between.heal()
        relay = await on.here.start_relay(settings | {"JOBRELAY_DRAIN_SECONDS": "60"})
        await ended(on, "held")  # Given back by the drain: otherwise the broker would wait 30 s to redeliver it.
        await between.swallow()
        await on.broker.publish(Topic(Kind.REQUESTS), make_request("again"))
        await until(lambda: _unsettled(on.broker, 1))
        os.kill(relay.pid, signal.SIGTERM)
        await asyncio.sleep(0.5)
        assert relay.exit_code is None
        assert await _terminated(relay, within=PATIENCE) == -signal.SIGTERM


async def test_sigterm_ends_jobrelay_even_if_its_servers_are_down(tmp_path: Path) -> None:
    settings = {"JOBRELAY_DRAIN_SECONDS": "1"}
    async with stage(tmp_path) as on:
        leading = await on.here.start_relay(settings)
        await on.here.kill_cluster()
        begins = await on.here.start_relay(settings, name="begins", wait=False)
        await until(lambda: says(begins, "cannot follow"))
        await on.here.nats.kill()
        waits = await on.here.start_relay(settings, name="waits", wait=False)
        await until(lambda: says(waits, "connection refused"))
        for relay in (leading, begins, waits):
            assert await _terminated(relay, within=PATIENCE) == 0
            assert "Traceback" not in relay.output()
        await on.here.nats.start()


async def _terminated(relay: Process, *, within: float) -> int:
    os.kill(relay.pid, signal.SIGTERM)
    return await asyncio.wait_for(relay.wait(), within)


async def _unsettled(broker: Broker, count: int) -> bool:
    depth = await broker.depth()
    return bool(depth[Topic(Kind.REQUESTS)].unsettled == count)


async def test_a_full_store_keeps_finalizers_until_there_is_room(tmp_path: Path, rows: Rows) -> None:
    # The last such block in a configuration replaces all others.
    small = f'jetstream {{ store_dir: "{tmp_path}/nats/jetstream", max_file_store: 4MB }}'
    settings = {"JOBRELAY_NATS_MAX_BYTES": str(1 << 20), **DEFAULT_LEASE}
    async with stage(tmp_path, nats=small) as on, connection(on.here.nats.url, JetStreamOptions()) as link:
        # As earlier versions declared it: without a bound of its own.
        unbounded: dict[str, Any] = {"name": "JOBRELAY_LIFECYCLE", "subjects": ["jobrelay.lifecycle.>"]}
        unbounded |= {"retention": "limits", "max_age": 7 * 86400 * 10**9, "duplicate_window": 600 * 10**9}
        await link.api("STREAM.CREATE.JOBRELAY_LIFECYCLE", unbounded)
        await on.here.start_relay(settings)
        await on.broker.publish(Topic(Kind.REQUESTS), make_request("full", script=waits_for(tmp_path / "go")))
        await reached(on, "full", "started")
        await _fill(link)
        (tmp_path / "go").touch()
        await until(lambda: is_finished(on.cluster, "full"))
        await asyncio.sleep(1.0)
        assert [event.phase for event in await stored(on.broker, key="tests.full.*")] == ["created", "started"]
        assert "jobrelay.dev/lifecycle" in (await job_of(on.cluster, "full"))["metadata"]["finalizers"]
        await link.api("STREAM.PURGE.JOBRELAY_LIFECYCLE", {"filter": FILLER})
        (end,) = await ended(on, "full")
        assert end.get_type().endswith(".succeeded")
        await without_finalizer_or_gone(on.cluster, "full")
    done = "max_file_store reached while a Job ran"
    rows.add("store full", "nats", done=done, outcome="held by its finalizer, told once there was room")


async def _fill(link: Connection) -> None:
    for size in (500_000, 20_000, 500):
        while True:
            try:
                await link.store(FILLER, b"x" * size, {})
            except BrokerError:
                break


async def test_deleted_streams_come_back_and_work_goes_on(tmp_path: Path, rows: Rows) -> None:
    async with stage(tmp_path) as on, connection(on.here.nats.url, JetStreamOptions()) as link:
        await on.here.start_relay()
        await on.broker.publish(Topic(Kind.REQUESTS), make_request("before", script="sleep 2"))
        await reached(on, "before", "started")
        for kind in ("REQUESTS", "CONTROL", "LIFECYCLE", "DEAD"):
            await link.api(f"STREAM.DELETE.JOBRELAY_{kind}")

        async def declared() -> bool:
            try:
                await on.broker.check()
            except BrokerError:
                return False
            return True

        await until(declared)
        await on.broker.publish(Topic(Kind.REQUESTS), make_request("after"))
        for name in ("before", "after"):
            (end,) = await ended(on, name)
            assert end.get_type().endswith(".succeeded")
            await without_finalizer_or_gone(on.cluster, name)
    done = "all four streams deleted while a Job ran"
    rows.add("streams deleted", "nats", done=done, outcome="declared anew, work went on")


async def test_a_wrong_configuration_is_reported_in_one_line(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("clusters: [}")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        async with installation(tmp_path, nats='authorization { user: "u", password: "right" }') as here:
            url = here.nats.url.replace("//", "//u:wrong@")
            good = {"JOBRELAY_SOURCES": here.nats.url.replace("//", "//u:right@")}
            cases = (
                ({**good, "JOBRELAY_HTTP_ADDRESS": address}, 1, "address already in use"),
                ({**good, "JOBRELAY_KUBECONFIG": str(broken)}, 2, "broken"),
                ({**good, "JOBRELAY_KUBECONFIG": "/nowhere"}, 2, "JOBRELAY_KUBECONFIG: no such file: /nowhere"),
            )
            for settings, code, words in cases:
                relay = await here.start_relay(settings, wait=False)
                assert await asyncio.wait_for(relay.wait(), PATIENCE) == code
                assert_plain(relay.output(), words)
            relay = await here.start_relay({"JOBRELAY_SOURCES": url}, wait=False)
            await until(lambda: says(relay, "broker nats: never connected so far"))
            assert_plain(relay.output(), "Authorization Violation")
            assert "wrong" not in relay.output(), "no password is logged"
            assert relay.exit_code is None, "it keeps trying: the mistake may be the broker's"


def assert_plain(output: str, words: str) -> None:
    assert "Traceback" not in output
    assert [line for line in output.splitlines() if words.lower() in line.lower()], output


async def test_a_refused_token_is_reported_and_a_new_token_is_used(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        config = on.here.kubeconfig.read_text()
        mine = tmp_path / "mine"
        mine.write_text(_without_token(config))
        relay = await on.here.start_relay({"JOBRELAY_KUBECONFIG": str(mine)}, wait=False)
        await until(lambda: says(relay, "401"))
        assert_plain(relay.output(), "cannot follow")
        mine.write_text(config)
        await publish(on.broker, make_request("late"))
        await reached(on, "late", "succeeded")


def _without_token(config: str) -> str:
    return re.sub(r"token: .*", "token: wrong", config)
