"""Admission under load, and while leaders are killed: a watch of the test's own sees that no limit is ever exceeded.

`make test` kills leaders here; that higher priorities go first, it tests in tests/handler, with a single process.
"""

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.chaos.admission import Scene, scene
from tests.chaos.books import Limits
from tests.chaos.load import Journal
from tests.chaos.table import Rows
from tests.chaos.turns import INLINE_BYTES, mixed
from tests.e2e.observer import phase
from tests.e2e.site import until
from tests.long import LONG

PATIENT = LONG or "KUBECONFIG" in os.environ
pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(1800 if PATIENT else 300)]

REQUESTS = 500 if LONG else 100
CHAIN = 20 if LONG else 6
KILLS = 20 if LONG else 3
LIMITS = Limits(total=20, per_key=5)
PATIENCE = 300.0 if LONG else 150.0
LAYOUTS = {"handler and 2 controllers": ("controller-1", "controller-2", "handler")} | (
    {"one process": ("both",)} if LONG else {}
)


@asynccontextmanager
async def loaded(directory: Path, *names: str) -> AsyncIterator[Scene]:
    turns = mixed(REQUESTS, chain=CHAIN)
    async with scene(directory, turns, LIMITS, *names, inline_bytes=INLINE_BYTES) as on:
        yield on


def account(on: Scene) -> None:
    on.account()
    assert on.books.peak == LIMITS.total, "there was something to limit"
    assert on.books.key_peak == LIMITS.per_key


@pytest.mark.long
async def test_no_limit_is_exceeded_at_any_moment_and_everything_ends(tmp_path: Path, rows: Rows) -> None:
    journal = Journal(f"{REQUESTS} requests, at most {LIMITS.total} at a time, {LIMITS.per_key} of a key")
    async with loaded(tmp_path, "controller", "handler") as on:
        begun = time.monotonic()
        await on.publish(list(on.turns))
        await on.quiet(seconds=PATIENCE)
        seconds = time.monotonic() - begun
        account(on)
        waits = on.books.waits()
        assert waits[0] > waits[-1], "the higher priorities went first"
        journal.note(f"quiet after {seconds:.1f} s; median wait by priority, highest quarter first: {on.waits()}")
        journal.note(f"events: {dict(Counter(phase(event) for event in on.observer.events))}")
        journal.print()
    done = f"{REQUESTS} requests in 5 services, limits {LIMITS.total} and {LIMITS.per_key} a key, a chain of {CHAIN}"
    outcome = f"never exceeded; median wait {on.waits()} from the highest quarter of priorities to the lowest"
    rows.add("admission under load", "nats", done=done, outcome=outcome)


@pytest.mark.parametrize("layout", LAYOUTS)
async def test_leaders_killed_again_and_again_exceed_no_limit_and_everything_ends(
    tmp_path: Path, layout: str, rows: Rows
) -> None:
    journal = Journal(f"{layout}: kill -9 of the leader, {KILLS} times, {REQUESTS} requests")
    async with loaded(tmp_path, *LAYOUTS[layout]) as on, asyncio.TaskGroup() as group:
        lives = [random.uniform(0.0, 3.0) for _ in range(KILLS)]
        # More than half of the load at once, so that there is a queue.
        names, burst = list(on.turns), REQUESTS * 3 // 5
        await on.publish(names[:burst])
        group.create_task(on.feed(names[burst:], over=sum(lives) + 4.0 * KILLS))
        for life in lives:
            leader = await until(on.crew.leader, seconds=30 * on.site.patience)
            await asyncio.sleep(life)
            await on.crew.kill(leader)
            journal.note(f"{leader} killed {life:.2f} s after it led; not over: {len(on.books.open())}")
            await on.crew.start(leader, wait=False)
        await on.quiet(seconds=PATIENCE)
        account(on)
        journal.note(f"quiet; median wait by priority, highest quarter first: {on.waits()}; {on.repeats()}")
        journal.print()
    done = f"{KILLS} times at random under load; {REQUESTS} requests, limits {LIMITS.total} and {LIMITS.per_key} a key"
    rows.add("kill -9 of who admits", f"nats, {layout}", done=done, outcome=f"never exceeded; {on.repeats()}")
