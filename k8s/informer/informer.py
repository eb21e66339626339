"""Follows Jobs, their Pods and CronJobs that match a selector, in some namespaces. Decides nothing about them."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, NamedTuple

from events.jobs.observed import Job, Schedule
from events.jobs.pods import Pod
from k8s.api.client import segment
from k8s.api.cluster import Cluster
from k8s.background import beside
from k8s.base import Key
from k8s.informer.jobs import Contents, JobFeed, PodFeed
from k8s.informer.reflector import Reflector, WatchTiming
from k8s.informer.schedules import ScheduleCache, ScheduleFeed
from k8s.reading.cronjob import parse_cron_job
from k8s.reading.job import parse_job
from k8s.reading.metadata import number
from k8s.reading.pod import parse_pod

REFUSED_SECONDS = 0.2
"""Seconds between looks whether any namespace may be followed by now."""
BATCH = "/apis/batch/v1/namespaces/{}"


class JobCache:
    """Jobs that have our finalizer and their Pods, as last seen. Reading never waits; the objects are immutable.

    Strays are kept apart: see `stray`. `schedules`: the cache of CronJobs.
    """

    def __init__(self, contents: Contents, schedules: ScheduleCache, homes: Mapping[str, "Home"]) -> None:
        self.schedules = schedules
        self._contents = contents
        self._homes = homes
        self._watches = [watch for home in homes.values() for watch in home]

    def jobs(self) -> Sequence[Job]:
        return [job for job in self._contents.jobs.values() if _is_followed(job)]

    def keys(self) -> Sequence[Key]:
        """The keys of `jobs`."""
        return [key for key, job in self._contents.jobs.items() if _is_followed(job)]

    def get(self, key: Key) -> Job | None:
        job = self._contents.jobs.get(key)
        return job if job is not None and _is_followed(job) else None

    def of_request(self, request_id: str, source: str | None = None) -> Iterator[Job]:
        """The Jobs of this id; with `source`, those of this source. However many others there are."""
        return (job for job in self._contents.requests.of(request_id, source) if _is_followed(job))

    @contextmanager
    def awaited(self, request_id: str, event: asyncio.Event) -> Iterator[None]:
        """Within the block, `event` is set whenever a Job or schedule of this id comes or changes."""
        with self._contents.requests.awaited(request_id, event), self.schedules.requests.awaited(request_id, event):
            yield

    def stray(self, key: Key) -> Job | None:
        """The Job of this name that has our finalizer, but is no request's Job."""
        job = self._contents.jobs.get(key)
        return job if job is not None and job.has_finalizer and job.stray is not None else None

    def stray_keys(self) -> Sequence[Key]:
        """The keys of all such Jobs."""
        return [key for key, job in self._contents.jobs.items() if job.has_finalizer and job.stray is not None]

    def has_left(self, key: Key) -> bool:
        """Whether a watch removed this Job while it had our finalizer, so that it may only have lost its labels."""
        return key in self._contents.left

    def forget(self, key: Key) -> None:
        """It is known what became of a Job that has left."""
        self._contents.left.discard(key)

    def new_runs(self) -> Sequence[Job]:
        """Jobs that Kubernetes has made for schedules and that do not have our finalizer yet."""
        return [job for job in self._contents.jobs.values() if not job.has_finalizer]

    def new_run(self, key: Key) -> Job | None:
        """The new run of this name, if there is one."""
        job = self._contents.jobs.get(key)
        return None if job is None or job.has_finalizer else job

    def pods(self, job_uid: str) -> list[Pod]:
        return self._contents.pods(job_uid)

    async def changed(self) -> set[Key]:
        """Jobs that changed or left since the last call; waits for at least one. Only one task may call this."""
        await self._contents.news.wait()
        self._contents.news.clear()
        changes, self._contents.changes = self._contents.changes, set()
        return changes

    def assume(self, job: Job) -> None:
        """Take in the answer to our own PATCH before the watch delivers it, unless the cache has a newer version."""
        self._contents.assume(job)

    def released(self, job: Job, version: str) -> None:
        """What `assume` does with an answer that shows the Job without our finalizer. `version`: of that answer."""
        self._contents.release((job.namespace, job.name), job.uid, number(version))

    async def resync(self) -> None:
        """List everything again, and wait for that: on return, the cache has all that existed at the call.

        That is, in the namespaces that we may follow; there is at least one.
        """
        while True:
            async with asyncio.TaskGroup() as group:
                for watch in self._watches:
                    group.create_task(watch.resync())
            if not self._homes or not _all_refused(self._homes):
                return
            await asyncio.sleep(REFUSED_SECONDS)

    def fresh(self) -> float:
        """The API server's time (epoch seconds) up to which every watch has seen everything.

        It is the time of a list, event or bookmark. Bookmarks, about once a minute, are all that moves an idle watch
        on. An event that was on its way just then may still be missing: to rely on this time, subtract some seconds.
        """
        return min(watch.seen for watch in self._watches)

    def age(self) -> float:
        """Seconds since the last sign of life, of the watch where that is longest ago."""
        return max(watch.quiet for watch in self._watches)

    @property
    def problem(self) -> str | None:
        """Why a watch is behind; None if none is, but for those in namespaces that we may not follow."""
        told = self._watches if _all_refused(self._homes) else [one for one in self._watches if not one.refused]
        return next((watch.problem for watch in told if watch.problem), None)

    @property
    def refused(self) -> Mapping[str, str]:
        """The namespaces that we may not follow, and why. What is in the others is followed all the same."""
        found = ((name, watch.problem) for name, home in self._homes.items() for watch in home if watch.refused)
        return {name: problem for name, problem in found if problem is not None}

    @property
    def errors(self) -> int:
        """How many malformed objects there were so far."""
        return sum(watch.errors for watch in self._watches)

    @property
    def relists(self) -> int:
        """How many lists there were so far, without the first of each watch."""
        return sum(watch.relists for watch in self._watches)


