"""Why no pod of a Job appears: what Kubernetes' Events say about it. Pure: does not fetch them."""

from collections.abc import Sequence

import msgspec

from events.jobs.observed import Job, Pod
from events.lifecycle.outcome import ENDED, ended_at, is_ending
from events.lifecycle.transitions import Transition
from events.names import Payload
from events.phases import Phase

QUOTA = "QUOTA"
FORBIDDEN = "FORBIDDEN"


class Notice(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An Event about a Job whose pod could not be created; `first` and `last` are its times, epoch seconds."""

    message: str
    first: float
    last: float


def podless_since(job: Job, pods: Sequence[Pod]) -> float | None:
    """Since when it should have a pod and has none (epoch seconds); None if it has one, or should not have one."""
    if job.start_time is None or job.suspend or job.payload == Payload.PENDING or job.active or is_ending(job):
        return None
    if any(pod.phase not in ENDED and pod.deleted is None for pod in pods):
        return None
    return max([job.start_time, *(ended_at(pod) for pod in pods)])


def stalled(notices: Sequence[Notice], *, since: float, attempt: int) -> list[Transition]:
    """A transition for each cause that does not pass by itself, from the first notice of it after `since`."""
    found: dict[str, Transition] = {}
    for notice in sorted(notices, key=lambda one: (one.first, one.message)):
        cause = _cause(notice.message)
        # Kubernetes' times are whole seconds.
        if cause is None or cause in found or notice.last < int(since):
            continue
        detail = {"attempt": attempt, "error": {"errorCode": cause, "message": notice.message}}
        found[cause] = Transition(phase=Phase.STALLED, suffix=cause, time=max(notice.first, since), detail=detail)
    return list(found.values())


def _cause(message: str) -> str | None:
    """The error code; None for what the API server may say differently the next time, such as a timeout."""
    if "exceeded quota:" in message or "failed quota:" in message:
        return QUOTA
    # Pod Security, a missing service account or priority class, a LimitRange, a webhook, what is not valid at all.
    refused = (" is forbidden: ", " is invalid: ", "denied the request", "no PriorityClass with name")
    return FORBIDDEN if any(sign in message for sign in refused) else None
