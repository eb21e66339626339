"""Follows Jobs, their Pods, and CronJobs of one selector in some namespaces. Decides nothing about them."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from events.jobs.observed import Job, Pod, Schedule
from k8s.api.client import segment
from k8s.api.cluster import Cluster
from k8s.background import beside
from k8s.base import Key
from k8s.informer.jobs import Contents, JobFeed, PodFeed
from k8s.informer.reflector import Reflector, WatchTiming
from k8s.informer.schedules import ScheduleCache, ScheduleFeed
from k8s.reading.cronjob import parse_cron_job
from k8s.reading.job import parse_job, parse_pod

BATCH = "/apis/batch/v1/namespaces/{}"


class JobCache:
    """Jobs that carry our finalizer and their Pods, as last seen. Reading never waits; the objects never change.

    `schedules`: the same of CronJobs.
    """

    def __init__(self, contents: Contents, schedules: ScheduleCache, watches: Sequence[Reflector[Any]]) -> None:
        self.schedules = schedules
        self._contents = contents
        self._watches = watches

    def jobs(self) -> Sequence[Job]:
        return [job for job in self._contents.jobs.values() if job.has_finalizer]

    def keys(self) -> Sequence[Key]:
        """Theirs."""
        return [key for key, job in self._contents.jobs.items() if job.has_finalizer]

    def get(self, key: Key) -> Job | None:
        job = self._contents.jobs.get(key)
        return job if job is not None and job.has_finalizer else None

    def new_runs(self) -> Sequence[Job]:
        """Jobs that Kubernetes has made for schedules, and that are still to get our finalizer."""
        return [job for job in self._contents.jobs.values() if not job.has_finalizer]

    def new_run(self, key: Key) -> Job | None:
        """The one of this name."""
        job = self._contents.jobs.get(key)
        return None if job is None or job.has_finalizer else job

    def pods(self, job_uid: str) -> list[Pod]:
        return self._contents.pods(job_uid)

    async def changed(self) -> set[Key]:
        """Jobs of which something changed or that left since the last call; waits for at least one. One caller only."""
        await self._contents.news.wait()
        self._contents.news.clear()
        changes, self._contents.changes = self._contents.changes, set()
        return changes

    def assume(self, job: Job) -> None:
        """Take in the answer to our own PATCH before the watch brings it, unless something newer is here."""
        self._contents.assume(job)

    async def resync(self) -> None:
        """List everything anew, and wait for it: on return all that was there at the call has been seen."""
        async with asyncio.TaskGroup() as group:
            for watch in self._watches:
                group.create_task(watch.resync())

    def fresh(self) -> float:
        """The API server's time (epoch seconds) up to which everything has been seen, by the watch furthest behind.

        That of its last list, event or bookmark: an idle watch gets ahead with bookmarks only, about once a minute. An
        event on its way just then may be missing still: whoever stores this leaves some seconds of room.
        """
        return min(watch.seen for watch in self._watches)

    def age(self) -> float:
        """Seconds since the last sign of life of the quietest watch."""
        return max(watch.quiet for watch in self._watches)

    @property
    def problem(self) -> str | None:
        """Why a watch is behind, None when none is."""
        return next((watch.problem for watch in self._watches if watch.problem), None)

    @property
    def errors(self) -> int:
        """Objects that made no sense, so far."""
        return sum(watch.errors for watch in self._watches)

    @property
    def relists(self) -> int:
        """Lists after the first ones, so far."""
        return sum(watch.relists for watch in self._watches)


@asynccontextmanager
async def follow(
    cluster: Cluster,
    *,
    namespaces: Sequence[str],
    selector: str,
    idle: float = 120.0,
    rng: random.Random | None = None,
) -> AsyncIterator[JobCache]:
    """A cache that has seen every Job, Pod and CronJob on entry and is kept so. Entering waits for an absent server.

    `idle`: seconds of silence after which a watch is taken for dead; bookmarks come about once a minute. Nothing the
    server does ends it: see `JobCache.problem`.
    """

    def watch(sink: Any, namespace: str, *, api: str, parse: Callable[[Any], Any]) -> Reflector[Any]:
        path = api.format(segment(namespace))
        return Reflector(
            cluster.client,
            path=path,
            selector=selector,
            parse=parse,
            sink=sink,
            timing=WatchTiming(silence=idle),
            rng=rng or random.Random(),  # noqa: S311 - jitter
        )

    contents, schedules = Contents(), ScheduleCache()
    homes = dict.fromkeys(namespaces)
    jobs = [watch(JobFeed(contents, home), home, api=f"{BATCH}/jobs", parse=parse_job) for home in homes]
    pods = [watch(PodFeed(contents, home), home, api="/api/v1/namespaces/{}/pods", parse=parse_pod) for home in homes]
    cron_jobs = [
        watch(ScheduleFeed(schedules, home), home, api=f"{BATCH}/cronjobs", parse=parse_cron_job) for home in homes
    ]
    async with beside(_run(jobs, pods, cron_jobs)):
        for reflector in (*jobs, *pods, *cron_jobs):
            await reflector.synced()
        yield JobCache(contents, schedules, (*jobs, *pods, *cron_jobs))


async def _run(
    jobs: Sequence[Reflector[Job]], pods: Sequence[Reflector[Pod]], cron_jobs: Sequence[Reflector[Schedule]]
) -> None:
    async with asyncio.TaskGroup() as group:
        for of_jobs, of_pods in zip(jobs, pods, strict=True):
            group.create_task(of_jobs.run())
            group.create_task(_after(of_jobs, of_pods))
        for of_cron_jobs in cron_jobs:
            group.create_task(of_cron_jobs.run())


async def _after(jobs: Reflector[Job], pods: Reflector[Pod]) -> None:
    """Jobs first: Pods of Jobs that are done need not be held then."""
    await jobs.synced()
    await pods.run()
