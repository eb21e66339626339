"""Outcomes that Kubernetes does not state itself: start timeout, timeout, deletion. Time is an argument."""

from collections.abc import Sequence

from events.jobs.observed import Job, Verdict
from events.jobs.pods import ENDED, Pod, Role
from events.lifecycle.outcome import is_successful, unnoted
from events.lifecycle.transitions import Transition, stalls
from events.names import Payload
from events.phases import Phase
from handler.effects.writes import Writes

MAX_REASON = 1024
"""Characters of a START_TIMEOUT's message that repeat why no pod runs."""
PAYLOAD_SECONDS = 7200
"""Seconds that a handler has to bring the Secret with the event. All its attempts take about an hour."""


def due(job: Job, pods: Sequence[Pod], *, now: float, told: Sequence[Transition] = ()) -> Verdict | None:
    """The verdict that is due at `now` (epoch seconds, the API server's clock), if the Job has none yet.

    `told`: what Events say about why no pod runs.
    """
    if _is_decided(job):
        return None
    if job.deleted is not None:
        return Verdict(phase=Phase.CANCELLED, error_code="DELETED", message="the Job was deleted", at=now)
    if job.timeout is not None and now >= _accepted(job) + job.timeout:
        message = f"not finished {job.timeout} s after it was accepted"
        return Verdict(phase=Phase.FAILED, error_code="TIMEOUT", message=message, at=now)
    start_by = _start_by(job, pods)
    if start_by is not None and now >= start_by:
        none = "; its parallelism is 0" if job.parallelism == 0 else ""
        message = f"no pod was running {job.start_timeout} s after the Job started{none}{_reason(pods, told)}"
        return Verdict(phase=Phase.FAILED, error_code="START_TIMEOUT", message=message, at=now)
    if job.payload == Payload.PENDING and now >= job.created + PAYLOAD_SECONDS:
        message = f"its event was not stored {PAYLOAD_SECONDS} s after the Job was made, so that no pod could start"
        return Verdict(phase=Phase.FAILED, error_code="START_TIMEOUT", message=message, at=now)
    return None


def next_due(job: Job, pods: Sequence[Pod]) -> float | None:
    """When to call `due` again even if nothing changes (epoch seconds)."""
    if _is_decided(job):
        return None
    times = [
        _start_by(job, pods),
        None if job.timeout is None else _accepted(job) + job.timeout,
        job.created + PAYLOAD_SECONDS if job.payload == Payload.PENDING else None,
    ]
    return min((time for time in times if time is not None), default=None)


def _is_decided(job: Job) -> bool:
    """Whether its outcome is known, so that no verdict may be given."""
    if job.finished or job.verdict_of() is not None or is_successful(job):
        return True
    # It fails once its pods have ended; but while it is suspended, nothing would end it.
    return job.condition("FailureTarget") is not None and not job.suspend and job.deleted is None


async def attend(job: Job, writes: Writes) -> Job:
    """Carry out a verdict that Kubernetes does not, or note that Kueue has let the Job start. Returns the Job then.

    A verdict lets a Job run and fail. That cannot end a Job which somebody suspends again: Kueue does so with every Job
    of its own, and with any Job where it manages those without a queue too. Such a Job is deleted, at every look until
    it is gone: a leader may have crashed between verdict and deletion. Raises what `Writes` raises.
    """
    if job.finished or job.deleted is not None:
        return job
    if job.verdict_of() is None:
        return await writes.note_start(job) if unnoted(job) else job
    if job.kueue or job.suspend:
        await writes.delete(job)
    return job


def _accepted(job: Job) -> float:
    """When the request got its first Job."""
    return job.created if job.accepted is None else job.accepted


def _start_by(job: Job, pods: Sequence[Pod]) -> float | None:
    # Kubernetes removes status.startTime at suspension and sets it anew at resume: the clock restarts by itself.
    if job.start_timeout is None or job.start_time is None or job.suspend:
        return None
    if job.parallelism == 0 and not job.active:
        # Somebody has taken its pods away, and no other pod follows.
        return max([job.start_time, *(pod.ended_at for pod in pods)]) + job.start_timeout
    current = [pod for pod in pods if pod.made_since(job.start_time)]
    before = [one for pod in current if pod.deleted is None for one in pod.containers if one.role is Role.INIT]
    if _ran(job, pods, current) or any(one.running for one in before):
        return None
    # Init containers work: the clock restarts when one of them is done.
    return max([job.start_time, *(one.finished for one in before if one.finished is not None)]) + job.start_timeout


def _ran(job: Job, pods: Sequence[Pod], current: Sequence[Pod]) -> bool:
    """Whether a pod of the current start ran, or has ended without."""
    if job.ready or any(pod.started is not None for pod in current):
        return True
    known = {pod.uid for pod in current}
    others = [pod for pod in pods if pod.uid not in known and pod.deleted is None]
    ended = sum(pod.phase in ENDED for pod in others)
    # The Job counts all pods that ever ended, also those that we have not seen. Of many pods that are created at a
    # start, the first may be older than its time.
    return job.succeeded + job.failed > ended or any(pod.started is not None and not pod.over for pod in others)


def _reason(pods: Sequence[Pod], told: Sequence[Transition]) -> str:
    """What the `stalled` events said, or would have said."""
    known = [(code, message) for pod in pods for code, message, _ in stalls(pod)]
    known += [(one.suffix, one.detail["error"]["message"]) for one in told]
    causes = sorted({f"{code}: {message}" for code, message in known})
    return f"; {'; '.join(causes)}"[:MAX_REASON] if causes else ""
