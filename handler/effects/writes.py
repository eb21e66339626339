"""What the leader writes to Jobs and CronJobs. Each write first makes sure that the Lease outlives it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, TypeVar

from events.cloudevent.timestamp import format_epoch
from events.jobs.observed import Job, Ours, Schedule, Verdict
from events.jobs.queueing import queued_at, write_outcomes
from events.lifecycle.schedules import Runs
from events.lifecycle.transitions import first_start
from events.names import FINALIZER, Annotation
from k8s.api.cluster import Cluster, Created
from k8s.base import Key, Manifest, Unavailable
from k8s.election.lease import Leadership
from k8s.informer.informer import JobCache
from k8s.manifests.schedule import adoption
from k8s.reading.job import job_of

T = TypeVar("T")


class Call(Protocol):
    """Makes a call if the Lease outlives it."""

    async def __call__(self, call: Callable[[], Awaitable[T]]) -> T: ...


class Writes:
    """The leader's writes. Every answer enters the cache before the next decision.

    All raise `LeadershipLost`, `Unavailable`, `NotFound`; those that take a `Job` or a `Schedule` also `Conflict` if it
    has changed since. `maker`: what `launch` needs of a cluster, with the same guard.
    """

    def __init__(self, *, cluster: Cluster, cache: JobCache, leadership: Leadership) -> None:
        self._cluster = cluster
        self._cache = cache
        self._leadership = leadership
        self.maker = _Guarded(cluster, self._call)

    def now(self) -> float:
        """The API server's clock, epoch seconds."""
        return self._cluster.server_time()

    async def note_verdict(self, job: Job, verdict: Verdict) -> Job:
        """Write the verdict on a Job that has finished."""
        return await self._patch(job, _annotated(job, {Annotation.VERDICT: verdict.to_annotation()}))

    async def give_verdict(self, job: Job, verdict: Verdict) -> Job:
        """Write the verdict on the Job, and make Kubernetes end it: within about a second it fails, and no pod starts.

        A Job of Kueue's gets nothing but the annotation, and then has to be deleted.
        """
        patch = _annotated(job, {Annotation.VERDICT: verdict.to_annotation()})
        if job.deleted is None and not job.kueue:
            patch["spec"] = {"suspend": False, "parallelism": 0, "activeDeadlineSeconds": 1}
        return await self._patch(job, patch)

    async def admit(self, job: Job) -> Job:
        """Release a Job that has waited for room."""
        notes = {Annotation.QUEUED: None, Annotation.RELEASED: format_epoch(self._cluster.server_time())}
        return await self._patch(job, {**_annotated(job, notes), "spec": {"suspend": False}})

    async def suspend(self, job: Job, *, by: str) -> Job:
        """Stop its pods, or keep it from starting any, until `resume`. The `suspended` event names `by`."""
        notes = {Annotation.SUSPENDED_BY: by, Annotation.QUEUED: None, **self._start(job)}
        return await self._patch(job, {**_annotated(job, notes), "spec": {"suspend": True}})

    async def resume(self, job: Job) -> Job:
        """Let it run again, at once and without admission."""
        return await self._patch(job, {**_annotated(job, {Annotation.QUEUED: None}), "spec": {"suspend": False}})

    async def enqueue(self, job: Job) -> Job:
        """Let it run again once admission has room for it."""
        return await self._patch(job, _annotated(job, {Annotation.QUEUED: queued_at(self._cluster.server_time())}))

    async def note_outcomes(self, job: Job, outcomes: dict[str, str]) -> Job:
        """Write on the Job how requests that it depends on have ended."""
        return await self._patch(job, _annotated(job, {Annotation.DEPENDENCIES: write_outcomes(outcomes)}))

    async def reread(self, key: Key) -> None:
        """Bring the Job's state at the API server into the cache. Raises `NotFound` if it is gone."""
        self._cache.assume(job_of(await self._call(lambda: self._cluster.read_job(*key))))

    async def mark_suspended(self, job: Job, *, by: str) -> Job:
        """Note that it was suspended from outside, so that its resumption is not taken for its first release."""
        return await self._patch(job, _annotated(job, {Annotation.SUSPENDED_BY: by, **self._start(job)}))

    async def note_start(self, job: Job) -> Job:
        """Note that Kueue has let it start, so that what comes after is published as `suspended` and `resumed`."""
        notes = {Annotation.QUEUED: None, Annotation.RELEASED: format_epoch(self._cluster.server_time())}
        return await self._patch(job, _annotated(job, notes))

    async def release(self, stray: Job | Schedule) -> None:
        """Remove our finalizer from what is no request's. A CronJob is suspended: nobody would let its Jobs go."""
        finalizers = {"$deleteFromPrimitiveList/finalizers": [FINALIZER]}
        patch: Manifest = {"metadata": {"resourceVersion": str(stray.version), **finalizers}}
        if isinstance(stray, Job):
            await self._patch(stray, patch)
        else:
            await self._patch_schedule(stray, {**patch, "spec": {"suspend": True}})

    async def restore_labels(self, job: Job) -> Job:
        """Put back the labels that it is found by."""
        return await self._patch(job, _labelled(job))

    async def restore_schedule_labels(self, schedule: Schedule) -> None:
        """Put back the labels that a CronJob is found by."""
        await self._patch_schedule(schedule, _labelled(schedule))

    async def note_payload(self, job: Job) -> Job:
        """Note that the payload exists, and let the Job go unless something else holds it."""
        notes: dict[str, str | None] = {Annotation.PAYLOAD: None}
        if job.queued is not None or job.suspended_by is not None or job.kueue:
            return await self._patch(job, _annotated(job, notes))
        notes[Annotation.RELEASED] = format_epoch(self._cluster.server_time())
        return await self._patch(job, {**_annotated(job, notes), "spec": {"suspend": False}})

    async def delete(self, job: Job) -> None:
        """Delete exactly this Job, by its uid; its pods go first."""
        await self._call(lambda: self._cluster.delete_job(job.namespace, job.name, uid=job.uid))

    async def drop_finalizer(self, job: Job) -> None:
        """After its terminal event: remove our finalizer, and no other, and let the TTL begin."""
        patch: Manifest = {"metadata": {"$deleteFromPrimitiveList/finalizers": [FINALIZER]}}
        if job.deleted is None and job.ttl is not None:
            patch["spec"] = {"ttlSecondsAfterFinished": job.ttl}
        meta = await self._call(lambda: self._cluster.patch_job_unread(job.namespace, job.name, patch))
        if FINALIZER not in (meta.finalizers or ()):
            self._cache.released(job, meta.resource_version)

    async def delete_pods(self, job: Job) -> None:
        """End the pods of a Job that is being deleted: our finalizer keeps Kubernetes from doing it."""
        await self._call(lambda: self._cluster.delete_pods(job.namespace, job.uid))

    async def adopt(self, run: Job, *, request_id: str, time: str, governed: bool) -> Job:
        """Turn a new run, of this scheduled time, into a request of this id. `governed`: admission is to release it."""
        released = None if governed else format_epoch(self._cluster.server_time())
        return await self._patch(run, adoption(run, request_id=request_id, time=time, released=released))

    async def note_runs(self, schedule: Schedule, runs: Runs) -> Schedule:
        """Write on a CronJob what became of its runs, and suspend it once it has as many as it may have."""
        patch = _annotated(schedule, {Annotation.RUNS: runs.to_annotation()})
        if schedule.max_runs is not None and runs.count >= schedule.max_runs:
            # With concurrencyPolicy `Replace`, another run would also end the last run that counts.
            patch["spec"] = {"suspend": True}
        return await self._patch_schedule(schedule, patch)

    async def suspend_schedule(self, schedule: Schedule, *, suspend: bool) -> Schedule:
        """Keep Kubernetes from making Jobs for it, or let it go on."""
        return await self._patch_schedule(schedule, {**_annotated(schedule, {}), "spec": {"suspend": suspend}})

    async def delete_schedule(self, schedule: Schedule) -> None:
        """Delete the CronJob; its runs go on."""
        await self._call(lambda: self._cluster.delete_cron_job(schedule.namespace, schedule.name, uid=schedule.uid))

    async def drop_schedule_finalizer(self, schedule: Schedule) -> None:
        """After its `unscheduled` event: remove our finalizer."""
        patch: Manifest = {"metadata": {"$deleteFromPrimitiveList/finalizers": [FINALIZER]}}
        await self._call(lambda: self._cluster.patch_cron_job(schedule.namespace, schedule.name, patch))

    def _start(self, job: Job) -> dict[str, str]:
        """A note of its first start, for leaders that know only later pods: suspension takes those that run."""
        start = first_start(job, self._cache.pods(job.uid))
        return {} if start is None else {Annotation.STARTED: start.to_annotation()}

    async def _patch_schedule(self, schedule: Schedule, patch: Manifest) -> Schedule:
        patched = await self._call(lambda: self._cluster.patch_cron_job(schedule.namespace, schedule.name, patch))
        self._cache.schedules.assume(patched)
        return patched

    async def _patch(self, job: Job, patch: Manifest) -> Job:
        patched = await self._call(lambda: self._cluster.patch_job(job.namespace, job.name, patch))
        self._cache.assume(patched)
        return patched

    async def _call(self, call: Callable[[], Awaitable[T]]) -> T:
        timeout = self._leadership.write_timeout
        self._leadership.check(timeout)
        try:
            async with asyncio.timeout(timeout):
                return await call()
        except TimeoutError as error:
            raise Unavailable(f"no answer to a write within {timeout} s") from error


