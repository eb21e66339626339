"""Jobs and their Pods as last seen, and which of them changed. Fed by reflectors. Sends and decides nothing."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from events.jobs.observed import Job, Stray
from events.jobs.pods import Pod
from events.lifecycle.keeping import JobPods
from k8s.api.wire import ObjectMeta
from k8s.base import Key
from k8s.informer.reflector import Sink
from k8s.informer.requests import ByRequest
from k8s.informer.slices import in_slices
from k8s.reading.pod import CONTROLLER_UID


class _Early:
    """Pods that came before their Job, and the newest version of one."""

    def __init__(self) -> None:
        self.pods = JobPods()
        self.newest = -1

    def put(self, pod: Pod, version: int) -> None:
        self.pods.put(pod)
        self.newest = max(version, self.newest)


class Contents:
    """What the cache keeps, and by which rules.

    It keeps Jobs that have our finalizer, new runs of schedules, which get it later, and the Pods of both. A Pod stays
    as last seen after it is deleted, because it shows how the Job started and ended: a deadline deletes the Pods before
    it fails the Job, and a drain those that Kubernetes then replaces.

    `requests`: the same Jobs by the ids of their requests.

    `left`: Jobs that a watch removed while they had our finalizer. They were deleted, or have lost their labels.

    The watches of Jobs and Pods are not in step, so a Pod may come before its Job. Such a Pod waits in `_early` until
    the Job watch has passed the Pod's version: by then the Job is known, or is not ours any more. Nor is the Job watch
    in step with the answers to our own PATCHes.
    """

    def __init__(self) -> None:
        self.jobs: dict[Key, Job] = {}
        self.requests: ByRequest[Job] = ByRequest()
        self.left: set[Key] = set()
        self.changes: set[Key] = set()
        self.news = asyncio.Event()
        self._pods: dict[str, JobPods] = {}
        self._keys: dict[str, Key] = {}
        self._early: defaultdict[str, dict[str, _Early]] = defaultdict(dict)
        self._released: defaultdict[str, dict[Key, int]] = defaultdict(dict)
        self._passed: defaultdict[str, int] = defaultdict(int)

    def pods(self, job_uid: str) -> list[Pod]:
        return list(self._pods.get(job_uid, ()))

    def put_job(self, job: Job) -> None:
        """Keep a newer version, or drop the Job if that has no finalizer any more. Ignore an older version."""
        key = (job.namespace, job.name)
        if self.has_job(key, job.version):
            return
        known, kept = self.jobs.get(key), _is_kept(job)
        if known and (known.uid != job.uid or not kept):
            self.drop_job(key)
        if kept:
            self._keep_job(key, job)

    def assume(self, job: Job) -> None:
        """Take in the answer to our own PATCH, unless the watch has passed it."""
        key, version = (job.namespace, job.name), job.version
        if not _is_kept(job):
            self.release(key, job.uid, version)
        elif key in self.jobs or version > self._passed[job.namespace]:
            self.put_job(job)

    def release(self, key: Key, uid: str, version: int) -> None:
        """Take in that our own PATCH, whose answer has this version, made it a Job that is not kept. It stays that.

        If a Job is being deleted, the PATCH that takes its last finalizer off is answered with the version before it.
        """
        namespace, _ = key
        known = self.jobs.get(key)
        if known is None and version <= self._passed[namespace]:
            return
        if known is not None and known.uid == uid and known.version <= version:
            self.drop_job(key)
        self._released[namespace][key] = version

    def has_job(self, key: Key, version: int) -> bool:
        """Whether this version of the Job, or a newer one, has been taken in: then it is nothing new."""
        known = self.jobs.get(key)
        newest = known.version if known else self._released[key[0]].get(key, -1)
        return version <= newest

    def drop_job(self, key: Key) -> None:
        job = self.jobs.pop(key)
        self.requests.drop(job)
        self._keys.pop(job.uid, None)
        self._pods.pop(job.uid, None)
        self._note_change(key)

    def wants(self, pod: Pod, version: int) -> bool:
        """Whether its Job is here, or may still come."""
        return pod.job_uid in self._keys or version > self._passed[pod.namespace]

    def put_pod(self, pod: Pod, version: int) -> None:
        key = self._keys.get(pod.job_uid)
        if key is not None:
            # The Job and its Pods share one text.
            pod = replace(pod, job_uid=self.jobs[key].uid)
            if self._pods.setdefault(pod.job_uid, JobPods()).put(pod):
                self._note_change(key)
        elif self.wants(pod, version):
            early = self._early[pod.namespace].setdefault(pod.job_uid, _Early())
            early.put(pod, version)

    def drop_pod(self, namespace: str, job_uid: str, uid: str) -> None:
        if (early := self._early[namespace].get(job_uid)) is not None:
            early.pods.forget(uid)
        known = self._pods.get(job_uid)
        if known is not None and known.drop(uid):
            self._note_change(self._keys[job_uid])

    def keep_pods(self, namespace: str, listed: set[str]) -> None:
        """Only these Pods (uids) are left in this namespace."""
        for (home, _), job in self.jobs.items():
            if home == namespace and (known := self._pods.get(job.uid)):
                for uid in known.present() - listed:
                    known.drop(uid)
                    self._note_change(self._keys[job.uid])
        for early in self._early[namespace].values():
            for uid in early.pods.present() - listed:
                early.pods.forget(uid)

    def jobs_passed(self, namespace: str, version: int) -> None:
        """The Job watch of this namespace has delivered everything up to `version`: stop waiting for that."""
        self._passed[namespace] = max(version, self._passed[namespace])
        # They are in order of arrival, nearly that of versions, so it is enough to look at the first: that is cheap.
        early = self._early[namespace]
        while early:
            uid, waiting = next(iter(early.items()))
            if waiting.newest > version:
                break
            del early[uid]
        released = self._released[namespace]
        while released and next(iter(released.values())) <= version:
            del released[next(iter(released))]

    def _keep_job(self, key: Key, job: Job) -> None:
        # Share one tuple among everything kept for this Job, and with all its versions the texts that others refer to.
        key = self._keys.setdefault(job.uid, key)
        known = self.jobs.get(key)
        if known is not None:
            job = replace(job, name=known.name, uid=known.uid)
        self.left.discard(key)
        self.requests.put(job, known)
        self.jobs[key] = job
        if early := self._early[job.namespace].pop(job.uid, None):
            self._pods[job.uid] = early.pods
        self._note_change(key)

    def _note_change(self, key: Key) -> None:
        self.changes.add(key)
        self.news.set()


def _is_kept(job: Job) -> bool:
    return (job.has_finalizer or job.new_run) and job.stray is not Stray.FOREIGN


class JobListing:
    """Jobs of a list that is not complete yet, but for those that will not be kept: most were released long ago."""

    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        self._found: list[tuple[Job, int]] = []

    def append(self, item: tuple[Job, int]) -> None:
        job, _ = item
        if _is_kept(job) or (job.namespace, job.name) in self._contents.jobs:
            self._found.append(item)

    def __iter__(self) -> Iterator[tuple[Job, int]]:
        return iter(self._found)


class JobFeed(Sink[Job]):
    """The sink of one namespace's Jobs."""

    def __init__(self, contents: Contents, namespace: str) -> None:
        self._contents = contents
        self._namespace = namespace

    def listing(self) -> JobListing:
        return JobListing(self._contents)

    async def replaced(self, objects: Iterable[tuple[Job, int]], *, version: int) -> None:
        listed = set()
        async for job, _ in in_slices(objects):
            listed.add(job.name)
            self._contents.put_job(job)
        jobs = self._contents.jobs
        for key in [key for key in jobs if key[0] == self._namespace and key[1] not in listed]:
            self._drop(key, version)
        self._contents.jobs_passed(self._namespace, version)

    def has(self, meta: ObjectMeta, version: int) -> bool:
        return self._contents.has_job((self._namespace, meta.name), version)

    def kept(self, meta: ObjectMeta) -> Job | None:
        return self._contents.jobs.get((self._namespace, meta.name))

    def changed(self, job: Job, version: int) -> None:
        self._contents.put_job(job)

    def removed(self, meta: ObjectMeta, version: int) -> None:
        key = (self._namespace, meta.name)
        known = self._contents.jobs.get(key)
        if known is not None and known.uid == meta.uid:
            self._drop(key, version)

    def passed(self, version: int) -> None:
        self._contents.jobs_passed(self._namespace, version)

    def _drop(self, key: Key, version: int) -> None:
        # The answer to our own PATCH may be newer than this.
        known = self._contents.jobs[key]
        if known.version <= version:
            self._contents.drop_job(key)
            if known.has_finalizer:
                self._contents.left.add(key)


