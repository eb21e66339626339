"""The connection to a server is slow, cut, silent or refused under load: jobrelay recovers by itself."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from handler.local.processes import Process
from tests.chaos.gateway import Gateway, Refusal, gateway
from tests.chaos.load import INLINE, Journal, Load, Stage, account, feed, quiet, stage, stored, under_way
from tests.chaos.table import Rows
from tests.chaos.tunnel import Tunnel, tunnel
from tests.long import LONG
from tests.processes import NATS, RABBITMQ

pytestmark = [pytest.mark.broker, pytest.mark.slow]

REQUESTS = 60 if LONG else 20
DISTURBED = 10.0 if LONG else 2.0
SILENT = 20.0 if LONG else 2.0
DELAY = 2.0 if LONG else 0.5
RATE = 20_000
PATIENCE = 180.0 if LONG else 150.0
WATCH = {"JOBRELAY_WATCH_IDLE_SECONDS": "5"}
"""Bookmarks come every second here: a watch that is silent for longer is dead."""


async def delayed(line: Gateway | Tunnel) -> str:
    line.delay = DELAY
    await asyncio.sleep(DISTURBED)
    return f"each request {DELAY:g} s late, for {DISTURBED:g} s"


async def cut(line: Gateway | Tunnel) -> str:
    times = int(DISTURBED * 2)
    for _ in range(times):
        line.cut()
        await asyncio.sleep(0.5)
    return f"all connections cut, {times} times"


async def blackholed(line: Gateway | Tunnel) -> str:
    await line.swallow()
    await asyncio.sleep(SILENT)
    return f"nothing comes through for {SILENT:g} s"


async def forgotten(line: Gateway | Tunnel) -> str:
    line.forget()
    await asyncio.sleep(SILENT)
    return "the connections there are go silent for ever, new ones work"


async def throttled(line: Gateway | Tunnel) -> str:
    line.rate = RATE
    await asyncio.sleep(DISTURBED)
    return f"{RATE // 1000} kB/s on each connection, for {DISTURBED:g} s"


async def refusing(gate: Gateway, *, status: int, retry_after: int | None = None) -> str:
    gate.refusal = Refusal(status, retry_after)
    await asyncio.sleep(DISTURBED)
    return f"{gate.refused} requests answered with {status}, for {DISTURBED:g} s"


async def expired(gate: Gateway) -> str:
    """Send 410 as an ERROR event in all watches, and as the answer to new watches."""
    times = int(DISTURBED)
    for _ in range(times):
        gate.expire()
        gate.watch_refusal = Refusal(410)
        await asyncio.sleep(0.7)
        gate.watch_refusal = None
        await asyncio.sleep(0.3)
    return f"410 in all watches and to {gate.refused} new ones, {times} times"


async def deafened(line: Tunnel) -> str:
    line.deafen()
    await asyncio.sleep(SILENT)
    return f"what the broker says is held for {SILENT:g} s, what it is told is not"


async def half_open(line: Tunnel) -> str:
    line.half_open()
    await asyncio.sleep(SILENT)
    return f"cut on our side, and standing on the broker's for {SILENT:g} s"


OnApi = Callable[[Gateway], Awaitable[str]]
OnBroker = Callable[[Tunnel], Awaitable[str]]
API: dict[str, OnApi] = {
    "delay": delayed,
    "cut": cut,
    "blackhole": blackholed,
    "dead connections": forgotten,
    "throttle": throttled,
    "429": partial(refusing, status=429, retry_after=1),
    "500": partial(refusing, status=500),
    "503": partial(refusing, status=503),
    "410": expired,
}
BROKER: dict[str, OnBroker] = {
    "delay": delayed,
    "cut": cut,
    "blackhole": blackholed,
    "dead connections": forgotten,
    "throttle": throttled,
    "deaf": deafened,
    "half open": half_open,
}
EITHER = (NATS, RABBITMQ) if LONG else (NATS,)
# The short form has only the fault of each kind that ends soonest.
FEW_API, FEW_BROKER = ("410",), ("cut",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Between:
    """A stage, and a jobrelay that reaches both servers through our proxies."""

    on: Stage
    gate: Gateway
    line: Tunnel
    relay: Process


@asynccontextmanager
async def between(directory: Path, broker: str) -> AsyncIterator[Between]:
    async with AsyncExitStack() as stack:
        on = await stack.enter_async_context(stage(directory, broker=broker))
        gate, kubeconfig = await stack.enter_async_context(gateway("api", on.here.kubeconfig, []))
        line, url = await stack.enter_async_context(tunnel("broker", on.here.server.url))
        ours = {"JOBRELAY_KUBECONFIG": str(kubeconfig), "JOBRELAY_SOURCES": url}
        relay = await on.here.start_relay({**INLINE, **WATCH, **ours})
        yield Between(on=on, gate=gate, line=line, relay=relay)


async def _disturbed(at: Between, load: Load, disturb: Callable[[], Awaitable[str]]) -> tuple[str, str]:
    """Returns what was done, and the outcome once every claim holds."""
    on, journal = at.on, Journal("a disturbed network")
    async with asyncio.TaskGroup() as group:
        group.create_task(feed(on.broker, load.requests, over=DISTURBED / 2))
        await under_way(on.observer, at_least=REQUESTS // 2)
        done = await disturb()
        journal.note(done)
        await at.gate.heal()
        await at.line.heal()
        healed = time.monotonic()
    await quiet(on, load, seconds=PATIENCE)
    took = time.monotonic() - healed
    await account(on, load, [on.observer.received(), await stored(on.broker)])
    assert at.relay.exit_code is None, "it needed no restart"
    journal.show(on.observer, load)
    return done, f"all told {took:.1f} s after, {on.observer.repeats()}"


@pytest.mark.parametrize("broker", EITHER[:1], indirect=True)
@pytest.mark.parametrize("fault", API if LONG else FEW_API)
async def test_a_disturbed_way_to_the_api_server_costs_nothing(
    tmp_path: Path, broker: str, fault: str, rows: Rows
) -> None:
    async with between(tmp_path, broker) as at:
        done, outcome = await _disturbed(at, Load(tmp_path, count=REQUESTS), lambda: API[fault](at.gate))
    rows.add(fault, f"API server ({broker})", done=f"{done}; {REQUESTS} requests", outcome=outcome)


@pytest.mark.parametrize("broker", EITHER, indirect=True)
@pytest.mark.parametrize("fault", BROKER if LONG else FEW_BROKER)
async def test_a_disturbed_way_to_the_broker_costs_nothing(tmp_path: Path, broker: str, fault: str, rows: Rows) -> None:
    async with between(tmp_path, broker) as at:
        done, outcome = await _disturbed(at, Load(tmp_path, count=REQUESTS), lambda: BROKER[fault](at.line))
    rows.add(fault, broker, done=f"{done}; {REQUESTS} requests", outcome=outcome)
