"""Two controllers and a handler: whatever happens to the leader, the two controllers never both act."""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

from handler.local.processes import Process
from tests.chaos.gateway import Gateway, Write, gateway, strays
from tests.chaos.load import DEFAULT_LEASE, INLINE, Journal, Load, Stage, account, feed, quiet, stage, stored
from tests.chaos.table import Rows
from tests.handler.samples import until
from tests.long import LONG

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(600 if LONG else 300)]

REQUESTS = 200 if LONG else 40
DISTURBED = 30.0 if LONG else 3.5
PATIENCE = 180.0 if LONG else 150.0
# `make test` tests both in tests/e2e (takeover).
ENDS = {"terminated": 2.0, "killed": 15.0} if LONG else {"terminated": 2.0}
TIMES = 5 if LONG else 1
FAULTS = {
    "paused": "SIGSTOP",
    "refused": "cut off from the API server, connections refused",
    "unheard": "cut off from the API server, blackholed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two controllers, each behind its own gateway, and a handler. `writes`: of the controllers, as answered."""

    on: Stage
    writes: list[Write]
    settings: Mapping[str, Mapping[str, str]]
    relays: dict[str, Process]
    gateways: dict[str, Gateway]

    async def start(self, name: str) -> None:
        """Start a controller or the handler."""
        self.relays[name] = await self.on.here.start_relay(self.settings[name], name=name)

    def leader(self) -> str | None:
        """The controller that wrote the Lease last."""
        return next((write.by for write in reversed(self.writes) if write.leads), None)

    async def led(self) -> str:
        """Return the leader as soon as a controller leads."""

        async def look() -> str | None:
            return self.leader()

        return await until(look)

    async def acting(self) -> str:
        """Return the leader once it has acted."""

        async def look() -> str | None:
            leader = self.leader()
            return leader if any(write.acts and write.by == leader for write in self.writes) else None

        return await until(look)

    async def taken_over(self, old: str, *, after: float) -> Write:
        """The first write by which the other controller leads."""
        return await self._first(lambda write: bool(write.leads) and write.by != old and write.sent > after)

    async def other_acts(self, old: str, *, after: float) -> Write:
        """The first act of a new leader."""
        return await self._first(lambda write: write.acts and write.by != old and write.sent > after)

    def last_act(self, old: str, *, before: float) -> Write:
        """The last act of the old leader before that moment."""
        return max(
            (write for write in self.writes if write.acts and write.by == old and write.sent < before), key=_sent
        )

    async def gave_up(self, name: str, *, after: float) -> float:
        """When it stopped leading, by its own log (epoch seconds)."""

        async def look() -> float | None:
            lines = (json.loads(line) for line in self.relays[name].output().splitlines())
            times = (datetime.fromisoformat(line["time"]) for line in lines if line["message"] == "no longer leading")
            return next((time.timestamp() for time in times if time.timestamp() > after), None)

        return await until(look)

    async def _first(self, wanted: Callable[[Write], bool]) -> Write:
        async def look() -> Write | None:
            return min(filter(wanted, self.writes), key=_sent, default=None)

        return await until(look)


def _sent(write: Write) -> float:
    return write.sent


@asynccontextmanager
async def pair(directory: Path, settings: Mapping[str, str] = INLINE) -> AsyncIterator[Pair]:
    writes: list[Write] = []
    async with AsyncExitStack() as stack:
        on = await stack.enter_async_context(stage(directory))
        chosen = {"handler": {**settings, "JOBRELAY_ROLE": "handler"}}
        gateways = {}
        for name in ("one", "two"):
            gateways[name], kubeconfig = await stack.enter_async_context(gateway(name, on.here.kubeconfig, writes))
            through = {"JOBRELAY_KUBECONFIG": str(kubeconfig), "JOBRELAY_LOG_FORMAT": "json"}
            chosen[name] = {**settings, "JOBRELAY_ROLE": "controller", **through}
        both = Pair(on=on, writes=writes, settings=chosen, relays={}, gateways=gateways)
        async with asyncio.TaskGroup() as group:
            for name in chosen:
                group.create_task(both.start(name))
        yield both


async def test_a_paused_or_cut_off_leader_and_its_successor_never_both_act(tmp_path: Path, rows: Rows) -> None:
    journal = Journal(f"the leader paused, refused, unheard, {DISTURBED:.0f} s each, {REQUESTS} requests")
    load = Load(tmp_path, count=REQUESTS)
    first, *parts = (load.requests[number :: 1 + len(FAULTS)] for number in range(1 + len(FAULTS)))
    async with pair(tmp_path, INLINE | (DEFAULT_LEASE if LONG else {})) as both, asyncio.TaskGroup() as group:
        group.create_task(feed(both.on.broker, first, over=DISTURBED))
        for what, part in zip((paused, refused, unheard), parts, strict=True):
            leader = await both.acting()
            begun, epoch = time.monotonic(), time.time()
            async with what(both, leader):
                # However long the others took, there is something to do for the next leader.
                group.create_task(feed(both.on.broker, part, over=DISTURBED))
                act = await both.other_acts(leader, after=begun)
                last, lead = both.last_act(leader, before=act.sent), await both.taken_over(leader, after=begun)
                assert last.answered < lead.sent
                await asyncio.sleep(max(0.0, begun + DISTURBED - time.monotonic()))
            gave_up = await both.gave_up(leader, after=epoch) - epoch
            journal.note(
                f"{leader} {what.__name__}: acted last at {last.answered - begun:+.2f} s, gave up at {gave_up:+.2f} s; "
                f"{act.by} led from {lead.answered - begun:+.2f} s, acted at {act.sent - begun:+.2f} s"
            )
            rows.add(
                f"leader {what.__name__}",
                "2 controllers, nats",
                done=f"{FAULTS[what.__name__]} for {DISTURBED:.0f} s",
                outcome=f"old one acted last at {last.answered - begun:+.1f} s, new one led from "
                f"{lead.answered - begun:+.1f} s, no act of both",
            )
            if what is not paused:
                assert gave_up < lead.sent - begun
            await asyncio.sleep(1.0)  # If it still acts, it does so now.
        await quiet(both.on, load, seconds=PATIENCE)
        journal.note(f"{sum(write.acts for write in both.writes)} acts, {len(strays(both.writes))} of them astray")
        journal.show(both.on.observer, load)
        assert strays(both.writes) == []
        await account(both.on, load, [both.on.observer.received(), await stored(both.on.broker)])


@pytest.mark.long
@pytest.mark.parametrize(("how", "limit"), ENDS.items(), ids=list(ENDS))
async def test_with_usual_settings_the_other_controller_leads_in_time(
    tmp_path: Path, how: str, limit: float, rows: Rows
) -> None:
    journal = Journal(f"takeover with usual settings, {how}")
    load, acts = Load(tmp_path, count=TIMES * 30), list[float]()
    async with pair(tmp_path, {**INLINE, **DEFAULT_LEASE}) as both, asyncio.TaskGroup() as group:
        group.create_task(feed(both.on.broker, load.requests, over=TIMES * (1.3 * limit + 4.0)))
        for _ in range(TIMES):
            leader = await both.led()
            await both.other_acts("", after=0)
            begun = time.monotonic()
            os.kill(both.relays[leader].pid, signal.SIGTERM if how == "terminated" else signal.SIGKILL)
            lead = await both.taken_over(leader, after=begun)
            act = await both.other_acts(leader, after=begun)
            led, acted = lead.answered - begun, act.sent - begun
            acts.append(acted)
            journal.note(f"{leader} {how}: {act.by} led after {led:.2f} s, acted after {acted:.2f} s")
            assert acted <= limit
            await both.relays[leader].wait()
            await both.start(leader)
        await quiet(both.on, load, seconds=PATIENCE)
        journal.show(both.on.observer, load)
        assert strays(both.writes) == []
        await account(both.on, load, [both.on.observer.received(), await stored(both.on.broker)])
    outcome = f"the other one acted after {max(acts):.1f} s at most"
    rows.add(f"leader {how}", "2 controllers, nats", done=f"{TIMES} times, usual settings", outcome=outcome)


@asynccontextmanager
async def paused(both: Pair, name: str) -> AsyncIterator[None]:
    """The process is stopped, and cannot notice."""
    os.kill(both.relays[name].pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(both.relays[name].pid, signal.SIGCONT)


@asynccontextmanager
async def refused(both: Pair, name: str) -> AsyncIterator[None]:
    """Its connections to the API server are refused."""
    await both.gateways[name].refuse()
    yield
    await both.gateways[name].heal()


@asynccontextmanager
async def unheard(both: Pair, name: str) -> AsyncIterator[None]:
    """Its connections stay open, but nothing comes through."""
    await both.gateways[name].swallow()
    yield
    await both.gateways[name].heal()
