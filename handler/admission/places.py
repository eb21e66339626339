"""What a Job is to admission: whether it waits, whether it takes room, and how much. Pure."""

from enum import StrEnum

from events.jobs.observed import Job
from events.jobs.queueing import Queueing, queued_since
from events.names import Payload, Reason
from events.request.queue import MAX_PRIORITY
from handler.admission.data import Entry, Key, Needs


class Standing(StrEnum):
    """Where a Job stands in admission."""

    WAITING = "waiting"
    """It waits for admission to release it."""
    COMING = "coming"
    """It will wait for admission once its payload exists, or once the attempt before it is done with."""
    ACTIVE = "active"
    """It takes room: it may run, or its pods still do."""
    SUSPENDED = "suspended"
    """It waits for a `resume`, or for the user or controller that suspended it."""
    KUEUE = "kueue"
    """Kueue decides when it runs: it needs no release of ours, and takes no room."""
    OVER = "over"
    """It takes no room any more, and will not ask for any."""


def standing(job: Job) -> Standing:
    """The standing of a Job that has our finalizer and is of no newer format."""
    if job.finished:
        return Standing.OVER
    if job.kueue:
        return Standing.KUEUE
    if not job.suspend or job.active or job.terminating:
        return Standing.ACTIVE
    if job.deleted is not None or job.verdict_of() is not None:
        return Standing.OVER
    if job.queued is None:
        return Standing.SUSPENDED
    return Standing.COMING if job.payload == Payload.PENDING else Standing.WAITING


def entry_of(key: Key, job: Job, asked: Queueing, *, needs: Needs | None, own_keys: bool = False) -> Entry:
    """What `admit` needs to know of a Job. `asked`: its annotation `queueing`, read.

    `own_keys`: each service has concurrency keys of its own. The Job itself says nothing of that, so that it holds for
    all Jobs as soon as the setting does. No priority counts for more than a request may ask for, whoever wrote it.
    """
    service = job.service or ""
    since, not_before = queued_since(job.queued or "", created=job.created), asked.not_before
    return Entry(
        key=key,
        request_id=job.request_id,
        source=job.source,
        service=service,
        priority=max(0, min(asked.priority, MAX_PRIORITY)),
        since=since if not_before is None else max(since, not_before),
        gpus=asked.gpus,
        # No service has a slash in its name.
        concurrency=f"{service}/{asked.key}" if own_keys and asked.key is not None else asked.key,
        limit=asked.limit,
        exclusive=asked.exclusive and asked.key is None,
        not_before=not_before,
        not_before_reason=Reason.RUN_AT if job.attempt == 1 else Reason.RETRY_DELAY,
        needs=needs,
    )
