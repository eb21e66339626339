"""How a request ended and how far it has come, from its Job and Pods: result, exit code, error, counts. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from events.cloudevent.timestamp import format_epoch
from events.identity import base32_sha256
from events.jobs.observed import BACKOFF_LIMIT, Job
from events.jobs.pods import Container, Pod
from events.jobs.starts import noted_start
from events.lifecycle.failures import FAILED, Failure, culprit, failed_pods, failure, judged, last
from events.lifecycle.results import exit_code, left, result_of, results
from events.names import Payload
from events.phases import Phase

MAX_ID = 256
"""Characters of a request's id."""
_JOB_CODES = {
    "DeadlineExceeded": "DEADLINE_EXCEEDED",
    "PodFailurePolicy": "POD_FAILURE_POLICY",
    "MaxFailedIndexesExceeded": "MAX_FAILED_INDEXES",
    "FailedIndexes": "FAILED_INDEXES",
}
"""Error codes by the reason of condition Failed. For other reasons the pods tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The end of a Job. A `code` of None is for the pods to tell. `time` is epoch seconds."""

    phase: Phase
    time: float
    code: str | None = None
    message: str = ""


def outcome(job: Job) -> Outcome | None:
    """How it ended, or None if it has not. Our verdict has precedence over Kubernetes' conditions.

    A verdict alone is no end: the Job has to be over, or being deleted. A Job that is being deleted unfinished has no
    outcome without one, unless its success is decided.
    """
    verdict = job.verdict_of()
    complete, failed = job.condition("Complete"), job.condition("Failed")
    if job.deleted is not None and failed is None and verdict is None:
        complete = complete or job.condition("SuccessCriteriaMet")
    condition = complete or failed
    time = condition.at if condition is not None else job.deleted
    if time is None:
        return None
    if verdict is not None:
        return Outcome(phase=verdict.phase, time=time, code=verdict.error_code, message=verdict.message)
    if complete is not None:
        return Outcome(phase=Phase.SUCCEEDED, time=time)
    if failed is None:
        return None
    if job.ended_by_deletion:
        return Outcome(phase=Phase.CANCELLED, time=time, code="DELETED", message="the Job was deleted")
    code = _JOB_CODES.get(failed.reason)
    return Outcome(phase=Phase.FAILED, time=time, code=code, message=failed.message or failed.reason)


def outcome_detail(job: Job, pods: Sequence[Pod], end: Outcome, *, log: str | None = None) -> dict[str, Any]:
    """The `detail` of the terminal event. `log`: the end of the log of `unread`, where somebody has read it."""
    good = sorted((pod for pod in pods if pod.phase == "Succeeded"), key=last)
    failures = max(len(failed_pods(job, pods)), job.failed)
    if end.phase is Phase.SUCCEEDED:
        main = good[-1].main if good else None
        return {"attempt": job.attempt + failures, **_times(job, pods, end), **exit_code(main), **results(job, good)}
    speaker = _speaker(job, pods)
    container = judged(speaker) if speaker else None
    return {
        "attempt": _attempt(job, pods, failures),
        **_times(job, pods, end),
        **exit_code(container),
        "error": _error(job, end, speaker, log=log),
        **({"failover": {"id": failover_id(job)}} if job.failover and end.phase is Phase.FAILED else {}),
        **_log_tail(container, log),
        **({"failedIndexes": job.failed_indexes} if job.failed_indexes else {}),
        # That some indexes failed does not lose what others achieved, nor does a later failure of the same container.
        **(results(job, good) if job.indexed else result_of(speaker, log=log) if speaker else {}),
    }


def _attempt(job: Job, pods: Sequence[Pod], failures: int) -> int:
    """The number, from 1, of the attempt that the Job ended with."""
    verdict = job.verdict_of()
    if verdict is None:
        return job.attempt - 1 + max(1, failures)
    # What Kubernetes ends because of the verdict has not failed by itself, and may or may not be counted.
    before = sum(pod.ended_at < verdict.at for pod in failed_pods(job, pods))
    return job.attempt + min(before, job.backoff_limit)


def unread(job: Job, pods: Sequence[Pod]) -> tuple[Pod, Container] | None:
    """The container whose log would tell more about the Job's failure than its message does; None if there is none."""
    end = outcome(job)
    if end is None or end.phase is Phase.SUCCEEDED:
        return None
    speaker = _speaker(job, pods)
    container = judged(speaker) if speaker else None
    if speaker is None or container is None or speaker.gone or not container.failed or container.started is None:
        return None
    return speaker, container


