"""What lifecycle events tell about requests, folded into one state each. Pure: reads no broker, draws nothing."""

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
    """One request as far as its events have told. Of `progress` there may be one each minute: the last one is kept."""

    id: str
    service: str = ""
    phases: list[str] = field(default_factory=list)
    detail: Mapping[str, Any] = field(default_factory=dict)
    seen: set[tuple[str, str]] = field(default_factory=set)
    advanced: tuple[str, str] | None = None
    first: datetime | None = None
    last: datetime | None = None

    @property
    def phase(self) -> str:
        """The last one, or `published` before any event."""
        return self.phases[-1] if self.phases else "published"

    @property
    def ended(self) -> bool:
        """Nothing more will come."""
        return self.phase in LAST

    @property
    def exit_code(self) -> int:
        """What a command that waited for this request ends with: the container's code if it failed with one, else 1."""
        if self.phase in (Phase.SUCCEEDED, Phase.UNSCHEDULED):
            return 0
        code = self.detail.get("exitCode")
        return code if self.phase == Phase.FAILED and isinstance(code, int) and 0 < code < 256 else 1


class Board:
    """The requests seen so far, in the order they appeared. Events that came before are not counted again.

    Whoever watches for weeks keeps no more than `limit` of them: the oldest that ended are `forgotten` (a count).
    """

    def __init__(self, *, limit: int = 10_000) -> None:
        self.requests: dict[str, Progress] = {}
        self.forgotten = 0
        self._limit = limit

    def expect(self, request_id: str) -> Progress:
        """Show this request although no event tells of it yet."""
        return self.requests.setdefault(request_id, Progress(id=request_id))

    def take(self, heard: Heard) -> Progress | None:
        """Fold an event in. None when it is no lifecycle event of a request, or a repeat."""
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
    """The id of the request that a lifecycle event is about; empty when it names none."""
    data: Any = event.get_data()
    found = data.get("id") if isinstance(data, dict) else None
    return found if isinstance(found, str) else event.get_subject() or ""


def phase_of(event: CloudEvent) -> str | None:
    """The last word of a lifecycle event's type; None for an event of another type."""
    prefix, _, word = event.get_type().rpartition(".")
    return word if prefix == JOB_TYPE else None


def detail_of(event: CloudEvent) -> Mapping[str, Any]:
    """`data.detail`; nothing where there is none."""
    data: Any = event.get_data()
    detail = data.get("detail") if isinstance(data, dict) else None
    return detail if isinstance(detail, dict) else {}
