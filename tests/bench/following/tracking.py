"""What it means to follow many Jobs that have not ended: memory, and how fast everything else still is."""

import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import orjson

from k8s.base import Manifest
from k8s.informer.jobs import Contents
from k8s.reading.job import job_of
from tests.bench.bench import Bench
from tests.bench.following.probes import SERVICE, Probes, latencies, make_probes, probing
from tests.bench.following.takeover import crash
from tests.bench.load.events import IDLE, IN_FLIGHT, jobs_of, make_events, many
from tests.bench.load.feed import LIFECYCLE, Feed, feeding, holds
from tests.bench.load.jobs import Jobs, no_pods
from tests.bench.load.processes import Pids, resident_bytes
from tests.bench.load.relays import LONG, handling, leading, says_it_leads
from tests.bench.rates.creating import handled, opening
from tests.e2e.site import Site, until

DOWN = 100
"""How many Jobs end while jobrelay is down."""
CACHED = 2_000
"""How many Jobs at most are put into a cache to see what one takes there: tracing is slow."""
SLICE = 1000
FILLING = 16
"""How many are created at a time: enough to keep an API server busy, few enough that it still answers the leader."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracking:
    """`resident`: bytes of the controller, `each`: how much of that a Job added. `rate`: Jobs a second that a handler
    creates beside them. `took`: seconds from a Job's end to its event, sorted. `restart`: seconds from leading until
    what happened before is told. `crash`: seconds from the leader's end by SIGKILL until another leads.
    """

    jobs: int
    resident: int
    each: float
    rate: float
    took: list[float]
    restart: float
    crash: float


async def tracking(bench: Bench, site: Site, *, count: int) -> Tracking:
    """`count` Jobs that do not end by themselves. Cleans up, unless the API server ends anyway."""
    instance, samples = site.new_instance(), bench.size.samples
    probes = [*jobs_of(make_probes(site, samples + DOWN), instance=instance, site=site)]
    async with no_pods(site), feeding(site, instance) as feed, probing(site, instance) as heard:
        async with leading(site, instance, role="controller") as controller:
            before = resident_bytes(controller.process.pid)
            await _fill(site, feed, instance, probes, count=count)
            resident = resident_bytes(controller.process.pid)
            took = await latencies(site, heard, probes[:samples])
            rate = await _creating(bench, site, instance)
            async with site.relay(instance, role="controller") as standby:
                crashed = await crash(controller, [standby])
        restart = await _restart(site, instance, heard, probes[samples:], first=samples)
    if not site.own_cluster:
        beside = [*opening(site, IN_FLIGHT), *_beside(bench, site)]
        await Jobs(site).remove(
            instance, chain(probes, _jobs(site, instance, count), jobs_of(beside, instance=instance, site=site))
        )
    each = (resident - before) / (count + len(probes))
    return Tracking(jobs=count, resident=resident, each=each, rate=rate, took=took, restart=restart, crash=crashed)


async def _fill(site: Site, feed: Feed, instance: str, probes: list[Manifest], *, count: int) -> None:
    """Create the Jobs, and return once the leader has told of all of them."""
    jobs = chain(probes, _jobs(site, instance, count))
    await many(Jobs(site).post, jobs, in_flight=FILLING)
    await holds(feed, LIFECYCLE, count + len(probes), seconds=2 * LONG)


def _jobs(site: Site, instance: str, count: int) -> Iterator[Manifest]:
    """Made as they are needed: 100,000 at a time would take a gigabyte."""
    for first in range(0, count, SLICE):
        size = min(SLICE, count - first)
        yield from jobs_of(make_events(size, command=IDLE, image=site.image, first=first), instance=instance, site=site)


def _beside(bench: Bench, site: Site) -> list[bytes]:
    return make_events(bench.size.events, command=IDLE, image=site.image, name="beside")


async def _creating(bench: Bench, site: Site, instance: str) -> float:
    """How many Jobs a second a handler creates, while the leader follows all and tells of the new ones, too."""
    servers: Pids = bench.servers
    async with handling(site, instance, count=1, in_flight=IN_FLIGHT) as relays:
        taken = await handled(
            site, instance, relays, servers, first=opening(site, IN_FLIGHT), events=_beside(bench, site)
        )
    return taken.rate


async def _restart(site: Site, instance: str, heard: Probes, jobs: list[Manifest], *, first: int) -> float:
    """End these Jobs while jobrelay is down. `first`: the number of the first of them."""
    for job in jobs:
        await Jobs(site).complete(job["metadata"]["name"])
    # Not when it is ready: by then it may have told of some.
    async with site.starting(instance, role="controller") as relay:
        await until(lambda: says_it_leads(relay), seconds=LONG, every=0.005)
        begun = time.perf_counter()
        for number in range(first, first + len(jobs)):
            await heard.arrival(f"{SERVICE}-{number}")
        return time.perf_counter() - begun


def cached_bytes(site: Site, *, count: int) -> float:
    """Bytes that the cache allocates for each of `count` Jobs, or of 2,000 if that is less."""
    count, contents = min(count, CACHED), Contents()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for number, job in enumerate(_jobs(site, "bench", count)):
        # Through JSON, so that Jobs share no more strings than those from an API server would.
        copy = orjson.loads(orjson.dumps(job))
        copy["metadata"] |= {"uid": f"{number:036d}", "resourceVersion": f"{number}"}
        contents.put_job(job_of(copy))
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return (after - before) / count