class PodListing:
    """Pods of a list that is not complete yet: no more of them, and of each, than will be kept.

    A cluster has many pods of Jobs that were told and released long ago.
    """

    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        self._of: defaultdict[str, JobPods] = defaultdict(JobPods)
        self._versions: dict[str, int] = {}

    def append(self, item: tuple[Pod, int]) -> None:
        pod, version = item
        if self._contents.wants(pod, version):
            self._of[pod.job_uid].put(pod)
            self._versions[pod.uid] = version

    def __iter__(self) -> Iterator[tuple[Pod, int]]:
        return ((pod, self._versions[pod.uid]) for pods in self._of.values() for pod in pods)


class PodFeed(Sink[Pod]):
    """The sink of one namespace's Pods."""

    def __init__(self, contents: Contents, namespace: str) -> None:
        self._contents = contents
        self._namespace = namespace

    def listing(self) -> PodListing:
        return PodListing(self._contents)

    async def replaced(self, objects: Iterable[tuple[Pod, int]], *, version: int) -> None:
        listed = set()
        async for pod, its_version in in_slices(objects):
            listed.add(pod.uid)
            self._contents.put_pod(pod, its_version)
        self._contents.keep_pods(self._namespace, listed)

    def changed(self, pod: Pod, version: int) -> None:
        self._contents.put_pod(pod, version)

    def removed(self, meta: ObjectMeta, version: int) -> None:
        self._contents.drop_pod(self._namespace, (meta.labels or {}).get(CONTROLLER_UID, ""), meta.uid)

    def passed(self, version: int) -> None:
        """Nothing waits for Pods."""
