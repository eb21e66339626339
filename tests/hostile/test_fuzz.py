"""Any number of mutants: each gets an outcome, and no process needs more memory or time than it is given."""

import asyncio
import re
from collections.abc import Iterable
from itertools import islice

import pytest

from tests.chaos.table import Rows
from tests.e2e.site import NATS, RABBITMQ, Relay, Site
from tests.hostile.limits import limit_mib
from tests.hostile.mutants import Mutant, mutants
from tests.hostile.neighbour import Scene, attacked, peak_mib
from tests.long import LONG
from tests.patience import PATIENCE

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.broker]

MESSAGES = 500_000 if LONG else 1_000
"""On each broker."""
AT_ONCE, BATCH = 64, 5_000
SEED = 14
COUNTED = re.compile(r"jobrelay_messages_(processed|failed|duplicate)_total\{")
SETTLED_SECONDS = 3600.0 if LONG else PATIENCE


@pytest.mark.timeout(4 * 3600 if LONG else 300)
@pytest.mark.parametrize("broker", [NATS, pytest.param(RABBITMQ, marks=pytest.mark.long)])
async def test_every_mutant_gets_an_outcome_within_the_memory_and_time_that_are_given(site: Site, rows: Rows) -> None:
    async with attacked(site, rows, control_wait=1, log_level="WARNING") as scene:
        messages, sent = islice(mutants(SEED), MESSAGES), 0
        async with asyncio.timeout(SETTLED_SECONDS):
            # The broker holds so many at a time.
            while batch := list(islice(messages, BATCH)):
                sent += await _sent(scene, batch)
                while await _judged(scene.handler) < sent:
                    await asyncio.sleep(0.1)
        used = {role: peak_mib(relay) for role, relay in scene.relays.items()}
        late = {role: await _late(relay) for role, relay in scene.relays.items()}
        outcome = ", ".join(f"{role} {mib} MiB, loop late {late[role]:.2%} of the time" for role, mib in used.items())
        rows.add("attack: mutants", site.broker, done=f"{MESSAGES} messages that were good once", outcome=outcome)
        for role, mib in used.items():
            assert mib < limit_mib(role)
            assert late[role] <= (0.01 if LONG else 1)
        output = scene.handler.process.output() + scene.controller.process.output()
        assert "Traceback" not in output, "mutants are refused without an error of ours"


async def _sent(scene: Scene, messages: Iterable[Mutant]) -> int:
    """Publish them all. Returns how many of them are requests that the broker has taken."""
    waiting, taken = iter(messages), 0

    async def publish() -> None:
        nonlocal taken
        for mutant in waiting:
            await scene.observer.publish_raw(mutant.body, mutant.headers, to=mutant.to)
            taken += mutant.to == "requests"

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(publish())
    return taken


async def _late(relay: Relay) -> float:
    """Of how many times that it looked, the process was more than 0.1 s late."""
    metrics = await relay.metrics()
    punctual = metrics['jobrelay_loop_lag_seconds_bucket{le="0.1"}']
    return 1 - punctual / metrics["jobrelay_loop_lag_seconds_count"]


async def _judged(handler: Relay) -> float:
    """How many requests have had an outcome."""
    return sum(value for name, value in (await handler.metrics()).items() if COUNTED.match(name))
