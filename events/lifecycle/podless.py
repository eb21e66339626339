"""Why no pod of a Job appears, or none gets ready: what Events say about it. Pure: does not fetch them."""

from collections.abc import Sequence

import msgspec

from events.jobs.observed import Job
from events.jobs.pods import ENDED, Pod
from events.lifecycle.failures import Failure
from events.lifecycle.outcome import is_ending
from events.lifecycle.transitions import Transition
from events.names import Payload
from events.phases import Phase

CREATE_CONTAINER = "CREATE_CONTAINER"
QUOTA = "QUOTA"
FORBIDDEN = "FORBIDDEN"


_PREPARING = frozenset({None, "ContainerCreating", "PodInitializing"})
"""Reasons of containers that wait for something that their status does not name, such as a volume."""
_UNPREPARED = frozenset({"FailedMount", "FailedAttachVolume", "FailedMapVolume", "FailedCreatePodSandBox"})
"""Reasons of Events about pods whose volumes or network could not be set up."""


class Notice(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An Event, a warning about a Job or Pod; `first` and `last` are its times, epoch seconds."""

    reason: str = ""
    message: str
    first: float
    last: float


class Mystery(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What nothing but Events explains: `about` is the uid of the object that they are about, `since` epoch seconds.

    `preparing`: it is a pod that a node prepares, which may take a while: an image is pulled, say.
    """

    about: str
    since: float
    preparing: bool = False


def mystery(job: Job, pods: Sequence[Pod]) -> Mystery | None:
    """A Job without a pod that it should have, or else its first pod that a node prepares; None if there is neither."""
    since = podless_since(job, pods)
    if since is not None:
        return Mystery(about=job.uid, since=since)
    if job.suspend or is_ending(job):
        return None
    prepared = [pod for pod in pods if _is_prepared(pod)]
    first = min(prepared, key=lambda pod: (pod.created, pod.name), default=None)
    return None if first is None else Mystery(about=first.uid, since=first.created, preparing=True)


def _is_prepared(pod: Pod) -> bool:
    """Whether a node has taken the pod, and none of its containers has run yet, nor says why."""
    if pod.node is None or pod.over or pod.deleted is not None:
        return False
    return all(one.started is None and one.waiting_reason in _PREPARING for one in pod.containers)


def podless_since(job: Job, pods: Sequence[Pod]) -> float | None:
    """Since when it should have a pod and has none (epoch seconds); None if it has one, or should not have one."""
    if job.start_time is None or job.suspend or job.payload == Payload.PENDING or job.active or is_ending(job):
        return None
    if any(pod.phase not in ENDED and pod.deleted is None for pod in pods):
        return None
    return max([job.start_time, *(pod.ended_at for pod in pods)])


def stalled(notices: Sequence[Notice], *, since: float, attempt: int) -> list[Transition]:
    """A transition for each cause that does not pass by itself, from the first notice of it after `since`."""
    found: dict[str, Transition] = {}
    for notice in sorted(notices, key=lambda one: (one.first, one.message)):
        cause = _cause(notice)
        # Kubernetes' times are whole seconds.
        if cause is None or cause in found or notice.last < int(since):
            continue
        detail = {"attempt": attempt, "error": Failure(code=cause, message=notice.message).error}
        found[cause] = Transition(phase=Phase.STALLED, suffix=cause, time=max(notice.first, since), detail=detail)
    return list(found.values())


def _cause(notice: Notice) -> str | None:
    """The error code; None for what the API server may say differently the next time, such as a timeout."""
    if notice.reason in _UNPREPARED:
        return CREATE_CONTAINER
    if notice.reason != "FailedCreate":
        return None
    message = notice.message
    if "exceeded quota:" in message or "failed quota:" in message:
        return QUOTA
    # Pod Security, a missing service account or priority class, a LimitRange, a webhook, what is not valid at all.
    refused = (" is forbidden: ", " is invalid: ", "denied the request", "no PriorityClass with name")
    return FORBIDDEN if any(sign in message for sign in refused) else None
