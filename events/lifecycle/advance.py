"""How far a running request has come: completed parts of a Job with several, and what its pods use. Pure."""

from collections.abc import Sequence
from typing import Any

from events.jobs.observed import Job, Pod
from events.lifecycle.outcome import ended_at


def is_ending(job: Job) -> bool:
    """Nothing it may still show is progress: it is over, or somebody has decided that it will be."""
    decided = job.condition("SuccessCriteriaMet") or job.condition("FailureTarget")
    return job.finished or decided is not None or job.deleted is not None or job.verdict_of() is not None


def counts(job: Job) -> dict[str, Any] | None:
    """`{succeeded, failed, total}` of pods; None for a Job with one completion, or as long as no pod has ended.

    No `total` where one pod's success is enough (`parallelism` without `completions`).
    """
    several = (job.completions or job.parallelism) > 1
    if not several or not job.succeeded + job.failed:
        return None
    total = {} if job.completions is None else {"total": job.completions}
    return {"succeeded": job.succeeded, "failed": job.failed, **total}


def counted_at(job: Job, pods: Sequence[Pod]) -> float:
    """When the last of the pods in these counts ended: not a later one, so that it is the same at every look."""
    ends = sorted(ended_at(pod) for pod in pods if pod.finished is not None)
    last = min(job.succeeded + job.failed, len(ends))
    return ends[last - 1] if last else job.created
