"""From a Job as it is to its place in admission: does it wait, does it run, what does it take. Pure; admits nobody."""

from collections.abc import Mapping
from enum import StrEnum

from events.jobs.observed import Job
from events.jobs.queueing import queued_since, read_outcomes, read_queueing
from events.names import Payload, Reason
from handler.admission.data import Dependency, Entry, Key


class Standing(StrEnum):
    """How a Job stands towards admission."""

    WAITING = "waiting"
    """It is for us to let it go."""
    COMING = "coming"
    """It will be, once its payload is there."""
    ACTIVE = "active"
    """It takes room: it may run, or its pods still do."""
    HELD = "held"
    """It waits for a `resume`, or for whoever else suspended it."""
    KUEUE = "kueue"
    """When it runs is Kueue's to say: it waits for no leave of ours, and takes no room."""
    OVER = "over"


def standing(job: Job) -> Standing:
    """Of a Job with our finalizer that this version understands."""
    if job.finished:
        return Standing.OVER
    if job.kueue:
        return Standing.KUEUE
    if not job.suspend or job.active or job.terminating:
        return Standing.ACTIVE
    if job.deleted is not None or job.verdict is not None:
        return Standing.OVER
    if job.queued is None:
        return Standing.HELD
    return Standing.COMING if job.payload == Payload.PENDING else Standing.WAITING


def entry_of(key: Key, job: Job, *, known: Mapping[str, Dependency]) -> Entry:
    """What `admit` has to know of a Job. `known`: what was found out about requests it depends on, by their ids."""
    asked = read_queueing(job.queueing)
    outcomes = read_outcomes(job.dependencies)
    since, not_before = queued_since(job.queued or "", created=job.created), asked.not_before
    return Entry(
        key=key,
        request_id=job.request_id,
        source=job.source,
        service=job.service or "",
        priority=asked.priority,
        since=since if not_before is None else max(since, not_before),
        gpus=asked.gpus,
        concurrency=asked.key,
        limit=asked.limit,
        exclusive=asked.exclusive and asked.key is None,
        not_before=not_before,
        not_before_reason=Reason.RUN_AT if job.attempt == 1 else Reason.RETRY_DELAY,
        dependencies=tuple(
            Dependency(id=one, outcome=outcomes[one]) if one in outcomes else known.get(one, Dependency(id=one))
            for one in asked.dependencies
        ),
        run_on_failure=asked.run_on_failure,
        dependencies_until=job.created + asked.dependency_timeout,
    )