class _Guarded:
    """A cluster to launch Jobs on; each call first makes sure that the Lease outlives it."""

    def __init__(self, cluster: Cluster, call: Call) -> None:
        self._cluster = cluster
        self._call = call

    def server_time(self) -> float:
        return self._cluster.server_time()

    async def create_job(self, manifest: Manifest) -> Created:
        return await self._call(lambda: self._cluster.create_job(manifest))

    async def read_job(self, namespace: str, name: str) -> Manifest:
        return await self._call(lambda: self._cluster.read_job(namespace, name))

    async def patch_job(self, namespace: str, name: str, patch: Manifest) -> Job:
        return await self._call(lambda: self._cluster.patch_job(namespace, name, patch))

    async def create_secret(self, manifest: Manifest) -> Created:
        return await self._call(lambda: self._cluster.create_secret(manifest))

    async def read_secret(self, namespace: str, name: str) -> Manifest:
        return await self._call(lambda: self._cluster.read_secret(namespace, name))

    async def delete_secret(self, namespace: str, name: str, *, uid: str | None = None) -> None:
        await self._call(lambda: self._cluster.delete_secret(namespace, name, uid=uid))


def _labelled(seen: Ours) -> Manifest:
    return {"metadata": {"resourceVersion": str(seen.version), "labels": dict(seen.lost_labels)}}


def _annotated(seen: Ours, annotations: Mapping[str, str | None]) -> Manifest:
    """A patch that the API server takes only if the object has not changed since we saw it."""
    return {"metadata": {"resourceVersion": str(seen.version), "annotations": annotations}}