def _speaker(job: Job, pods: Sequence[Pod]) -> Pod | None:
    """The pod that speaks for a Job that did not succeed: the last that failed by itself, or was disrupted.

    Kubernetes ends the other pods of such a Job, which says nothing about it.
    """
    bad = sorted((pod for pod in pods if pod.phase == "Failed" or (pod.gone and pod.phase != "Succeeded")), key=last)
    counted = {pod.uid for pod in failed_pods(job, bad)}
    own = [pod for pod in bad if pod.uid in counted and (pod.deleted is None or pod.disruption is not None)]
    return next(reversed(own or bad), None)


def _error(job: Job, end: Outcome, speaker: Pod | None, *, log: str | None) -> dict[str, str]:
    failed = job.condition("Failed")
    # Then the last of the pods says why.
    vague = failed is not None and failed.reason == BACKOFF_LIMIT
    why = Failure(code=FAILED, message=end.message) if speaker is None else failure(speaker, log=log)
    code, message = end.code or why.code, why.message if vague and end.code is None else end.message
    return Failure(code=code, message=message, container=culprit(speaker) if speaker else None).error


def _log_tail(container: Container | None, log: str | None) -> dict[str, str]:
    tail = None if container is None else left(container, log=log).log
    return {} if tail is None else {"logTail": tail}


def failover_id(job: Job) -> str:
    """Id of the request that is made when this one has failed: `<id>/failover`, or a hash where that is too long."""
    named = f"{job.request_id}/failover"
    return named if len(named) <= MAX_ID else f"{base32_sha256(job.request_id.encode())}/failover"


def _times(job: Job, pods: Sequence[Pod], end: Outcome) -> dict[str, Any]:
    """`startedAt`, `finishedAt`, and the seconds between; only `finishedAt` for a Job that never started."""
    # The Job's own start is not that of a pod, but better than nothing where all of its pods are gone.
    unseen = None if pods or not job.succeeded + job.failed else job.start_time
    noted = noted_start(job)
    known = [] if noted is None else [noted.time]
    started = min((*known, *(pod.started for pod in pods if pod.started is not None)), default=unseen)
    finished = {"finishedAt": format_epoch(end.time)}
    if started is None:
        return finished
    return {"duration": max(0, int(end.time) - int(started)), "startedAt": format_epoch(started), **finished}


def is_successful(job: Job) -> bool:
    """Whether its success is decided. It may lack Complete for long: Kubernetes completes no suspended Job."""
    return job.condition("SuccessCriteriaMet") is not None


def is_ending(job: Job) -> bool:
    """Whether it is over, or bound to be: nothing it still shows is progress."""
    decided = job.condition("SuccessCriteriaMet", "FailureTarget", "Complete", "Failed")
    return decided is not None or job.deleted is not None or job.verdict_of() is not None


def counts(job: Job) -> dict[str, Any] | None:
    """`{succeeded, failed, total}` of pods; None for a Job with one completion, and until a pod has ended.

    No `total` where one pod's success is enough (`parallelism` without `completions`).
    """
    several = (job.completions or job.parallelism) > 1
    if not several or not job.succeeded + job.failed:
        return None
    total = {} if job.completions is None else {"total": job.completions}
    return {"succeeded": job.succeeded, "failed": job.failed, **total}


def counted_at(job: Job, pods: Sequence[Pod]) -> float:
    """When the last of the pods in these counts ended. Pods that ended later do not change it.

    Those that a suspension ended are in none of the counts.
    """
    good = [pod for pod in pods if pod.phase == "Succeeded"]
    ends = sorted(pod.ended_at for pod in (*good, *failed_pods(job, pods)))
    latest = min(job.succeeded + job.failed, len(ends))
    return ends[latest - 1] if latest else job.created


def waits(job: Job) -> bool:
    """Whether Kueue has never let it start yet."""
    ready = job.payload != Payload.PENDING and not is_ending(job)
    return job.kueue and job.suspend and job.released is None and ready


def unnoted(job: Job) -> bool:
    """Whether Kueue has let it start for the first time, and that is not written on it yet.

    Once it is written, a suspension is known to be that of a Job that ran. Kubernetes' own start time does not tell:
    it goes when the Job is suspended again.
    """
    return job.kueue and job.released is None and job.start_time is not None and not is_ending(job)
