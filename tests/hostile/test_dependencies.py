"""Requests that wait for thousands of requests that never come: nobody else's dependency is judged by theirs."""

import time

import pytest

from tests.chaos.table import Rows
from tests.e2e.site import Site
from tests.hostile.neighbour import Scene, attacked
from tests.long import LONG
from tests.patience import within

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.broker]

GREEDY = 1000 if LONG else 40
"""Requests that each depend on a hundred that are not there."""
OUTCOME_SECONDS = 10.0
"""From a request whose dependency has ended long ago to its own outcome."""


@pytest.mark.parametrize("broker", ["nats", "rabbitmq"] if LONG else ["nats"])
async def test_a_dependency_that_has_ended_is_found_however_many_others_are_looked_for(
    site: Site, broker: str, rows: Rows
) -> None:
    async with attacked(site, rows) as scene:
        await scene.observer.publish(scene.request("before", service="honest"))
        await scene.observer.ended("before")
        size = f"{GREEDY} requests with 100 unknown ids each"
        async with scene.neighbour("dependencies", size=size):
            for number in range(GREEDY):
                await scene.observer.publish(_greedy(scene, number))
            await scene.observer.reached(f"greedy-{GREEDY - 1}", "queued", seconds=120)
            begun = time.monotonic()
            await scene.observer.publish(scene.request("after", service="honest", dependencies=["before"]))
            outcome = await scene.observer.ended("after")
            took = time.monotonic() - begun
        rows.add("attack: dependencies, an honest one", broker, done=size, outcome=f"succeeded after {took:.1f} s")
        assert str(outcome.get_type()).endswith(".succeeded")
        assert took <= within(OUTCOME_SECONDS)


def _greedy(scene: Scene, number: int) -> dict[str, object]:
    ids = [f"none-{number}-{one}" for one in range(100)]
    return scene.request(f"greedy-{number}", dependencies=ids, dependencyTimeout=3600)
