"""Following Jobs: how soon a change is published, what a Job costs in memory, how soon a standby takes over.

Each measurement cleans up after itself.
"""

import asyncio
import os
import signal
import time
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import orjson

from k8s.base import Manifest
from k8s.informer.jobs import Contents
from k8s.reading.job import job_of
from tests.bench.feed import LIFECYCLE, feeding, holds
from tests.bench.load import IDLE, IN_FLIGHT, Bare, make_events, many, no_pods, rendered, resident_bytes
from tests.e2e.observer import Observer
from tests.e2e.scenes import leader_of
from tests.e2e.site import Relay, Site, until

LONG = 300.0
"""Seconds after which a measurement has failed."""


async def all_released(relay: Relay) -> bool:
    """Whether this leader no longer follows any Job."""
    metrics = await relay.metrics()
    phases = ("pending", "running", "suspended", "finishing")
    return bool(metrics) and not any(metrics[f'jobrelay_jobs{{phase="{phase}"}}'] for phase in phases)


@asynccontextmanager
async def leading(site: Site, instance: str, **settings: object) -> AsyncIterator[Relay]:
    """A `jobrelay run` process that leads and has listed its Jobs."""
    async with site.relay(instance, **settings) as relay:
        await until(relay.leads, seconds=60)
        yield relay


async def reporting(site: Site, *, samples: int) -> list[float]:
    """Seconds from the answer to a PATCH that completes a Job until its event arrives here, one Job at a time."""
    instance = site.new_instance()
    events = make_events(samples, command=IDLE, image=site.image)
    jobs = rendered(events, instance=instance, site=site)
    names = [job["metadata"]["name"] for job in jobs]
    bare = Bare(site)
    async with (
        no_pods(site),
        leading(site, instance) as relay,
        feeding(site, instance) as feed,
        site.observer(instance) as observer,
    ):
        await feed.publish(events)
        await holds(feed, LIFECYCLE, samples, seconds=LONG)
        took = [await _report(observer, bare, number, name) for number, name in enumerate(names)]
        await until(lambda: all_released(relay), seconds=LONG)
    await bare.remove(instance, names)
    return sorted(took)


async def _report(observer: Observer, bare: Bare, number: int, name: str) -> float:
    arrived = asyncio.ensure_future(_arrival(observer, number))
    await asyncio.sleep(0.02)  # without load: let everything about the Job before arrive
    await bare.complete(name)
    answered = time.perf_counter()
    return await arrived - answered


async def _arrival(observer: Observer, number: int) -> float:
    await observer.ended(f"bench-{number}", seconds=LONG)
    return time.perf_counter()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracking:
    """Bytes per Job, as growth of our process and as allocated by the cache; seconds that a restart takes."""

    jobs: int
    resident: float
    cached: float
    restart: float


async def tracking(site: Site, *, count: int) -> Tracking:
    """Track `count` unfinished Jobs. Some complete while jobrelay is down: the restart ends once that is published."""
    instance = site.new_instance()
    events = make_events(count, command=IDLE, image=site.image)
    jobs = rendered(events, instance=instance, site=site)
    names = [job["metadata"]["name"] for job in jobs]
    bare = Bare(site)
    done = sorted({*range(0, count, max(1, count // 100)), count - 1})
    async with no_pods(site), feeding(site, instance) as feed, site.observer(instance) as observer:
        async with leading(site, instance) as relay:
            before = resident_bytes(relay.process.pid)
            await many(bare.post, jobs, in_flight=IN_FLIGHT)
            await holds(feed, LIFECYCLE, count, seconds=LONG)
            resident = (resident_bytes(relay.process.pid) - before) / count
            stored = await site.cluster.read_job(site.namespace, names[0])
        for number in done:
            await bare.complete(names[number])
        async with site.relay(instance) as relay:
            await until(lambda: _says_it_leads(relay), seconds=LONG, every=0.005)
            begun = time.perf_counter()
            for number in done:
                await observer.ended(f"bench-{number}", seconds=LONG)
            restart = time.perf_counter() - begun
    cached = cached_bytes(stored, count=count)
    await bare.remove(instance, names)
    return Tracking(jobs=count, resident=resident, cached=cached, restart=restart)


async def _says_it_leads(relay: Relay) -> bool:
    return "leading" in relay.process.output()


def cached_bytes(job: Manifest, *, count: int) -> float:
    """Bytes that the cache allocates for each of `count` Jobs like `job`, with names of their own."""
    contents = Contents()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for number in range(count):
        # Copied through JSON, so that copies share no more strings than Jobs from the API server would.
        copy = orjson.loads(orjson.dumps(job))
        copy["metadata"] |= {"name": f"{job['metadata']['name']}-{number}", "uid": f"{number:036d}"}
        contents.put_job(job_of(copy))
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return (after - before) / count


async def holding(site: Site, *, count: int) -> int:
    """Resident bytes of a controller that has published events of `count` unfinished Jobs and follows them."""
    instance = site.new_instance()
    jobs = rendered(make_events(count, command=IDLE, image=site.image), instance=instance, site=site)
    bare = Bare(site)
    async with no_pods(site), leading(site, instance, role="controller") as controller, feeding(site, instance) as feed:
        await many(bare.post, jobs, in_flight=IN_FLIGHT)
        await holds(feed, LIFECYCLE, count, seconds=2 * LONG)
        resident = resident_bytes(controller.process.pid)
    await bare.remove(instance, [job["metadata"]["name"] for job in jobs])
    return resident


@dataclass(frozen=True, slots=True, kw_only=True)
class Takeover:
    """Seconds from the leader's end until the standby leads."""

    crash: float
    exit: float


async def taking_over(site: Site) -> Takeover:
    """Start three controllers, and end the leader twice."""
    instance = site.new_instance()
    async with site.relays(instance, "controller", "controller", "controller") as relays:
        left, crash = await _after(relays, signal.SIGKILL)
        _, stop = await _after(left, signal.SIGTERM)
    return Takeover(crash=crash, exit=stop)


async def _after(relays: list[Relay], number: signal.Signals) -> tuple[list[Relay], float]:
    """Send the leader this signal. Returns the processes left once a standby leads, and the seconds until then."""
    leader = await until(partial(leader_of, relays), seconds=LONG)
    left = [relay for relay in relays if relay is not leader]
    begun = time.perf_counter()
    os.kill(leader.process.pid, number)
    await until(partial(leader_of, left), seconds=LONG, every=0.02)
    return left, time.perf_counter() - begun
