"""The Job controller: creates pods of Jobs, and sets their counters and conditions. Runs and deletes no Jobs."""

import asyncio
import logging
import time

from k8s.devcluster.conditions import job_is_finished
from k8s.devcluster.controllers.jobpass import JobPass
from k8s.devcluster.controllers.jobpods import release
from k8s.devcluster.controllers.jobpolicy import Backoff
from k8s.devcluster.controllers.owners import Owners, Ref, controller_of, current
from k8s.devcluster.controllers.tally import is_tracked
from k8s.devcluster.controllers.workqueue import WorkQueue
from k8s.devcluster.errors import ApiError
from k8s.devcluster.resources import Obj
from k8s.devcluster.store.store import Store

logger = logging.getLogger(__name__)

SELF = "kubernetes.io/job-controller"
ORPHAN_DELAY = 0.05  # Seconds in which the collector deletes pods whose Job is gone.


class JobController:
    """`observe` notes which Jobs have changed; `run` reconciles them, at once or, if a pod changed, after `lag`."""

    def __init__(self, store: Store, owners: Owners, *, backoff: float, lag: float) -> None:
        """`backoff`: seconds until a failed pod's first replacement. `lag`: seconds from a pod's change to the pass."""
        self._store = store
        self._owners = owners
        self._lag = lag
        self._backoff = Backoff(first=backoff)
        self._queue: WorkQueue[Ref] = WorkQueue()
        self._generations: dict[Ref, tuple[int, bool]] = {}

    def observe(self, resource: str, obj: Obj, *, gone: bool = False) -> None:
        if resource == "jobs":
            self._observe_job(obj, gone=gone)
        elif resource == "pods":
            self._observe_pod(obj, gone=gone)

    async def run(self) -> None:
        while True:
            ref = await self._queue.get()
            try:
                if ref[0] == "jobs":
                    self._reconcile(ref)
                else:
                    self._free_orphan(ref)
            except Exception:  # A bad Job must not stop the others.
                logger.exception("cannot process %s %s/%s", *ref)
                self._queue.retry(ref)
            await asyncio.sleep(0)

    def _observe_job(self, job: Obj, *, gone: bool) -> None:
        metadata = job["metadata"]
        ref = ("jobs", metadata["namespace"], metadata["name"])
        if gone:
            self._generations.pop(ref, None)
            self._backoff.forget(metadata["uid"])
            for pod in self._owners.pods(metadata["uid"]):
                key = ("pods", pod["metadata"]["namespace"], pod["metadata"]["name"])
                self._queue.add(key, delay=ORPHAN_DELAY)
            return
        wanted = (metadata.get("generation", 0), "deletionTimestamp" in metadata)
        changed = self._generations.get(ref) != wanted
        self._generations[ref] = wanted
        self._queue.add(ref, delay=0 if changed else self._lag)

    def _observe_pod(self, pod: Obj, *, gone: bool) -> None:
        metadata = pod["metadata"]
        owner = controller_of(pod)
        if owner is not None and owner["kind"] == "Job":
            self._queue.add(("jobs", metadata["namespace"], owner["name"]), delay=self._lag)
        if is_tracked(pod) and not gone and self._is_orphan(pod):
            delay = 0 if "deletionTimestamp" in metadata else ORPHAN_DELAY
            self._queue.add(("pods", metadata["namespace"], metadata["name"]), delay=delay)

    def _is_orphan(self, pod: Obj) -> bool:
        owner = controller_of(pod)
        if owner is None or owner["kind"] != "Job":
            return True
        job = current(self._store, ("jobs", pod["metadata"]["namespace"], owner["name"]))
        return job is None or job["metadata"]["uid"] != owner["uid"]

    def _free_orphan(self, ref: Ref) -> None:
        pod = current(self._store, ref)
        if pod is not None and self._is_orphan(pod):
            release(self._store, pod)

    def _reconcile(self, ref: Ref) -> None:
        job = current(self._store, ref)
        if job is None or job["spec"].get("managedBy", SELF) != SELF:
            self._queue.forget(ref)
            return
        pods = self._owners.pods(job["metadata"]["uid"])
        if job_is_finished(job):
            self._queue.forget(ref)
            self._backoff.forget(job["metadata"]["uid"])
            for pod in pods:
                release(self._store, pod)
            return
        look = JobPass(self._store, self._owners, job=job, backoff=self._backoff, now=time.time())
        try:
            look.make(pods)
        except ApiError as error:
            logger.info("job %s/%s: %s", ref[1], ref[2], error.message)
            self._queue.retry(ref)
        else:
            self._queue.forget(ref)
        if look.again is not None:
            self._queue.add(ref, delay=look.again)
