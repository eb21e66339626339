"""Attempts of a request as Jobs of their own: whether another follows, when, under which name. Pure."""

from typing import Annotated

import msgspec
from msgspec import Meta

from events.cloudevent.timestamp import format_epoch
from events.jobs.annotation import read_stored
from events.jobs.observed import Job

_NO_MORE = frozenset({"PodFailurePolicy"})
"""Reasons of condition Failed after which another try is pointless: the request said so itself."""


_LONGEST = 366 * 86_400
"""Seconds: no pause is longer. Whatever somebody writes by hand, the times that follow from it can be written too."""


class Retry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Annotation `retry`, a stored format: up to `limit` more attempts, the first `delay` seconds after a failure.

    Each further attempt waits `factor` times as long, `most` seconds at most.
    """

    limit: Annotated[int, Meta(ge=0, le=1000)]
    delay: Annotated[int, Meta(ge=0, le=_LONGEST)]
    factor: Annotated[float, Meta(ge=0, le=1000)] = 1.0
    most: Annotated[int, Meta(ge=0, le=_LONGEST)] | None = None

    def to_annotation(self) -> str:
        return msgspec.json.encode(self).decode()

    def pause(self, attempt: int) -> float:
        """Seconds from the failure of this attempt (from 1) to the next one."""
        most = float(_LONGEST if self.most is None else self.most)
        try:
            return min(self.delay * self.factor ** (attempt - 1), most)
        except OverflowError:
            return most


def read_retry(annotation: str | None) -> Retry | None:
    """What `to_annotation` wrote; what is unreadable counts as absent."""
    return read_stored(annotation, Retry)


def next_attempt_at(job: Job) -> float | None:
    """When the next attempt follows (epoch seconds); None if none does.

    There is a next attempt if Kubernetes says that this one has failed, and some are left. None follows a verdict.
    """
    failed, retry = job.condition("Failed"), read_retry(job.retry)
    if failed is None or retry is None or job.verdict_of() is not None or failed.reason in _NO_MORE:
        return None
    if job.ended_by_deletion:
        return None
    return failed.at + retry.pause(job.attempt) if job.attempt <= retry.limit else None


def attempt_name(job: Job, attempt: int) -> str:
    """The name of this attempt of the same request: `<name>`, `<name>-2`, `<name>-3`."""
    first = job.name.removesuffix(f"-{job.attempt}") if job.attempt > 1 else job.name
    return first if attempt == 1 else f"{first}-{attempt}"


def previous_key(job: Job) -> tuple[str, str] | None:
    """Namespace and name of the attempt before; None for the first."""
    return (job.namespace, attempt_name(job, job.attempt - 1)) if job.attempt > 1 else None


def next_key(job: Job) -> tuple[str, str]:
    """Namespace and name of the attempt after."""
    return job.namespace, attempt_name(job, job.attempt + 1)


def written_time(seconds: float) -> str:
    """RFC 3339 of epoch seconds, rounded up: nothing may run before its time."""
    whole = int(seconds)
    return format_epoch(whole if whole == seconds else whole + 1)
