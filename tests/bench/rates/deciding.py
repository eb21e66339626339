"""Admission: how long a decision about all waiting Jobs takes."""

import random
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from events.cloudevent.timestamp import format_epoch
from events.names import Annotation
from handler.admission.data import Snapshot
from handler.admission.decision import admit
from handler.controller.admitting import Admitting, limits_of
from handler.settings.settings import Settings
from k8s.base import Manifest
from k8s.informer.informer import JobCache
from k8s.informer.jobs import Contents
from k8s.informer.schedules import ScheduleCache
from k8s.reading.job import job_of
from tests.bench.load.events import IDLE, Fields, jobs_of, make_events
from tests.e2e.site import Site
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
    for number, job in enumerate(jobs_of(events, instance="bench", site=site, governed=True)):
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
