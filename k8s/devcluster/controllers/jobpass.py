"""Reconciles an unfinished Job once: creates or deletes pods, then counts and concludes, in Kubernetes' order."""

import copy

from k8s.devcluster.conditions import condition, holds, set_condition
from k8s.devcluster.controllers import jobpolicy
from k8s.devcluster.controllers.jobpods import delete, new_pod, release
from k8s.devcluster.controllers.jobpolicy import Backoff
from k8s.devcluster.controllers.owners import Owners
from k8s.devcluster.controllers.recorder import record
from k8s.devcluster.controllers.tally import (
    Tally,
    counts_as_failed,
    excess_pods,
    format_indexes,
    free_indexes,
    is_indexed,
    is_terminal,
    is_tracked,
    tally,
    waits_for_failed,
    wanted_pods,
)
from k8s.devcluster.errors import ApiError
from k8s.devcluster.resources import Obj
from k8s.devcluster.store.store import Store
from k8s.devcluster.times import parse_time, rfc3339

CREATED_AT_ONCE = 500
SHORTEST_WAIT = 0.01

BACKOFF_LIMIT = ("FailureTarget", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
DEADLINE = ("FailureTarget", "DeadlineExceeded", "Job was active longer than specified deadline")
COMPLETIONS = ("SuccessCriteriaMet", "CompletionsReached", "Reached expected number of succeeded pods")
OUTCOMES = {"FailureTarget": "Failed", "SuccessCriteriaMet": "Complete"}


class JobPass:
    """Call `make` once. `again`: seconds after which there may be more to do, without any change."""

    def __init__(self, store: Store, owners: Owners, *, job: Obj, backoff: Backoff, now: float) -> None:
        self._store = store
        self._owners = owners
        self._job = {"metadata": job["metadata"], "spec": job["spec"]}
        self._job["status"] = copy.deepcopy(job.get("status") or {})
        self._backoff = backoff
        self._now = now
        self._refused: ApiError | None = None
        self._kept: dict[int, Obj] = {}  # Failed pods that still hold the number of failures of their index.
        self.again: float | None = None

    def make(self, pods: list[Obj]) -> None:
        """ApiError: a pod could not be created. Everything else was done."""
        job, status, uid = self._job, self._job["status"], self._job["metadata"]["uid"]
        found = tally(job, pods)
        self._backoff.note(uid, found)
        uncounted = status.setdefault("uncountedTerminatedPods", {})
        self._succeeded = (
            len(found.indexes)
            if is_indexed(job)
            else (status.get("succeeded", 0) + len(uncounted.get("succeeded", ())) + len(found.succeeded))
        )
        failed = sum(1 for pod in found.failed if jobpolicy.counts(job, pod))
        self._failed = status.get("failed", 0) + len(uncounted.get("failed", ())) + failed
        if jobpolicy.limits_each_index(job):
            found.failed_indexes = jobpolicy.failed_indexes(job, found.failed)
            self._kept = jobpolicy.kept_for_their_count(job, found)
        if not job["spec"].get("suspend"):
            status.setdefault("startTime", rfc3339(self._now))
        if self._target() is None:
            self._conclude_early(found, pods)
        if self._target() is not None:
            self._stop_all(found)
        elif "deletionTimestamp" not in job["metadata"]:
            self._manage(found)
            self._conclude(found)
        self._count(found, pods)
        if self._refused is not None:
            raise self._refused

    def _target(self) -> Obj | None:
        """The condition that already says how the Job will end, if there is one."""
        return condition(self._job, "SuccessCriteriaMet") or condition(self._job, "FailureTarget")

    def _set(self, kind: str, reason: str, message: str, *, value: str = "True") -> bool:
        moment = rfc3339(self._now)
        new = {"type": kind, "status": value, "reason": reason, "message": message}
        return set_condition(self._job, new | {"lastProbeTime": moment}, at=moment)

    def _wake(self, seconds: float) -> None:
        seconds = max(seconds, SHORTEST_WAIT)
        self.again = seconds if self.again is None else min(self.again, seconds)

    # Reconciling pods

    def _conclude_early(self, found: Tally, pods: list[Obj]) -> None:
        """The outcome may be known while pods still run. Of several reasons, the first in Kubernetes' order counts."""
        job = self._job
        decided = jobpolicy.failed_by_pod(job, pods) or self._past_limit(found) or self._past_deadline()
        if decided is None and jobpolicy.limits_each_index(job):
            decided = jobpolicy.failed_by_indexes(job, found)
        if decided is None and is_indexed(job):
            decided = jobpolicy.succeeded_by_policy(job, found)
        if decided is not None:
            self._set(*decided)

    def _past_limit(self, found: Tally) -> jobpolicy.Conclusion | None:
        spec = self._job["spec"]
        limit = spec["backoffLimit"]
        restarts = found.restarts if spec["template"]["spec"].get("restartPolicy") == "OnFailure" else 0
        return BACKOFF_LIMIT if self._failed > limit or (restarts and restarts >= limit) else None

    def _past_deadline(self) -> jobpolicy.Conclusion | None:
        spec = self._job["spec"]
        seconds = spec.get("activeDeadlineSeconds")
        started = self._job["status"].get("startTime")
        if seconds is None or started is None or spec.get("suspend"):
            return None
        # Its clock starts when it is resumed, not before.
        resumed = condition(self._job, "Suspended")
        remaining = parse_time(started) + seconds - self._now
        if remaining <= 0 and not (resumed and resumed["status"] == "True"):
            return DEADLINE
        self._wake(remaining)
        return None

    def _stop_all(self, found: Tally) -> None:
        """Delete pods that still run when the outcome is known. They count as failed unless the Job has succeeded."""
        for pod in found.active:
            delete(self._store, pod)
        if holds(self._job, "FailureTarget"):
            noted = self._job["status"]["uncountedTerminatedPods"].get("failed", ())
            known = {*noted, *(pod["metadata"]["uid"] for pod in found.failed)}
            late = [pod for pod in (*found.active, *found.leaving) if is_tracked(pod)]
            found.failed += [pod for pod in late if pod["metadata"]["uid"] not in known]
        found.terminating += len(found.active)
        found.active, found.ready = [], 0

    def _manage(self, found: Tally) -> None:
        spec = self._job["spec"]
        if spec.get("suspend"):
            self._remove(found, list(found.active))
            return
        wanted = wanted_pods(spec, active=len(found.active), succeeded=self._succeeded)
        excess = excess_pods(self._job, found.active, wanted=wanted)
        if excess:
            self._remove(found, excess)
            return
        missing = wanted - len(found.active)
        if waits_for_failed(self._job):
            missing -= found.terminating
        if missing <= 0:
            return
        remaining = self._backoff.remaining(self._job["metadata"]["uid"], self._now)
        if remaining > 0 and not jobpolicy.limits_each_index(self._job):
            self._wake(remaining)
            return
        if missing > CREATED_AT_ONCE:
            self._wake(0)
        self._create(found, min(missing, CREATED_AT_ONCE))

    def _remove(self, found: Tally, pods: list[Obj]) -> None:
        """Delete pods that are not needed. They count neither as failed nor as succeeded."""
        for pod in pods:
            release(self._store, pod)
            delete(self._store, pod)
        found.active = [pod for pod in found.active if pod not in pods]
        found.terminating += len(pods)
        found.ready = min(found.ready, len(found.active))

    def _create(self, found: Tally, count: int) -> None:
        indexes: list[int | None] = [None] * count
        if is_indexed(self._job):
            indexes = [*self._free_indexes(found, count)]
        for index in indexes:
            try:
                pod = self._store.create("pods", self._new_pod(index))
            except ApiError as error:
                self._refused = error
                self._warn("FailedCreate", f"Error creating: {error.message}")
                return
            self._owners.apply("pods", pod)
            found.active.append(pod)

    def _free_indexes(self, found: Tally, count: int) -> list[int]:
        """Indexes that may have a pod now. With a limit per index, each waits only after failures of its own."""
        held = found.leaving if waits_for_failed(self._job) else ()
        free = free_indexes(self._job, found, count=count, held=held)
        now: list[int] = []
        for index in free:
            replaced = self._kept.get(index)
            seconds = 0.0
            if replaced is not None:
                seconds = jobpolicy.rest(replaced, first=self._backoff.first, now=self._now)
            if seconds > 0:
                self._wake(seconds)
            else:
                now.append(index)
        return now

    def _new_pod(self, index: int | None) -> Obj:
        annotations = None
        if index is not None and jobpolicy.limits_each_index(self._job):
            annotations = jobpolicy.failure_counts(self._job, self._kept.get(index))
        return new_pod(self._job, index=index, annotations=annotations)

    def _conclude(self, found: Tally) -> None:
        spec, status = self._job["spec"], self._job["status"]
        completions = spec.get("completions")
        enough = self._succeeded > 0 if completions is None else self._succeeded >= completions
        if enough and not found.active and self._refused is None:
            self._set(*COMPLETIONS)
        elif spec.get("suspend"):
            self._set("Suspended", "JobSuspended", "Job suspended")
            status.pop("startTime", None)
        elif condition(self._job, "Suspended") is None:
            return
        elif self._set("Suspended", "JobResumed", "Job resumed", value="False"):
            status["startTime"] = rfc3339(self._now)
            if spec.get("activeDeadlineSeconds") is not None:
                self._wake(parse_time(status["startTime"]) + spec["activeDeadlineSeconds"] - self._now)

    # Counting: a pod is noted as uncounted before its finalizer is removed, so that a crash neither loses it nor counts
    # it twice.

    def _count(self, found: Tally, pods: list[Obj]) -> None:
        status = self._job["status"]
        self._set_number("active", len(found.active))
        status["terminating"] = found.terminating
        status["ready"] = found.ready
        uncounted = status["uncountedTerminatedPods"]
        if is_indexed(self._job):
            self._set_number("succeeded", len(found.indexes))
            if found.indexes:
                status["completedIndexes"] = format_indexes(found.indexes)
        elif found.succeeded:
            uncounted.setdefault("succeeded", []).extend(p["metadata"]["uid"] for p in found.succeeded)
        if jobpolicy.limits_each_index(self._job):
            status["failedIndexes"] = format_indexes(found.failed_indexes)
        failed = [pod for pod in found.failed if not self._is_kept(pod) and jobpolicy.counts(self._job, pod)]
        if failed:
            uncounted.setdefault("failed", []).extend(pod["metadata"]["uid"] for pod in failed)
        self._write()
        self._release_ended(found, pods)
        for kind in ("succeeded", "failed"):
            self._set_number(kind, status.get(kind, 0) + len(uncounted.pop(kind, ())))
        self._finish(found)
        self._write()

    def _release_ended(self, found: Tally, pods: list[Obj]) -> None:
        every = "deletionTimestamp" in self._job["metadata"] or self._target() is not None
        for pod in (*pods, *found.failed):
            ended = is_terminal(pod) or counts_as_failed(self._job, pod) or pod in found.failed
            if every or (ended and not self._is_kept(pod)):
                release(self._store, pod)

    def _is_kept(self, pod: Obj) -> bool:
        """Whether it still holds the number of failures of its index. It is counted once another pod holds that."""
        return self._target() is None and any(pod is kept for kept in self._kept.values())

    def _finish(self, found: Tally) -> None:
        """Make the Job Failed or Complete once none of its pods runs any more."""
        target = self._target()
        if target is None or found.terminating:
            return
        self._set(OUTCOMES[target["type"]], target["reason"], target["message"])
        if target["type"] == "SuccessCriteriaMet":
            self._job["status"]["completionTime"] = rfc3339(self._now)
        else:
            self._warn(target["reason"], target["message"])

    def _warn(self, reason: str, message: str) -> None:
        record(self._store, "jobs", self._job, reason=reason, message=message, component="job-controller")

    def _set_number(self, name: str, value: int) -> None:
        """The API leaves out zero."""
        if value:
            self._job["status"][name] = value
        else:
            self._job["status"].pop(name, None)

    def _write(self) -> None:
        status = self._job["status"]
        uid = self._job["metadata"]["uid"]

        def change(job: Obj) -> None:
            if job["metadata"]["uid"] == uid:
                job["status"] = copy.deepcopy(status)

        metadata = self._job["metadata"]
        self._store.mutate("jobs", metadata["namespace"], metadata["name"], change, subresource="status")
