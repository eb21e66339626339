"""The first start of a Job, as its `started` event tells it: the pods of a Job that was suspended may be gone. Pure."""

from collections.abc import Sequence

import msgspec

from events.cloudevent.timestamp import format_epoch, parse_epoch
from events.jobs.annotation import read_stored
from events.jobs.observed import Job
from events.jobs.pods import Pod


class Start(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Annotation `started`, a stored format. `at`: RFC 3339. `suffix`: of the event's id."""

    at: str
    suffix: str = ""
    attempt: int
    pod_id: str
    pod_name: str
    node: str | None = None

    def to_annotation(self) -> str:
        return msgspec.json.encode(self).decode()

    @property
    def time(self) -> float:
        """Epoch seconds."""
        return parse_epoch(self.at)


def noted_start(job: Job) -> Start | None:
    """What `to_annotation` wrote when the Job was suspended; what we cannot have written counts as absent."""
    start = read_stored(job.started, Start)
    try:
        return start if start is None or _is_ours(start) else None
    except ValueError:
        return None


def _is_ours(start: Start) -> bool:
    """Whether `start_of` makes such. Raises `ValueError` if its time is none."""
    return start.time != 0 and start.at == format_epoch(start.time) and start.suffix in ("", start.at)


def first_pod(pods: Sequence[Pod]) -> Pod | None:
    """The pod that ran first; None if none has."""
    ran = [(pod.started, pod.name, pod) for pod in pods if pod.started is not None]
    return min(ran)[2] if ran else None


def is_of_first_start(job: Job, pod: Pod) -> bool:
    """Whether it may be a pod that the Job was first started with, as far as the Job shows.

    A Job of Kueue's says when its first start was seen. A later pod that nobody knows another before is not the first.
    """
    if not job.kueue or job.released is None:
        return True
    try:
        return pod.created <= parse_epoch(job.released) + 1
    except ValueError:
        return True


def start_of(job: Job, pod: Pod, *, attempt: int) -> Start:
    """The start that this pod was."""
    at = format_epoch(pod.created if pod.started is None else pod.started)
    suffix = "" if is_of_first_start(job, pod) else at
    return Start(at=at, suffix=suffix, attempt=attempt, pod_id=pod.uid, pod_name=pod.name, node=pod.node)
