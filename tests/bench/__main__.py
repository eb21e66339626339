"""`python -m tests.bench`: measure jobrelay here, or on the cluster of KUBECONFIG and the brokers of NATS_URL and
RABBITMQ_URL.

It does not pass or fail: the table shows the aims beside the figures.
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from adapters.servers.process import ServerFailed
from adapters.servers.rabbitmq import executable
from tests.bench.adapters import Alone, alone
from tests.bench.load import IN_FLIGHT
from tests.bench.measures import Rates, creating, living
from tests.bench.queueing import Deciding, deciding, releasing
from tests.bench.report import Row, broker_of, machine, markdown
from tests.bench.watching import Takeover, Tracking, holding, reporting, taking_over, tracking
from tests.docs.marks import put
from tests.e2e.site import NATS, RABBITMQ, VARIABLES, Site, on_broker, site
from tests.paths import ROOT

PAGE = ROOT / "tests" / "BENCHMARKS.md"
API_SERVER = ("tests.bench.apiserver",)
LEVELS = (1, 16, IN_FLIGHT)
AT_ONCE = {"metrics_seconds": 0.01}
"""The benchmark sees by the metrics when something is done."""
TITLES = {NATS: "NATS", RABBITMQ: "RabbitMQ"}
CREATED_AIM, LIFE_AIM, RELEASE_AIM = "≥ 90 %", "≥ 80 %", "≥ 90 %"
DECISION_AIM = "≤ 20 ms"
CPU_AIM = {NATS: "≤ 1.0 ms", RABBITMQ: "≤ 1.3 ms"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is measured, and the duration of a Lease in seconds. One request in flight is slow: that level gets a
    quarter of the events.
    """

    events: int = 2000
    rounds: int = 3
    samples: int = 200
    tracked: int = 10_000
    queued: int = 10_000
    held: int = 100_000
    lease: float = 10.0


QUICK = Size(events=300, rounds=1, samples=100, tracked=1000, queued=1000, held=3000)


def arguments(given: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="little of everything: shows that it works")
    parser.add_argument("--docs", action="store_true", help="also put the table into tests/BENCHMARKS.md")
    for name in Size.__dataclass_fields__:
        usual = getattr(Size(), name)
        parser.add_argument(f"--{name}", type=type(usual), help=f"default {usual}")
    return parser.parse_args(given)


def size_of(chosen: argparse.Namespace) -> Size:
    usual = QUICK if chosen.quick else Size()
    numbers = {name: getattr(chosen, name) or getattr(usual, name) for name in Size.__dataclass_fields__}
    return Size(**numbers)


