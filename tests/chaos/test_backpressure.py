"""More requests than may wait for room: the rest stays in the broker, and nothing is stuck.

`make test` tests this in tests/handler/controller/test_admitting.py, with a single process.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from handler.intake.pressure import LAG_SECONDS, LOOK_SECONDS
from k8s.background import beside
from k8s.election.record import LeaseTiming
from tests.bench.soak import Usage, grown
from tests.chaos.admission import Scene, scene
from tests.chaos.books import Limits
from tests.chaos.load import Journal
from tests.chaos.table import Rows
from tests.chaos.turns import Turn
from tests.e2e.cases import FOREVER
from tests.e2e.site import Relay, until
from tests.long import LONG
from tests.processes import NATS, RABBITMQ

PATIENT = LONG or "KUBECONFIG" in os.environ
pytestmark = [pytest.mark.long, pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(3000 if PATIENT else 400)]

REQUESTS = 5000 if LONG else 300
MAX_QUEUED = 50
DEPENDENTS = MAX_QUEUED + 10
IN_FLIGHT = 16
IN_HAND = IN_FLIGHT + 2
"""Requests that a handler may have in hand: one more for each further lane."""
OVER = 100
"""How many more than MAX_QUEUED may wait: those in hand at the limit, and those that come until the broker stops."""
LEASE = LeaseTiming()
USUAL = {
    "lease_seconds": LEASE.lease,
    "lease_renew_seconds": LEASE.renew_deadline,
    "lease_retry_seconds": LEASE.retry,
    "lease_call_seconds": LEASE.call,
}
"""The usual times: with short times, a busy machine may cause a new term, which needs memory."""
STEADY = LEASE.retry + LOOK_SECONDS + LAG_SECONDS + 0.5
"""Seconds without a new Job after which the handler knows exactly how many Jobs wait."""
STILL = 30.0 if LONG else 0.0
"""Further seconds at the limit."""
PATIENCE = 1500.0 if LONG else 110.0
EITHER = (NATS, RABBITMQ) if LONG else (NATS,)
LIMITS = Limits(total=40, per_key=10_000)
GATE, BEHIND, STOPPED, ENDED = "gate", "behind", "stopped", "ended"


def make_turns() -> dict[str, Turn]:
    """All requests are on the key of the first, which is exclusive until it is cancelled.

    More requests than may wait for room depend on a request that is behind all others in the broker.
    """
    made = {GATE: Turn(key=GATE, exclusive=True, script=FOREVER, end="cancelled")}
    made |= {STOPPED: Turn(key=GATE), ENDED: Turn(key=GATE, end="cancelled")}
    made |= {f"after-{number}": Turn(key=GATE, dependencies=(BEHIND,)) for number in range(DEPENDENTS)}
    made |= {f"r-{number}": Turn(key=GATE, service=f"service-{number % 5}") for number in range(REQUESTS)}
    return made | {BEHIND: Turn(key=GATE)}


@pytest.mark.parametrize("broker", EITHER, indirect=True)
async def test_at_the_limit_the_rest_stays_in_the_broker_and_commands_work_and_later_everything_runs(
    tmp_path: Path, broker: str, rows: Rows
) -> None:
    turns = make_turns()
    journal = Journal(f"{broker}: {len(turns)} requests, MAX_QUEUED {MAX_QUEUED}")
    settings = {"max_queued": MAX_QUEUED, "concurrency": IN_FLIGHT, **USUAL}
    async with scene(tmp_path, turns, LIMITS, "controller", "handler", broker=broker, **settings) as on:
        await on.publish([GATE])
        await on.observer.reached(GATE, "started", seconds=60 * on.site.patience)
        await on.publish(list(turns)[1:])
        queued = await at_the_limit(on)
        journal.note(f"full: {queued} wait for room, {await on.observer.waiting()} requests are in the broker")
        async with sampled(on) as still:
            await asyncio.sleep(STILL)
            assert await at_the_limit(on) == queued
        # RabbitMQ requeues messages that were on their way to a consumer that has just ended.
        repeats = IN_HAND if broker == RABBITMQ else 0
        assert await on.observer.repeated() <= repeats
        answered = await commanded(on)
        journal.note(f"suspend, resume and cancel took {answered:.1f} s")
        begun = time.monotonic()
        async with sampled(on) as busy:
            await on.observer.command("cancel", GATE)
            await on.quiet(seconds=PATIENCE)
        journal.note(f"all over {time.monotonic() - begun:.1f} s after there was room; {memory(still)}; {memory(busy)}")
        journal.print()
        on.account()
        assert on.books.peak == LIMITS.total, "there was room for many"
        assert [await duplicates(relay, broker) for relay in on.crew.members.values()] == [0, 0]
        assert await on.observer.repeated() <= repeats
        assert growth(still) == []
        assert growth({"handler": busy["handler"]}) == [], "the controller has more to do than before"
    done = f"{len(turns)} requests, MAX_QUEUED {MAX_QUEUED}; suspend, resume and cancel at the bound, then room"
    outcome = f"{queued} waited for room and the rest in the broker; {memory(busy)}"
    rows.add("more than may wait", broker, done=done, outcome=outcome)


async def at_the_limit(on: Scene) -> int:
    """How many Jobs wait for room, once no more requests are taken. Each request is a message or a Job, never both."""

    async def look() -> bool:
        before = on.books.seen
        await asyncio.sleep(STEADY)
        return await is_full(on.crew.members["handler"]) and on.books.seen == before

    await until(look, seconds=60 * on.site.patience)
    assert on.books.seen + await on.observer.waiting() == len(on.turns)
    queued = [name for name in on.books.waiting() if not on.turns[name].dependencies]
    assert MAX_QUEUED <= len(queued) <= MAX_QUEUED + OVER
    return len(queued)


async def is_full(handler: Relay) -> bool:
    return (await handler.metrics()).get("jobrelay_intake_full") == 1.0


async def duplicates(relay: Relay, broker: str) -> float:
    return (await relay.metrics()).get(f'jobrelay_messages_duplicate_total{{broker="{broker}"}}', 0.0)


async def commanded(on: Scene) -> float:
    """Send commands. Returns the seconds until all were answered."""
    begun, seconds = time.monotonic(), 30 * on.site.patience
    await on.observer.command("suspend", STOPPED)
    await on.observer.reached(STOPPED, "suspended", seconds=seconds)
    await on.observer.command("resume", STOPPED)
    await on.observer.reached(f"resume-{STOPPED}", "accepted", seconds=seconds)
    await on.observer.command("cancel", ENDED)
    await on.observer.ended(ENDED, seconds=seconds)
    return time.monotonic() - begun


Samples = dict[str, list[Usage]]


@asynccontextmanager
async def sampled(on: Scene) -> AsyncIterator[Samples]:
    """Sample what each process uses, once a second until the block ends."""
    samples: Samples = {name: [] for name in on.crew.members}

    async def sample() -> None:
        while True:
            for name, relay in on.crew.members.items():
                samples[name].append(await Usage.of(relay))
            await asyncio.sleep(1.0)

    async with beside(sample()):
        yield samples


def growth(samples: Samples) -> list[str]:
    """What grew from the first third to the last."""
    found = []
    for name, taken in samples.items():
        third = len(taken) // 3
        found += [f"{name}: {text}" for text in grown(taken[:third], taken[-third:])]
    return found


def memory(samples: Samples) -> str:
    """The memory at the beginning and at the end, in words."""
    return ", ".join(f"{name} {taken[0].memory:.0f} to {taken[-1].memory:.0f} MB" for name, taken in samples.items())
