"""What a Job remembers of its place in the queue: annotations, stored formats. Who is let go is decided elsewhere."""

from typing import Annotated

import msgspec
from msgspec import Meta

from events.cloudevent.timestamp import format_epoch, parse_epoch
from events.jobs.annotation import read_stored

DEFAULT_DEPENDENCY_TIMEOUT = 3600
"""Seconds."""
MAX_DEPENDENCIES = 100
_MOST = 2**31 - 1
"""The largest number that is believed: anybody may write such an annotation, and a decision about all Jobs reads it."""


class Queueing(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """What the request, or its function, says about when it may run. Stored as JSON, without default values.

    `key` and `limit`: its `concurrency`; `exclusive`: limit 1, of its service where it has no key. `gpus`: of all its
    pods together. `run_at`: not before this time, RFC 3339.
    """

    priority: Annotated[int, Meta(ge=-_MOST, le=_MOST)] = 0
    key: str | None = None
    limit: Annotated[int, Meta(ge=1, le=_MOST)] | None = None
    exclusive: bool = False
    gpus: Annotated[int, Meta(ge=0, le=_MOST)] = 0
    dependencies: Annotated[tuple[str, ...], Meta(max_length=MAX_DEPENDENCIES)] = ()
    run_on_failure: bool = False
    dependency_timeout: Annotated[int, Meta(ge=0, le=_MOST)] = DEFAULT_DEPENDENCY_TIMEOUT
    run_at: str | None = None

    def to_annotation(self) -> str | None:
        """None if every value is the default."""
        return None if self == NONE else msgspec.json.encode(self).decode()

    @property
    def waits(self) -> bool:
        """Whether it waits for a time or for other requests, however much room there is."""
        return bool(self.dependencies) or self.run_at is not None

    @property
    def not_before(self) -> float | None:
        """Epoch seconds."""
        try:
            return None if self.run_at is None else parse_epoch(self.run_at)
        except ValueError:
            return None


NONE = Queueing()


def read_queueing(annotation: str | None) -> Queueing:
    """What `to_annotation` wrote; what is unreadable counts as absent."""
    return read_stored(annotation, Queueing) or NONE


def queued_since(queued: str, *, created: float) -> float:
    """Since when a Job with this annotation `queued` waits (epoch seconds): `created`, unless it names a time."""
    try:
        return parse_epoch(queued)
    except ValueError:
        return created


def queued_at(seconds: float) -> str:
    """The annotation `queued` of a Job that enters the queue at this time (epoch seconds)."""
    return format_epoch(seconds)


def read_outcomes(annotation: str | None) -> dict[str, str]:
    """Annotation `dependencies`: the terminal phases of requests that the Job waits for, by id."""
    return read_stored(annotation, dict[str, str]) or {}


def write_outcomes(outcomes: dict[str, str]) -> str:
    """The annotation that `read_outcomes` reads."""
    return msgspec.json.encode(outcomes, order="sorted").decode()
