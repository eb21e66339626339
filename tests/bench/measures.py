"""Rates and CPU: how fast a full queue becomes Jobs, and how fast these end. Each measurement cleans up."""

import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from handler.settings.connections import broker_of
from handler.settings.settings import PREFIX, Settings
from k8s.base import Manifest
from tests.bench.apiserver import TRUE
from tests.bench.feed import LIFECYCLE, REQUESTS, Feed, feeding, holds
from tests.bench.load import IDLE, IN_FLIGHT, Bare, cpu_seconds, make_events, many, no_pods, paused, rendered
from tests.bench.watching import LONG, all_released, leading
from tests.e2e.site import NATS_MAX_BYTES, Relay, Site, until

EVENTS_OF_A_LIFE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Per round: Jobs a second, ours and bare; CPU seconds per event of the handler, the bare client and the controller
    (if it takes part).
    """

    ours: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    bare_cpu: list[float] = field(default_factory=list)
    controller_cpu: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """Ours against bare: the median over neighbouring rounds."""
        return statistics.median(ours / bare for ours, bare in zip(self.ours, self.bare, strict=True))


async def creating(site: Site, *, count: int, in_flight: int, rounds: int) -> Rates:
    """From a full queue until one handler has created all Jobs and acknowledged, against bare POSTs of these Jobs."""
    events, rates = make_events(count, command=IDLE, image=site.image), Rates()
    async with no_pods(site):
        for _ in range(rounds):
            await _bare_round(site, events, rates, in_flight=in_flight, patches=False)
            await _created_round(site, events, rates, in_flight=in_flight)
    return rates


async def living(site: Site, *, count: int, rounds: int) -> Rates:
    """From a full queue until every terminal event is stored and no Job has our finalizer, with a handler and a
    controller, against bare POST and PATCH.
    """
    events, rates = make_events(count, command=TRUE, image=site.image), Rates()
    for _ in range(rounds):
        await _bare_round(site, events, rates, in_flight=IN_FLIGHT, patches=True)
        await _lived_round(site, events, rates)
    return rates


async def _bare_round(site: Site, events: list[bytes], rates: Rates, *, in_flight: int, patches: bool) -> None:
    bare, instance = Bare(site), site.new_instance()
    jobs = rendered(events, instance=instance, site=site)

    async def request(job: Manifest) -> None:
        await bare.post(job)
        if patches:
            await bare.release(job)

    begun, cpu = time.perf_counter(), time.process_time()
    await many(request, jobs, in_flight=in_flight)
    rates.bare_cpu.append((time.process_time() - cpu) / len(jobs))
    if patches:
        for job in jobs[-in_flight:]:
            await until(partial(bare.completed, job["metadata"]["name"]), seconds=LONG)
    rates.bare.append(len(jobs) / (time.perf_counter() - begun))
    await bare.remove(instance, [job["metadata"]["name"] for job in jobs])


async def _created_round(site: Site, events: list[bytes], rates: Rates, *, in_flight: int) -> None:
    instance, first = site.new_instance(), _first(site, IDLE)

    async def created(count: int) -> None:
        await holds(feed, REQUESTS, 0, seconds=LONG)
        # RabbitMQ's count leaves out what is delivered but not acknowledged.
        await until(partial(_has_made, site, handler, count), seconds=LONG, every=0.01)

    async with _handling(site, instance, concurrency=in_flight) as handler, feeding(site, instance) as feed:
        await feed.publish(first)
        await created(len(first))
        spent = await _spent(feed, events, partial(created, len(first) + len(events)), handler)
    rates.ours.append(len(events) / spent.seconds)
    rates.cpu.append(spent.cpu[0] / len(events))
    await _remove(site, instance, [*first, *events])


async def _lived_round(site: Site, events: list[bytes], rates: Rates) -> None:
    instance, first = site.new_instance(), _first(site, TRUE)

    async def lived(count: int) -> None:
        await holds(feed, LIFECYCLE, EVENTS_OF_A_LIFE * count, seconds=LONG)
        await until(partial(all_released, controller), seconds=LONG, every=0.02)

    async with (
        leading(site, instance, role="controller") as controller,
        site.relay(instance, role="handler", concurrency=IN_FLIGHT) as handler,
        feeding(site, instance) as feed,
    ):
        await feed.publish(first)
        await lived(len(first))
        spent = await _spent(feed, events, partial(lived, len(first) + len(events)), handler, controller)
    rates.ours.append(len(events) / spent.seconds)
    rates.cpu.append(spent.cpu[0] / len(events))
    rates.controller_cpu.append(spent.cpu[1] / len(events))
    await _remove(site, instance, [*first, *events])


def _first(site: Site, command: str) -> list[bytes]:
    # The bare client still has its connections to the API server from earlier rounds: these let ours open them too.
    return make_events(IN_FLIGHT, command=command, image=site.image, name="first")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spent:
    """Wall-clock seconds; CPU seconds of each process."""

    seconds: float
    cpu: list[float]


async def _spent(feed: Feed, events: list[bytes], done: Callable[[], Awaitable[None]], *relays: Relay) -> _Spent:
    """What it takes from a full queue until `done`. The first of `relays` is stopped while the queue fills up."""
    pids = [relay.process.pid for relay in relays]
    async with paused(relays[0]):
        await feed.publish(events)
        begun, cpu = time.perf_counter(), [cpu_seconds(pid) for pid in pids]
    await done()
    seconds = time.perf_counter() - begun
    return _Spent(seconds=seconds, cpu=[cpu_seconds(pid) - before for pid, before in zip(pids, cpu, strict=True)])


async def _has_made(site: Site, handler: Relay, count: int) -> bool:
    name = f'jobrelay_messages_processed_total{{broker="{site.broker}"}}'
    return (await handler.metrics()).get(name, 0.0) == count


async def _remove(site: Site, instance: str, events: list[bytes]) -> None:
    jobs = rendered(events, instance=instance, site=site)
    await Bare(site).remove(instance, [job["metadata"]["name"] for job in jobs])


@asynccontextmanager
async def _handling(site: Site, instance: str, *, concurrency: int) -> AsyncIterator[Relay]:
    """A handler without a controller: declares what a controller would."""
    given = {"SOURCES": site.source, "INSTANCE": instance, "NATS_MAX_BYTES": str(NATS_MAX_BYTES)}
    given |= {"NATS_LIFECYCLE_BYTES": str(NATS_MAX_BYTES), "NATS_DEAD_BYTES": str(NATS_MAX_BYTES // 4)}
    settings = Settings.from_env({PREFIX + name: value for name, value in given.items()})
    async with broker_of(settings) as broker:
        await broker.declare()
    async with site.relay(instance, role="handler", concurrency=concurrency) as handler:
        yield handler