async def measure(found: Site, size: Size) -> AsyncIterator[Row]:
    """Yields each row as soon as it is measured."""
    for level in LEVELS:
        count = max(1, size.events // 4) if level == 1 else size.events
        async for row in _created(found, size, count=count, in_flight=level):
            yield row
    async for row in _life(found, size):
        yield row
    async for row in _following(found, size):
        yield row
    yield _deciding(size.queued, deciding(found, count=size.queued))
    for row in _releasing(size.queued, await releasing(found, count=size.queued, rounds=size.rounds)):
        yield row
    for row in _alone(found, await alone(found, count=size.events, rounds=size.rounds)):
        yield row
    if found.own_cluster:
        yield _holding(size.held, await holding(found, count=size.held))


async def measure_rabbitmq(found: Site, size: Size) -> AsyncIterator[Row]:
    """Only the rows that depend on the broker."""
    async for row in _created(found, size, count=size.events, in_flight=IN_FLIGHT):
        yield row
    async for row in _life(found, size):
        yield row
    for row in _alone(found, await alone(found, count=size.events, rounds=size.rounds)):
        yield row


async def _created(found: Site, size: Size, *, count: int, in_flight: int) -> AsyncIterator[Row]:
    rates = await creating(found, count=count, in_flight=in_flight, rounds=size.rounds)
    what = f"{TITLES[found.broker]}: events → Jobs created, one handler, {in_flight} in flight"
    # One in flight has no aim: it shows how long a single event takes.
    yield _rates(f"{what}, against bare POSTs", rates, aim=CREATED_AIM if in_flight > 1 else "")
    yield _cpu(f"{what}, CPU per event", rates.cpu, rates)


async def _life(found: Site, size: Size) -> AsyncIterator[Row]:
    rates = await living(found, count=size.events, rounds=size.rounds)
    what = f"{TITLES[found.broker]}: whole life"
    yield _rates(f"{what} (create, 3 events, final PATCH), against bare POST + PATCH", rates, aim=LIFE_AIM)
    yield _cpu(f"{what}, CPU per event in the handler", rates.cpu, rates, aim=CPU_AIM[found.broker])
    yield _cpu(f"{what}, CPU per event in the controller", rates.controller_cpu, rates)


async def _following(found: Site, size: Size) -> AsyncIterator[Row]:
    yield _latency(await reporting(found, samples=size.samples))
    for row in _tracking(await tracking(found, count=size.tracked)):
        yield row
    for row in _takeover(await taking_over(replace(found, settings={**found.settings, **_lease(size.lease)}))):
        yield row


def _alone(found: Site, took: Alone) -> list[Row]:
    what = f"{TITLES[found.broker]}: adapter alone"
    return [
        Row(what=f"{what}, {verb}", result=f"{pace.rate:.0f} events/s, {pace.cpu * 1000:.2f} ms CPU per event")
        for verb, pace in (("publish and confirm", took.publish), ("consume and acknowledge", took.consume))
    ]


def _rates(what: str, rates: Rates, *, aim: str) -> Row:
    ours, bare = statistics.median(rates.ours), statistics.median(rates.bare)
    return Row(what=what, result=f"{rates.ratio:.0%} ({ours:.0f} of {bare:.0f} Jobs/s)", aim=aim)


def _cpu(what: str, cpu: list[float], rates: Rates, *, aim: str = "") -> Row:
    ours, bare = (statistics.median(seconds) * 1000 for seconds in (cpu, rates.bare_cpu))
    return Row(what=what, result=f"{ours:.2f} ms (bare client {bare:.2f} ms)", aim=aim)


def _latency(took: list[float]) -> Row:
    middle, late = (took[int((len(took) - 1) * share)] * 1000 for share in (0.5, 0.99))
    what = f"a Job's change in the API → its event at a subscriber ({len(took)} samples)"
    return Row(what=what, result=f"p50 {middle:.1f} ms, p99 {late:.1f} ms", aim="p50 ≤ 10 ms, p99 ≤ 50 ms")


def _tracking(found: Tracking) -> list[Row]:
    jobs = f"{found.jobs:,} Jobs"
    both = f"{found.resident:.0f} B of the process, {found.cached:.0f} B of them in the cache"
    return [
        Row(what=f"memory per tracked Job at {jobs}", result=both, aim="≤ 2 kB"),
        Row(what=f"restart with {jobs}, from leading to caught up", result=f"{found.restart:.1f} s", aim="≤ 5 s"),
    ]


def _takeover(took: Takeover) -> list[Row]:
    return [
        Row(what="takeover after kill -9 of the leader", result=f"{took.crash:.1f} s", aim="≤ 15 s"),
        Row(what="takeover after SIGTERM to the leader", result=f"{took.exit:.1f} s", aim="≤ 2 s"),
    ]


def _deciding(jobs: int, took: Deciding) -> Row:
    alone, whole = took.alone * 1000, took.whole * 1000
    return Row(
        what=f"one decision about {jobs:,} waiting Jobs, CPU",
        result=f"{whole:.1f} ms with all that the leader does for it, {alone:.1f} ms alone",
        aim=DECISION_AIM,
    )


def _releasing(jobs: int, rates: Rates) -> list[Row]:
    what = f"{jobs:,} waiting Jobs let go by the leader"
    return [
        _rates(f"{what}, against bare PATCHes", rates, aim=RELEASE_AIM),
        _cpu(f"{what}, CPU per Job in the controller", rates.controller_cpu, rates),
    ]


def _holding(jobs: int, resident: int) -> Row:
    return Row(what=f"memory of a controller with {jobs:,} Jobs", result=f"{resident / 1e6:.0f} MB", aim="≤ 300 MB")


async def run(size: Size, environ: Mapping[str, str], *, directory: Path) -> str:
    """Returns the table as Markdown; progress goes to standard error."""
    rows, brokers = [], []
    async with site(directory, environ, api_server=API_SERVER, broker=None) as cluster:
        for broker, measured in ((NATS, measure), (RABBITMQ, measure_rabbitmq)):
            if broker == RABBITMQ and not _rabbitmq_is_there(environ):
                print("RabbitMQ is not measured: no RABBITMQ_URL, and no rabbitmq-server", file=sys.stderr)
                continue
            async with on_broker(replace(cluster, settings=AT_ONCE), environ, broker) as found:
                brokers.append(await broker_of(found))
                async for row in measured(found, size):
                    print(f"{row.what}: {row.result}", file=sys.stderr, flush=True)
                    rows.append(row)
        return markdown(rows, await machine(cluster, brokers))


def _lease(seconds: float) -> Mapping[str, float]:
    """The settings of a Lease of so many seconds, with the other times in the usual proportion."""
    shares = {"lease_seconds": 1.0, "lease_renew_seconds": 0.7, "lease_retry_seconds": 0.2, "lease_call_seconds": 0.3}
    return {name: round(share * seconds, 3) for name, share in shares.items()}


def _rabbitmq_is_there(environ: Mapping[str, str]) -> bool:
    try:
        return bool(environ.get(VARIABLES[RABBITMQ]) or executable())
    except ServerFailed:
        return False


def main(given: list[str]) -> int:
    chosen = arguments(given)
    with tempfile.TemporaryDirectory(prefix="jobrelay-bench-") as directory:
        text = asyncio.run(run(size_of(chosen), os.environ, directory=Path(directory)))
    print(text)
    if chosen.docs:
        put(PAGE, "bench", text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
