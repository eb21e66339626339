"""Puts right what somebody has changed by hand on a Job, and what would keep it from ever ending."""

import logging

from events.jobs.observed import Job
from events.names import Payload
from handler.effects.writes import Writes
from handler.telemetry.metrics import Metrics
from k8s.base import NotFound
from k8s.manifests.pod import is_owned_by, payload_names

logger = logging.getLogger(__name__)

PAYLOAD_SECONDS = 60.0
"""Seconds that a handler has for the payload of a new Job before we look for ourselves; then between such looks."""


async def mend(job: Job, writes: Writes, metrics: Metrics) -> Job:
    """Returns the Job as it then is. Raises what `Writes` raises."""
    if job.lost_labels:
        lost, job = job.lost_labels, await writes.restore_labels(job)
        metrics.labels_restored.inc()
        logger.warning("put back labels that it had lost: %s", ", ".join(name for name, _ in lost))
    verdict = job.verdict_of()
    if verdict is not None and _goes_on(job):
        # Written by hand, or its effect was undone: Kubernetes would never end it. One that is suspended gets deleted.
        return await writes.give_verdict(job, verdict)
    if _is_overdue(job, writes.now()) and await _has_payload(job, writes):
        logger.warning("its payload is there: let go what still waited for it")
        return await writes.note_payload(job)
    return job


def next_mending(job: Job, now: float) -> float | None:
    """When to call `mend` again even if nothing changes (epoch seconds)."""
    if job.finished or job.payload != Payload.PENDING:
        return None
    return max(job.created, now) + PAYLOAD_SECONDS


def _goes_on(job: Job) -> bool:
    over = job.finished or job.deleted is not None or job.kueue
    return not over and not job.suspend and job.parallelism > 0


def _is_overdue(job: Job, now: float) -> bool:
    waits = job.payload == Payload.PENDING and not job.finished and job.deleted is None
    return waits and now >= job.created + PAYLOAD_SECONDS


async def _has_payload(job: Job, writes: Writes) -> bool:
    """Whether its Secret exists. The redelivery that would look for it may have been acknowledged long ago."""
    for name in payload_names(job.name):
        try:
            secret = await writes.maker.read_secret(job.namespace, name)
        except NotFound:
            continue
        if is_owned_by(secret, job.uid):
            return True
    return False
