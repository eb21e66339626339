"""After an attempt that failed: makes the Job of the next attempt before our finalizer goes. Publishes nothing."""

import base64
import logging

from events.jobs.attempts import next_key
from events.jobs.observed import Job, Verdict
from events.jobs.queueing import NONE
from events.phases import Phase
from handler.effects.launcher import Newer, Taken, launch
from handler.effects.writes import Writes
from k8s.base import Manifest, NotFound, Refused
from k8s.manifests.attempt import next_attempt
from k8s.manifests.job import Rendered
from k8s.manifests.pod import EVENT_FILE, is_owned_by, payload_names, payload_of

logger = logging.getLogger(__name__)


async def prepare_next(job: Job, writes: Writes, *, at: float) -> Job:
    """Make the Job of the next attempt, which waits until `at` (epoch seconds) and until `job` loses our finalizer.

    Returns `job`, as it was, or with a verdict if there can be no further attempt. Raises `LeadershipLost`,
    `Unavailable`, `QuotaExceeded`, `Conflict`, and `NotFound` if `job` is gone.
    """
    manifest = await writes.maker.read_job(job.namespace, job.name)
    try:
        await launch(writes.maker, await _rendered(manifest, job, writes, at=at))
    except (Refused, Taken, Newer, _NoPayload) as error:
        logger.warning("there can be no further attempt: %s", error)
        message = f"it failed, and there can be no further attempt: {error}"
        verdict = Verdict(phase=Phase.FAILED, error_code="JOB_EXECUTION_FAILED", message=message, at=writes.now())
        return await writes.note_verdict(job, verdict)
    await writes.reread(next_key(job))
    return job


class _NoPayload(Exception):
    """There is no Secret with the event, or none that is the Job's own."""


async def _rendered(manifest: Manifest, job: Job, writes: Writes, *, at: float) -> Rendered:
    secret = payload_of(manifest)
    event = b"" if secret is None else await _payload(job, secret, writes)
    made = next_attempt(manifest, job, at=at)
    return Rendered(job=made, event=event, inline=secret is None, ttl=job.ttl or 0, ttl_raised=False, queueing=NONE)


async def _payload(job: Job, secret: str, writes: Writes) -> bytes:
    """The event in the Job's own Secret. Raises `_NoPayload`.

    Whoever may write Jobs can have one name any Secret, which we may read and they perhaps not.
    """
    if secret not in payload_names(job.name):
        raise _NoPayload("the Secret that it names is not its own")
    try:
        stored = await writes.maker.read_secret(job.namespace, secret)
    except NotFound as error:
        raise _NoPayload("the Secret with its event is gone") from error
    held = (stored.get("data") or {}).get(EVENT_FILE)
    if held is None or not is_owned_by(stored, job.uid):
        raise _NoPayload("the Secret of its name is not its own")
    return base64.b64decode(held)
