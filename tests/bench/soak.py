"""`python -m tests.bench.soak`: requests at a steady rate for minutes, and whether handler or controller grow.

Runs against the benchmark's API server, where Jobs run and end without a process. Exits with 1 when a claim fails.
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.bench.apiserver import BRIEF
from tests.bench.load.events import IN_FLIGHT, make_events
from tests.bench.load.feed import LIFECYCLE, Feed, feeding, holds
from tests.bench.load.relays import LONG, all_released
from tests.bench.rates.living import EVENTS_OF_A_LIFE
from tests.e2e.site import NATS, RABBITMQ, Relay, Site, site, until

API_SERVER = ("tests.bench.apiserver",)
FLOOR = {"dedup_seconds": 300, "ttl_seconds": 300}
GROWTH, SLACK_MB, SLACK = 0.05, 2.0, 8
"""How much may grow and still counts as flat: memory by this share and so many megabytes, all else by so many."""
LOOKS_AT_REST = 20
"""Samples a second apart, until what ended last is cleared away."""
BUSY = 150
"""Descriptors and tasks that a busy process may have: up to 64 requests in progress, each on a connection."""
CONNECTION_MB = 0.5
"""Memory that each further open TLS connection may need."""
BURST = 2 * IN_FLIGHT
"""Requests at once before the load, to open all connections: opened later, they would count as growth."""
BACKLOG_SECONDS = 2.0
"""How many requests may be in progress, in seconds at the given rate."""
_STEP_SECONDS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a process uses: megabytes of memory (anonymous only, no mapped files), descriptors, threads, asyncio
    tasks.
    """

    memory: float
    descriptors: int
    threads: int
    tasks: int

    @classmethod
    async def of(cls, relay: Relay) -> "Usage":
        process = Path("/proc", str(relay.process.pid))
        lines = (line.split() for line in (process / "smaps_rollup").read_text().splitlines())
        return cls(
            memory=next(int(line[1]) * 1024 / 1e6 for line in lines if line[0] == "Anonymous:"),
            descriptors=len(os.listdir(process / "fd")),
            threads=len(os.listdir(process / "task")),
            tasks=int((await relay.metrics())["jobrelay_asyncio_tasks"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """`at`: seconds since the first request; `done`: requests whose events are all stored; `tracked`: Jobs followed."""

    at: float
    done: int
    handler: Usage
    controller: Usage
    tracked: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Soak:
    """`idle`: before the first request. `load`: while requests came. `over`: after the last Job was gone."""

    idle: Sample
    load: Sequence[Sample]
    over: Sample


async def soak(
    found: Site, *, requests: int, rate: float, every: float, report: Callable[[Sample], None] = lambda _: None
) -> Soak:
    """Publish `rate` requests a second, and take a sample `every` seconds; `report` is called with each at once."""
    instance, load = found.new_instance(), []
    events = make_events(requests, command=BRIEF, image=found.image, name="soak")
    async with (
        found.relays(instance, "controller", "handler", **FLOOR) as (controller, handler),
        feeding(found, instance) as feed,
    ):
        await until(controller.leads, seconds=60)
        await feed.publish(make_events(BURST, command=BRIEF, image=found.image, name="burst"))
        await _over(feed, controller, BURST)
        # On a busy machine the burst may have cost the leader its Lease, and between terms it has fewer tasks to count.
        await until(controller.leads, seconds=60)
        begun = time.monotonic()

        async def sample() -> Sample:
            taken = await _sample(feed, handler=handler, controller=controller, begun=begun)
            report(taken)
            return taken

        idle = await sample()
        async with asyncio.TaskGroup() as group:
            publishing = group.create_task(_publish(feed, events, rate=rate))
            while not publishing.done():
                await asyncio.wait({publishing}, timeout=every)
                load.append(await sample())
        await _over(feed, controller, BURST + requests)
        return Soak(idle=idle, load=load, over=await _at_rest(sample, idle))


async def _at_rest(sample: Callable[[], Awaitable[Sample]], idle: Sample) -> Sample:
    """The first sample with no more tasks than before the load, or the last sample if there is none in time."""
    taken = await sample()
    for _ in range(LOOKS_AT_REST):
        if all(getattr(taken, role).tasks <= getattr(idle, role).tasks + SLACK for role in ("handler", "controller")):
            break
        await asyncio.sleep(1)
        taken = await sample()
    return taken


async def _over(feed: Feed, controller: Relay, count: int) -> None:
    await holds(feed, LIFECYCLE, EVENTS_OF_A_LIFE * count, seconds=LONG)
    await until(partial(all_released, controller), seconds=LONG)


async def _sample(feed: Feed, *, handler: Relay, controller: Relay, begun: float) -> Sample:
    jobs = (value for name, value in (await controller.metrics()).items() if name.startswith("jobrelay_jobs{"))
    return Sample(
        at=time.monotonic() - begun,
        done=await feed.stored(LIFECYCLE) // EVENTS_OF_A_LIFE - BURST,
        handler=await Usage.of(handler),
        controller=await Usage.of(controller),
        tracked=int(sum(jobs)),
    )


async def _publish(feed: Feed, events: list[bytes], *, rate: float) -> None:
    """Publish at `rate`, or slower if the machine cannot keep up: a growing backlog needs memory but is no leak."""
    sent, due = 0, 0.0
    while sent < len(events):
        room = await feed.stored(LIFECYCLE) / EVENTS_OF_A_LIFE - BURST + rate * BACKLOG_SECONDS
        due = min(due + rate * _STEP_SECONDS, max(room, sent))
        await feed.publish(events[sent : int(due)])
        sent = int(due)
        await asyncio.sleep(_STEP_SECONDS)


def problems(seen: Soak, *, requests: int) -> list[str]:
    """What grew and what was left over; empty when all claims hold. Compares the first and last thirds of the load."""
    third = len(seen.load) // 3
    if not third:
        return [f"{len(seen.load)} samples are too few to compare"]
    found = []
    for role in ("handler", "controller"):
        first, last = ([getattr(sample, role) for sample in part] for part in (seen.load[:third], seen.load[-third:]))
        found += [f"{role}: {text}" for text in grown(first, last)]
        before, after = (getattr(sample, role).tasks for sample in (seen.idle, seen.over))
        if after > before + SLACK:
            found.append(f"{role}: {after} tasks are left, before the load there were {before}")
    if seen.over.done != requests:
        found.append(f"{seen.over.done} of {requests} requests are done")
    if seen.over.tracked:
        found.append(f"{seen.over.tracked} Jobs are still tracked")
    return found


def grown(first: Sequence[Usage], last: Sequence[Usage]) -> Iterator[str]:
    """In words: what a process uses more of in the later samples than still counts as flat."""
    for what, unit in (("memory", " MB"), ("descriptors", ""), ("threads", ""), ("tasks", "")):
        before, after = (_median(part, what) for part in (first, last))
        opened = max(0.0, _median(last, "descriptors") - _median(first, "descriptors"))
        more = {"memory": before * (1 + GROWTH) + SLACK_MB + CONNECTION_MB * opened, "threads": before + SLACK}
        limit = more.get(what, max(before + SLACK, BUSY))
        if after > limit:
            yield f"{what} grew from {before:.1f}{unit} to {after:.1f}{unit}; {limit:.1f}{unit} would be flat"


def _median(part: Sequence[Usage], what: str) -> float:
    return float(statistics.median(getattr(usage, what) for usage in part))


def _line(sample: Sample) -> str:
    used = (
        f"{usage.memory:.1f} | {usage.descriptors} | {usage.threads} | {usage.tasks}"
        for usage in (sample.handler, sample.controller)
    )
    return f"| {sample.at:.0f} | {sample.done} | {' | '.join(used)} | {sample.tracked} |"


HEAD = """\
| s | requests done | handler MB | fds | threads | tasks | controller MB | fds | threads | tasks | tracked Jobs |
|---|---|---|---|---|---|---|---|---|---|---|"""


def _arguments(given: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.soak", description=__doc__)
    usual = int(os.environ.get("JOBRELAY_SOAK_REQUESTS") or 20_000)
    parser.add_argument("--requests", type=int, default=usual, help=f"here {usual}: JOBRELAY_SOAK_REQUESTS, or 20000")
    parser.add_argument("--rate", type=float, default=60.0, help="requests a second (60)")
    parser.add_argument("--every", type=float, default=10.0, help="seconds between samples (10)")
    parser.add_argument("--broker", choices=(NATS, RABBITMQ), default=NATS)
    return parser.parse_args(given)


async def _run(chosen: argparse.Namespace, directory: Path) -> list[str]:
    print(HEAD, flush=True)
    async with site(directory, {}, api_server=API_SERVER, broker=chosen.broker) as found:
        seen = await soak(
            found,
            requests=chosen.requests,
            rate=chosen.rate,
            every=chosen.every,
            report=lambda sample: print(_line(sample), flush=True),
        )
    return problems(seen, requests=chosen.requests)


def main(given: list[str]) -> int:
    with tempfile.TemporaryDirectory(prefix="jobrelay-soak-") as directory:
        found = asyncio.run(_run(_arguments(given), Path(directory)))
    print("\n".join(found or ["flat, and nothing is left over"]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
