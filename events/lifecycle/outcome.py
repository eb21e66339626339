"""How a request ended and how far it has come, from its Job and Pods: result, exit code, error, counts. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from events.cloudevent.event import InvalidEvent, parse_json
from events.cloudevent.timestamp import format_epoch
from events.identity import base32_sha256
from events.jobs.observed import Job, Pod
from events.names import Payload
from events.phases import Phase

ENDED = frozenset({"Succeeded", "Failed"})
"""Phases of pods that no longer run."""
MAX_ID = 256
"""Characters of a request's id."""
MAX_RESULTS = 16_384
"""Bytes of `results` as JSON: each may be 4 KiB, and a Job may have thousands."""
_POD_CODES = {"Evicted": "EVICTED", "OOMKilled": "OOM_KILLED"}
_JOB_CODES = {
    "DeadlineExceeded": "DEADLINE_EXCEEDED",
    "PodFailurePolicy": "POD_FAILURE_POLICY",
    "MaxFailedIndexesExceeded": "MAX_FAILED_INDEXES",
    "FailedIndexes": "FAILED_INDEXES",
}
"""Error codes by the reason of condition Failed. For other reasons the pods tell."""
_FAILED = "JOB_EXECUTION_FAILED"


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
    outcome without one.
    """
    complete, failed = job.condition("Complete"), job.condition("Failed")
    condition = complete or failed
    time = condition.at if condition is not None else job.deleted
    if time is None:
        return None
    verdict = job.verdict_of()
    if verdict is not None:
        return Outcome(phase=verdict.phase, time=time, code=verdict.error_code, message=verdict.message)
    if complete is not None:
        return Outcome(phase=Phase.SUCCEEDED, time=time)
    if failed is None:
        return None
    code = _JOB_CODES.get(failed.reason)
    return Outcome(phase=Phase.FAILED, time=time, code=code, message=failed.message or failed.reason)


def outcome_detail(job: Job, pods: Sequence[Pod], end: Outcome) -> dict[str, Any]:
    """The `detail` of the terminal event."""
    good = sorted((pod for pod in pods if pod.phase == "Succeeded"), key=_last)
    bad = sorted((pod for pod in pods if pod.phase == "Failed"), key=_last)
    failures = max(len(failed_pods(pods)), job.failed)
    if end.phase is Phase.SUCCEEDED:
        last = good[-1] if good else None
        return {"attempt": job.attempt + failures, **_times(job, pods, end), **_exit_code(last), **_results(job, good)}
    last = bad[-1] if bad else None
    code = end.code or _POD_CODES.get((last and last.reason) or "", _FAILED)
    return {
        "attempt": job.attempt - 1 + max(1, failures),
        **_times(job, pods, end),
        **_exit_code(last),
        "error": {"errorCode": code, "message": end.message},
        **({"failover": {"id": failover_id(job)}} if job.failover and end.phase is Phase.FAILED else {}),
        **({"logTail": last.message} if last is not None and last.message else {}),
        **({"failedIndexes": job.failed_indexes} if job.failed_indexes else {}),
        # That some indexes failed does not lose what others achieved.
        **(_results(job, good) if job.indexed else {}),
    }


def failover_id(job: Job) -> str:
    """Id of the request that is made when this one has failed: `<id>/failover`, or a hash where that is too long."""
    named = f"{job.request_id}/failover"
    return named if len(named) <= MAX_ID else f"{base32_sha256(job.request_id.encode())}/failover"


def failed_pods(pods: Sequence[Pod]) -> list[Pod]:
    """Those that failed by themselves, in order. A pod that is being deleted was killed (suspend, deadline, cancel)."""
    return sorted((pod for pod in pods if pod.phase == "Failed" and pod.deleted is None), key=_last)


def ended_at(pod: Pod) -> float:
    """When it ended. An evicted pod may not say: then the time of its creation stands in."""
    return pod.created if pod.finished is None else pod.finished


def pod_error(pod: Pod) -> dict[str, str]:
    """`{errorCode, message}` of a failed pod."""
    why = pod.message or (f"exit code {pod.exit_code}" if pod.exit_code is not None else pod.reason or "the pod failed")
    return {"errorCode": _POD_CODES.get(pod.reason or "", _FAILED), "message": why}


def _last(pod: Pod) -> tuple[float, str]:
    return ended_at(pod), pod.name


def _times(job: Job, pods: Sequence[Pod], end: Outcome) -> dict[str, Any]:
    """`startedAt`, `finishedAt`, and the seconds between; only `finishedAt` for a Job that never started."""
    started = min((pod.started for pod in pods if pod.started is not None), default=job.start_time)
    finished = {"finishedAt": format_epoch(end.time)}
    if started is None:
        return finished
    return {"duration": max(0, int(end.time) - int(started)), "startedAt": format_epoch(started), **finished}


def _exit_code(pod: Pod | None) -> dict[str, int]:
    return {} if pod is None or pod.exit_code is None else {"exitCode": pod.exit_code}


def _results(job: Job, good: Sequence[Pod]) -> dict[str, Any]:
    """`result` for a Job of one pod, `results` for all others, even where one success was enough."""
    if len(good) == 1 and not job.several:
        return _result(good[0])
    ordered = sorted(good, key=lambda pod: (pod.index or 0, *_last(pod)))
    room = MAX_RESULTS - 2
    results: list[dict[str, Any]] = []
    for pod in ordered:
        name: dict[str, Any] = {"podName": pod.name} if pod.index is None else {"index": pod.index}
        entry = name | _exit_code(pod) | _result(pod)
        room -= len(orjson.dumps(entry)) + 1
        if room < 0:
            return {"results": results, "resultsTruncated": True}
        results.append(entry)
    return {"results": results} if results else {}


def _result(pod: Pod) -> dict[str, Any]:
    """`result`: what the container left, as JSON if it is JSON, else as text; empty if it left nothing."""
    text = (pod.message or "").rstrip("\n")
    if not text:
        return {}
    try:
        return {"result": parse_json(text.encode(), what="the result")}
    except InvalidEvent:
        return {"result": text}


def is_ending(job: Job) -> bool:
    """Whether it is over, or bound to be: nothing it still shows is progress."""
    decided = job.condition("SuccessCriteriaMet") or job.condition("FailureTarget")
    return job.finished or decided is not None or job.deleted is not None or job.verdict_of() is not None


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
    """When the last of the pods in these counts ended. Pods that ended later do not change it."""
    ends = sorted(ended_at(pod) for pod in pods if pod.finished is not None)
    last = min(job.succeeded + job.failed, len(ends))
    return ends[last - 1] if last else job.created


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
