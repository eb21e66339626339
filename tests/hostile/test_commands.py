"""Commands about requests that are not there: whatever waits for nothing holds up nobody."""

import asyncio
import time

import pytest

from tests.bench.load.events import jobs_of, make_events, many
from tests.bench.load.jobs import Jobs
from tests.chaos.table import Rows
from tests.e2e.site import Site
from tests.hostile.neighbour import Scene, attacked
from tests.long import LONG
from tests.patience import within

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.broker]

UNKNOWN = 10_000 if LONG else 400
"""Cancels of requests that are not there: more than wait in the controller, more than it is handed out."""
WAITING = 8_000 if LONG else 0
"""Jobs that wait meanwhile."""
ANSWER_SECONDS = 30.0 if LONG else 5.0
"""From a command that is published behind all the others to its answer."""
CONTROL_WAIT = 60 if LONG else 3


@pytest.mark.parametrize("broker", ["nats", "rabbitmq"] if LONG else ["nats"])
async def test_a_command_behind_many_that_nobody_can_carry_out_is_carried_out_at_once(
    site: Site, broker: str, rows: Rows
) -> None:
    async with attacked(site, rows, control_wait=CONTROL_WAIT) as scene:
        await _fill(scene)
        await scene.observer.publish(scene.request("real", "sleep 600"))
        await scene.observer.reached("real", "started")
        size = f"{UNKNOWN} of unknown ids, {WAITING} Jobs wait"
        async with scene.neighbour("cancels", size=size, seconds=2 * CONTROL_WAIT):
            await many(lambda number: scene.observer.command("cancel", f"none-{number}"), range(UNKNOWN), in_flight=32)
            begun = time.monotonic()
            await scene.observer.command("cancel", "real")
            await scene.observer.reached("cancel-real", "accepted")
            took = time.monotonic() - begun
        rows.add("attack: cancels, a real one", broker, done=size, outcome=f"accepted after {took:.1f} s")
        assert took <= within(ANSWER_SECONDS)
        # Those that wait at the broker are told in the end, too.
        for number in range(0, UNKNOWN, UNKNOWN // 20):
            await scene.observer.reached(f"cancel-none-{number}", "rejected", seconds=600)
        await asyncio.wait_for(scene.observer.ended("real"), within(ANSWER_SECONDS))


async def _fill(scene: Scene) -> None:
    """Jobs that wait for a time that is far."""
    if WAITING:
        fields = {"runAt": "2999-01-01T00:00:00Z"}
        events = make_events(WAITING, command="true", image=scene.site.image, fields=lambda _: fields)
        jobs = jobs_of(events, instance=scene.instance, site=scene.site, governed=True)
        await many(Jobs(scene.site).post, jobs, in_flight=16)
