"""Folds lifecycle events into the state of each request. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cloudevents.core.v1.event import CloudEvent

from events.names import JOB_TYPE
from events.phases import LAST, Phase
from handler.commands.showing.reading import Heard


@dataclass(slots=True, kw_only=True)
class Progress:
    """A request as its events so far describe it."""

    id: str
    service: str = ""
    phases: list[str] = field(default_factory=list)
    detail: Mapping[str, Any] = field(default_factory=dict)
    seen: set[tuple[str, str]] = field(default_factory=set)
    """Source and id of its events, except those of phase `progress`, which may come every minute."""
    advanced: tuple[str, str] | None = None
    """Source and id of its last event of phase `progress`."""
    first: datetime | None = None
    last: datetime | None = None

    @property
    def phase(self) -> str:
        """Its last phase; `published` before any event."""
        return self.phases[-1] if self.phases else "published"

    @property
    def ended(self) -> bool:
        """Whether no more events will come."""
        return self.phase in LAST

    @property
    def exit_code(self) -> int:
        """For a command that waited for it: 0 for success, the container's code if there is one, else 1."""
        if self.phase in (Phase.SUCCEEDED, Phase.UNSCHEDULED):
            return 0
        code = self.detail.get("exitCode")
        return code if self.phase == Phase.FAILED and isinstance(code, int) and 0 < code < 256 else 1


class Board:
    """The requests seen so far, in the order they appeared. Repeated events make no difference.

    At most `limit` requests are kept, as a `watch` may run for weeks: the oldest that ended are dropped, and counted in
    `forgotten`.
    """

    def __init__(self, *, limit: int = 10_000) -> None:
        self.requests: dict[str, Progress] = {}
        self.forgotten = 0
        self._limit = limit

    def expect(self, request_id: str) -> Progress:
        """Show this request although no event tells of it yet."""
        return self.requests.setdefault(request_id, Progress(id=request_id))

    def take(self, heard: Heard) -> Progress | None:
        """Fold an event in. None for an event that is repeated, or is not a lifecycle event of a request."""
        event = heard.event
        phase = phase_of(event)
        name = (event.get_source(), event.get_id())
        if phase is None:
            return None
        progress = self.expect(request_of(event))
        if name in progress.seen or name == progress.advanced:
            return None
        again = phase == progress.phase == Phase.PROGRESS
        if phase == Phase.PROGRESS:
            progress.advanced = name
        else:
            progress.seen.add(name)
        detail = detail_of(event)
        service = detail.get("service")
        progress.service = service if isinstance(service, str) else progress.service
        progress.phases += [] if again else [phase]
        progress.detail = detail
        progress.first = progress.first or heard.at
        progress.last = heard.at
        if len(self.requests) > self._limit:
            self._forget()
        return progress

    def _forget(self) -> None:
        oldest = next((progress.id for progress in self.requests.values() if progress.ended), None)
        if oldest is not None:
            del self.requests[oldest]
            self.forgotten += 1


def request_of(event: CloudEvent) -> str:
    """The id of the request that a lifecycle event is about; empty if it names none."""
    data: Any = event.get_data()
    found = data.get("id") if isinstance(data, dict) else None
    return found if isinstance(found, str) else event.get_subject() or ""


def phase_of(event: CloudEvent) -> str | None:
    """The last word of a lifecycle event's type; None for an event of another type."""
    prefix, _, word = event.get_type().rpartition(".")
    return word if prefix == JOB_TYPE else None


def detail_of(event: CloudEvent) -> Mapping[str, Any]:
    """`data.detail` of a lifecycle event; empty if there is none."""
    data: Any = event.get_data()
    detail = data.get("detail") if isinstance(data, dict) else None
    return detail if isinstance(detail, dict) else {}
