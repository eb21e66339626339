"""Admission: how long a decision about all waiting Jobs takes, and how fast a leader lets them run."""

import random
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from events.cloudevent.timestamp import format_epoch
from events.names import Annotation, Label
from handler.admission.data import Snapshot
from handler.admission.decision import admit
from handler.controller.admitting import Admitting, limits_of
from handler.settings.settings import Settings
from k8s.base import Manifest
from k8s.informer.informer import JobCache
from k8s.informer.jobs import Contents
from k8s.informer.schedules import ScheduleCache
from k8s.reading.job import job_of
from tests.bench.feed import LIFECYCLE, feeding, holds
from tests.bench.load import IDLE, IN_FLIGHT, Bare, Fields, cpu_seconds, make_events, many, no_pods, rendered
from tests.bench.measures import Rates
from tests.bench.watching import LONG, leading
from tests.e2e.site import Relay, Site, until
from tests.handler.parts import make_services, make_term

ACTIVE = 100
LIMITS = Settings.model_validate({"max_active": ACTIVE, "max_active_per_key": 5})
LOOKS = 21
SERVICES, KEYS = 20, 50
WAITED = 600.0
"""Seconds that the oldest Job may have waited: enough for waiting to change the order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deciding:
    """Median CPU seconds: of the decision alone, and of all that the leader does when one Job has changed."""

    alone: float
    whole: float


def deciding(site: Site, *, count: int) -> Deciding:
    """Decides about `count` waiting Jobs while as many are active as the limit allows."""
    contents = Contents()
    for job in _jobs(site, count=count):
        contents.put_job(job_of(job))
    services = make_services(site.cluster, LIMITS.model_copy(update={"namespaces": (site.namespace,)}))
    admitting = Admitting(services, make_term(JobCache(contents, ScheduleCache(), {})))
    keys = list(contents.jobs)
    admitting.changed(keys)

    def look() -> None:
        admitting._refresh()
        admitting._remember(admitting._decide())

    def change_and_look() -> None:
        admitting.changed([random.choice(keys)])
        look()

    look()
    snapshot = Snapshot(active=[*admitting._active.values()], waiting=[*admitting._waiting.values()])
    assert (len(snapshot.waiting), len(snapshot.active)) == (count, ACTIVE)
    limits = limits_of(LIMITS)
    alone = _cpu_of(lambda: admit(snapshot, limits, site.cluster.server_time()))
    return Deciding(alone=alone, whole=_cpu_of(change_and_look))


def _jobs(site: Site, *, count: int) -> Iterator[Manifest]:
    """Jobs as the API server would show them: first those that wait, then those that are active."""
    events = make_events(count + ACTIVE, command=IDLE, image=site.image, fields=_wishes)
    now = site.cluster.server_time()
    for number, job in enumerate(rendered(events, instance="bench", site=site, governed=True)):
        created = format_epoch(now - random.uniform(0, WAITED))
        job["metadata"] |= {"uid": f"{number:036d}", "resourceVersion": f"{number}", "creationTimestamp": created}
        if number >= count:
            del job["metadata"]["annotations"][Annotation.QUEUED]
            job["spec"]["suspend"] = False
        yield job


def _wishes(number: int) -> Fields:
    """Every second Job has a key, and some of these are exclusive; a few Jobs depend on another."""
    fields: dict[str, Any] = {"service": f"service-{number % SERVICES}", "priority": random.randint(0, 1000)}
    if number % 2:
        fields["concurrency"] = {"key": f"key-{number % KEYS}"}
        fields["exclusive"] = number % 10 == 1
    if number % 50 == 4:
        fields["dependencies"] = [f"bench-{number - 1}"]
    return fields


def _cpu_of(call: Callable[[], object]) -> float:
    """Measured in this thread only: other processes use the machine too."""
    took = []
    for _ in range(LOOKS):
        begun = time.thread_time()
        call()
        took.append(time.thread_time() - begun)
    return statistics.median(took)


async def releasing(site: Site, *, count: int, rounds: int) -> Rates:
    """`count` Jobs wait for one Job to end, and the leader lets them run, against bare PATCHes of the same Jobs."""
    events = make_events(count, command=IDLE, image=site.image)
    rates = Rates()
    async with no_pods(site):
        for _ in range(rounds):
            await _bare_round(site, events, rates)
            await _released_round(site, events, rates)
    return rates


async def _bare_round(site: Site, events: list[bytes], rates: Rates) -> None:
    bare, instance = Bare(site), site.new_instance()
    jobs = rendered(events, instance=instance, site=site, governed=True)
    await many(bare.post, jobs, in_flight=IN_FLIGHT)
    # The leader watches Jobs, so the API server also sends it the effect of each PATCH: the bare client bears that too.
    async with bare.watched(instance):
        begun, cpu = time.perf_counter(), time.process_time()
        await many(bare.admit, jobs, in_flight=IN_FLIGHT)
        rates.bare_cpu.append((time.process_time() - cpu) / len(jobs))
        rates.bare.append(len(jobs) / (time.perf_counter() - begun))
    await bare.remove(instance, [job["metadata"]["name"] for job in jobs])


async def _released_round(site: Site, events: list[bytes], rates: Rates) -> None:
    bare, instance = Bare(site), site.new_instance()
    # The bare client still has its connections to the API server from earlier rounds: these let ours open them too.
    first = make_events(IN_FLIGHT, command=IDLE, image=site.image, name="first", fields=lambda _: {"service": "first"})
    async with (
        leading(site, instance, role="controller", admission="always") as controller,
        feeding(site, instance) as feed,
    ):
        groups = [await _behind_a_gate(bare, bodies, instance=instance, site=site) for bodies in (first, events)]
        published = sum(1 + 2 * len(jobs) for _, jobs in groups)  # each is created, and all but the gates are queued
        await holds(feed, LIFECYCLE, published, seconds=2 * LONG)
        (_, spent) = [await _admit_all(bare, controller, gate, len(jobs)) for gate, jobs in groups]
        rates.ours.append(len(events) / spent.seconds)
        rates.controller_cpu.append(spent.cpu / len(events))
        assert (await controller.metrics())["jobrelay_jobs_admitted_total"] == len(first) + len(events)
    await bare.remove(instance, [name for gate, jobs in groups for name in (gate, *jobs)])


async def _behind_a_gate(bare: Bare, bodies: list[bytes], *, instance: str, site: Site) -> tuple[str, list[str]]:
    """Create an exclusive Job (the gate) and Jobs that wait for it to end. Returns their names."""
    jobs = rendered(bodies, instance=instance, site=site, governed=True)
    service = jobs[0]["metadata"]["labels"][Label.NAME]
    fields: Fields = {"service": service, "exclusive": True}
    alone = make_events(1, command=IDLE, image=site.image, name=f"alone-{service}", fields=lambda _: fields)
    gates = rendered(alone, instance=instance, site=site)
    await many(bare.post, gates, in_flight=1)
    await many(bare.post, jobs, in_flight=IN_FLIGHT)
    return gates[0]["metadata"]["name"], [job["metadata"]["name"] for job in jobs]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spent:
    """Wall-clock seconds, and CPU seconds of the controller."""

    seconds: float
    cpu: float


async def _admit_all(bare: Bare, controller: Relay, gate: str, count: int) -> _Spent:
    """What it takes from the end of `gate` until `count` more Jobs are admitted."""
    pid, before = controller.process.pid, _admitted(controller)
    begun, cpu = time.perf_counter(), cpu_seconds(pid)
    await bare.complete(gate)
    await until(partial(_has_admitted, controller, before + count), seconds=LONG, every=0.05)
    return _Spent(seconds=time.perf_counter() - begun, cpu=cpu_seconds(pid) - cpu)


async def _has_admitted(controller: Relay, count: int) -> bool:
    return _admitted(controller) == count


def _admitted(controller: Relay) -> int:
    """Counted in its log: answering with metrics would cost it time."""
    return controller.process.output().count(": admitted ")
