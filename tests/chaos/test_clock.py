"""The clock of jobrelay's machine is set forward and back by an hour while it works."""

import asyncio
import sys
from pathlib import Path

import pytest

from handler.local.processes import running
from tests.chaos.load import INLINE, Journal, Load, account, feed, quiet, stage, stored, under_way
from tests.chaos.skewed import Skew
from tests.chaos.table import Rows
from tests.handler.samples import until
from tests.long import LONG
from tests.patience import PATIENCE
from tests.processes import NATS, RABBITMQ

pytestmark = [pytest.mark.broker, pytest.mark.slow]

HOUR = 3600.0
STEPS = (HOUR, 0.0, -HOUR, 0.0, HOUR, -HOUR, 0.0) if LONG else (HOUR, -HOUR, 0.0)
EACH = 3.0 if LONG else 0.7
REQUESTS = 80 if LONG else 20
LEASE = {"JOBRELAY_LEASE_SECONDS": "10", "JOBRELAY_LEASE_RENEW_SECONDS": "7", "JOBRELAY_LEASE_CALL_SECONDS": "3"}
"""Of the usual length: with short times, a slow machine would end a term."""
EITHER = (NATS, RABBITMQ) if LONG else (NATS,)


async def test_a_child_process_sees_its_clock_being_set(tmp_path: Path) -> None:
    """Without this, the other test would prove nothing."""
    skew = Skew(tmp_path)
    script = "import time\nwhile True: print(round((time.time() - time.clock_gettime_ns(0) / 1e9) / 3600), flush=True)"
    command = [sys.executable, "-P", "-c", script]
    async with running("child", command, log=tmp_path / "log", environ=skew.environ) as child:

        async def shows(hours: str) -> bool:
            return child.output().split()[-1:] == [hours]

        await until(lambda: shows("0"))
        skew.step(HOUR)
        await until(lambda: shows("1"))
        skew.step(-HOUR)
        await until(lambda: shows("-1"))


@pytest.mark.parametrize("broker", EITHER, indirect=True)
async def test_setting_the_clock_costs_nothing(tmp_path: Path, broker: str, rows: Rows) -> None:
    journal, skew = Journal(f"{broker}: clock steps"), Skew(tmp_path)
    load = Load(tmp_path, count=REQUESTS)
    async with stage(tmp_path, broker=broker) as on, asyncio.TaskGroup() as group:
        relay = await on.here.start_relay({**INLINE, **LEASE, **skew.environ})
        group.create_task(feed(on.broker, load.requests, over=len(STEPS) * EACH))
        await under_way(on.observer, at_least=3)
        for ahead in STEPS:
            skew.step(ahead)
            journal.note(f"{ahead / HOUR:+.0f} h")
            await asyncio.sleep(EACH)
        await quiet(on, load, seconds=PATIENCE)
        journal.show(on.observer, load)
        await account(on, load, [on.observer.received(), await stored(on.broker)])
        assert relay.exit_code is None, "it needed no restart"
        assert "no longer leading" not in relay.output(), "a term does not depend on the wall clock"
    done = f"set to {', '.join(f'{ahead / HOUR:+.0f} h' for ahead in STEPS)}, each for {EACH:g} s; {REQUESTS} requests"
    rows.add("clock steps", broker, done=done, outcome=f"its term went on, {on.observer.repeats()}")
