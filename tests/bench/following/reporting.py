"""How soon a change is told at rest, and while other Jobs come and go. Cleans up after itself."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from k8s.base import Manifest
from tests.bench.apiserver import TRUE
from tests.bench.following.probes import latencies, make_probes, probing
from tests.bench.load.events import jobs_of, make_events
from tests.bench.load.feed import LIFECYCLE, Feed, feeding, holds
from tests.bench.load.jobs import Jobs, no_pods
from tests.bench.load.relays import LONG, leading, none_followed
from tests.bench.rates.living import EVENTS_OF_A_LIFE
from tests.e2e.site import Site

STEP = 0.05
"""Seconds between two handfuls of events."""
WARM = 2.0
"""Seconds of load before the first sample."""
BEHIND = 0.5
"""Seconds of load that may be unfinished. A machine that cannot keep up would only fall further and further behind: it
gets less, and the figures say how much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reporting:
    """Seconds each, sorted; and how many other Jobs a second ended meanwhile."""

    took: list[float]
    rate: float


class _Load:
    """Requests whose Jobs run and end by themselves; `made`: how many so far."""

    def __init__(self, site: Site, feed: Feed, rate: float) -> None:
        self._site = site
        self._feed = feed
        self.rate = rate
        self.made = 0
        self.over = False

    async def publish(self) -> None:
        """At a steady rate while the lives of these Jobs keep up with it, until `over`."""
        before, due, count = await self._feed.stored(LIFECYCLE), time.perf_counter(), max(1, round(self.rate * STEP))
        while not self.over:
            told = await self._feed.stored(LIFECYCLE) - before
            if self.made - told / EVENTS_OF_A_LIFE < self.rate * BEHIND:
                events = make_events(count, command=TRUE, image=self._site.image, name="load", first=self.made)
                await self._feed.publish(events)
                self.made += count
            due += count / self.rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))

    def jobs(self, instance: str) -> list[Manifest]:
        events = make_events(self.made, command=TRUE, image=self._site.image, name="load")
        return [*jobs_of(events, instance=instance, site=self._site)]


async def reporting(site: Site, *, samples: int, rate: float = 0.0) -> Reporting:
    """Jobs end one at a time, while `rate` others a second run and end. With load: only where no real pods are."""
    instance, events = site.new_instance(), make_probes(site, samples)
    jobs = [*jobs_of(events, instance=instance, site=site)]
    async with (
        no_pods(site),
        leading(site, instance, role="controller") as controller,
        site.relay(instance, role="handler") as _,
        feeding(site, instance) as feed,
        probing(site, instance) as probes,
    ):
        await feed.publish(events)
        await holds(feed, LIFECYCLE, samples, seconds=LONG)
        load = _Load(site, feed, rate)
        async with _under(load):
            before, begun = await feed.stored(LIFECYCLE), time.perf_counter()
            took = await latencies(site, probes, jobs)
            seconds = time.perf_counter() - begun
            told = await feed.stored(LIFECYCLE) - before - samples
        await holds(feed, LIFECYCLE, 2 * samples + EVENTS_OF_A_LIFE * load.made, seconds=LONG)
        await none_followed(controller)
    await Jobs(site).remove(instance, [*jobs, *load.jobs(instance)])
    return Reporting(took=took, rate=told / EVENTS_OF_A_LIFE / seconds)


@asynccontextmanager
async def _under(load: _Load) -> AsyncIterator[None]:
    if not load.rate:
        yield
        return
    async with asyncio.TaskGroup() as group:
        group.create_task(load.publish())
        await asyncio.sleep(WARM)
        yield
        load.over = True