def _is_followed(job: Job) -> bool:
    return job.has_finalizer and job.stray is None


@asynccontextmanager
async def follow(
    cluster: Cluster,
    *,
    namespaces: Sequence[str],
    selector: str,
    idle: float = 120.0,
    rng: random.Random | None = None,
) -> AsyncIterator[JobCache]:
    """A cache that has every Job, Pod and CronJob on entry, and is kept up to date. Entering waits for the server.

    A namespace that refuses us lists (RBAC) is left out until it does not, unless there is no other.

    `idle`: seconds of silence after which a watch counts as dead; bookmarks come about once a minute. No failure of the
    server ends the block: `JobCache.problem` says what is wrong.
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
    homes = {
        home: Home(
            jobs=watch(JobFeed(contents, home), home, api=f"{BATCH}/jobs", parse=parse_job),
            pods=watch(PodFeed(contents, home), home, api="/api/v1/namespaces/{}/pods", parse=parse_pod),
            cron_jobs=watch(ScheduleFeed(schedules, home), home, api=f"{BATCH}/cronjobs", parse=parse_cron_job),
        )
        for home in namespaces
    }
    async with beside(_run(homes.values())):
        for home in homes.values():
            for reflector in home:
                await reflector.synced()
        while _all_refused(homes):
            await asyncio.sleep(REFUSED_SECONDS)
        yield JobCache(contents, schedules, homes)


class Home(NamedTuple):
    """The watches of one namespace."""

    jobs: Reflector[Job]
    pods: Reflector[Pod]
    cron_jobs: Reflector[Schedule]


def _all_refused(homes: Mapping[str, Home]) -> bool:
    return all(any(watch.refused for watch in home) for home in homes.values())


async def _run(homes: Iterable[Home]) -> None:
    async with asyncio.TaskGroup() as group:
        for home in homes:
            group.create_task(home.jobs.run())
            group.create_task(_after(home.jobs, home.pods))
            group.create_task(home.cron_jobs.run())


async def _after(jobs: Reflector[Job], pods: Reflector[Pod]) -> None:
    """List Jobs first: Pods of Jobs that are done then need not be kept."""
    await jobs.synced()
    await pods.run()
