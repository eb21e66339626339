"""Everything in the development cluster that acts by itself: all controllers observe a common stream of changes."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from k8s.devcluster.controllers.claims import Claims
from k8s.devcluster.controllers.collector import OBSERVED, Collector
from k8s.devcluster.controllers.cronjobs import CronJobController
from k8s.devcluster.controllers.crontimes import MINUTE, Clock
from k8s.devcluster.controllers.jobs import JobController
from k8s.devcluster.controllers.owners import Owners, current
from k8s.devcluster.kubelet import node
from k8s.devcluster.kubelet.kubelet import Kubelet
from k8s.devcluster.resources import Obj
from k8s.devcluster.store.store import Store
from k8s.devcluster.times import parse_time


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Durations in seconds; the defaults are Kubernetes' own. ValueError: `cron_minute` is not positive."""

    backoff: float = 10.0  # Until a failed pod's first replacement, or a container's second restart; doubles.
    ready_lag: float = 1.0  # Until the Job controller reacts to a pod's change.
    capacity: int = 250  # Pods that run at once: the others wait.
    gpus: int = 0  # That the node claims to have; containers see none.
    cron_minute: float = MINUTE  # For tests: what a minute of CronJobs takes, since this directory was first used.

    def __post_init__(self) -> None:
        if not self.cron_minute > 0:
            raise ValueError("cron_minute must be above 0 seconds")


class _Observer(Protocol):
    def observe(self, resource: str, obj: Obj, *, gone: bool = False) -> None: ...


async def run(store: Store, directory: Path, options: Options) -> None:
    """Run until cancelled, then terminate all containers. Pods keep their files in `directory`."""
    async with store.subscribe(*OBSERVED) as changes, asyncio.TaskGroup() as group:
        owners = Owners(store)
        jobs = JobController(store, owners, backoff=options.backoff, lag=options.ready_lag)
        cron_jobs = CronJobController(store, owners, clock=_clock(store, options))
        collector = Collector(store, owners)
        node.register(store, pods=options.capacity, gpus=options.gpus)
        claims = Claims(store, directory / "claims")
        kubelet = Kubelet(store, directory=directory, capacity=options.capacity, backoff=options.backoff)
        observers: tuple[_Observer, ...] = (jobs, cron_jobs, collector, claims, kubelet)
        started = asyncio.Event()
        group.create_task(kubelet.run(started))
        await started.wait()
        for resource in OBSERVED:
            for obj in store.list(resource):
                for observer in observers:
                    observer.observe(resource, obj)
        group.create_task(jobs.run())
        group.create_task(cron_jobs.run())
        group.create_task(collector.run())
        group.create_task(claims.run())
        async for resource, change, obj in changes:
            _notify(store, owners, observers, resource=resource, obj=obj, gone=change == "DELETED")


def _clock(store: Store, options: Options) -> Clock:
    """A clock that began when this directory was first used. A restart neither stops nor resets it."""
    began = store.get("namespaces", "", "default")["metadata"]["creationTimestamp"]
    return Clock(origin=parse_time(began), minute=options.cron_minute)


def _notify(
    store: Store,
    owners: Owners,
    observers: tuple[_Observer, ...],
    *,
    resource: str,
    obj: Obj,
    gone: bool,
) -> None:
    """Notify controllers of the current object, not of what it was at the event."""
    if not gone:
        metadata = obj["metadata"]
        now = current(store, (resource, metadata.get("namespace", ""), metadata["name"]))
        if now is None or now["metadata"]["uid"] != metadata["uid"]:
            return  # Its DELETED is still to come.
        obj = now
    owners.apply(resource, obj, gone=gone)
    for observer in observers:
        observer.observe(resource, obj, gone=gone)
