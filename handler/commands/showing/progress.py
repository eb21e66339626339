"""Folds lifecycle events into the state of each request. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cloudevents.core.v1.event import CloudEvent

from events.cloudevent.values import data_as_written
from events.names import JOB_TYPE
from events.phases import LAST, Phase
from handler.commands.showing.reading import Heard

Key = tuple[str, str]
"""Source and id of a request. The source is empty while no event has named it: earlier versions never did."""
_MADE = (Phase.CREATED, Phase.SCHEDULED)


@dataclass(slots=True, kw_only=True)
class Progress:
    """A request as its events so far describe it."""

    id: str
    source: str = ""
    shared: bool = False
    """Whether another source uses this id, too."""
    asked: set[str] = field(default_factory=set)
    """Ids of the events that ask for it, where the command that shows it published them; else empty."""
    made_by: set[str] = field(default_factory=set)
    """Ids of the events that made it."""
    refused: set[str] = field(default_factory=set)
    """Those of `asked` that were rejected."""
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
    def name(self) -> str:
        """What people know it by: its id and, where others use that too, its source."""
        return f"{self.id} ({self.source})" if self.shared else self.id

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
            return 1 if self.refused else 0
        code = self.detail.get("exitCode")
        return code if self.phase == Phase.FAILED and isinstance(code, int) and 0 < code < 256 else 1

    def ends_with(self, rejected: CloudEvent) -> bool:
        """Whether this rejection is its end. It is not if another event was refused, and the request goes on."""
        if not self.asked:
            return all(phase == Phase.REJECTED for phase in self.phases)
        refused = rejected.get_extension("causationid")
        # An event that has made the request may come again, and be refused then.
        if refused in self.asked - self.made_by:
            self.refused.add(refused)
        return self.asked <= self.refused


class Board:
    """The requests seen so far, in the order they appeared. Repeated events make no difference.

    An event that names no source, from an earlier version, is about the request of its id, whatever source that has.

    At most `limit` requests are kept, as a `watch` may run for weeks: the oldest that ended are dropped, and counted in
    `forgotten`.
    """

    def __init__(self, *, limit: int = 10_000) -> None:
        self.requests: dict[Key, Progress] = {}
        self.forgotten = 0
        self._limit = limit
        self._sources: dict[str, list[str]] = {}

    def expect(self, request_id: str, *, source: str, asked: str | None = None) -> Progress:
        """Show this request although no event tells of it yet. `asked`: the id of an event that asks for it."""
        progress = self._at(source, request_id)
        if asked is not None:
            progress.asked.add(asked)
        return progress

    def find(self, event: CloudEvent) -> Progress | None:
        """The request that a lifecycle event is about; None if it is not here."""
        request_id, source = request_of(event), source_of(event)
        sources = self._sources.get(request_id, [])
        if source is None:
            same = [self.requests[one, request_id] for one in sources]
            cause = event.get_extension("causationid")
            return next((progress for progress in same if cause in progress.asked), same[0] if same else None)
        if source not in sources and "" in sources:
            # Events without a source have told of it so far.
            self._name(request_id, source)
        return self.requests.get((source, request_id))

    def take(self, heard: Heard) -> Progress | None:
        """Fold an event in. None for an event that is repeated, or is not a lifecycle event of a request.

        A rejection that is not the end of the request (`is_aside`) does not change it.
        """
        event = heard.event
        phase = phase_of(event)
        name = (event.get_source(), event.get_id())
        if phase is None:
            return None
        progress = self.find(event) or self._at(source_of(event) or "", request_of(event))
        if name in progress.seen or name == progress.advanced:
            return None
        if phase == Phase.REJECTED and not progress.ends_with(event):
            progress.seen.add(name)
            return progress
        self._fold(progress, heard, phase, name)
        if len(self.requests) > self._limit:
            self._forget()
        return progress

    def _fold(self, progress: Progress, heard: Heard, phase: str, name: tuple[str, str]) -> None:
        event = heard.event
        again = phase == progress.phase == Phase.PROGRESS
        if phase == Phase.PROGRESS:
            progress.advanced = name
        else:
            progress.seen.add(name)
        if phase in _MADE and isinstance(cause := event.get_extension("causationid"), str):
            progress.made_by.add(cause)
        detail = detail_of(event)
        service = detail.get("service")
        progress.service = service if isinstance(service, str) else progress.service
        progress.phases += [] if again else [phase]
        progress.detail = detail
        progress.first = progress.first or heard.at
        progress.last = heard.at

    def drop(self, progress: Progress) -> None:
        """Do not show this request any more."""
        del self.requests[progress.source, progress.id]
        sources = self._sources[progress.id]
        sources.remove(progress.source)
        if not sources:
            del self._sources[progress.id]

    def _at(self, source: str, request_id: str) -> Progress:
        """The request of this source and id; a new one if there is none."""
        found = self.requests.get((source, request_id))
        if found is None:
            sources = self._sources.setdefault(request_id, [])
            found = self.requests[source, request_id] = Progress(id=request_id, source=source)
            sources.append(source)
            for one in sources if len(sources) > 1 else ():
                self.requests[one, request_id].shared = True
        return found

    def _name(self, request_id: str, source: str) -> None:
        """Give the request without a source this one."""
        progress = self.requests[source, request_id] = self.requests.pop(("", request_id))
        progress.source = source
        self._sources[request_id] = [one or source for one in self._sources[request_id]]

    def _forget(self) -> None:
        oldest = next((progress for progress in self.requests.values() if progress.ended), None)
        if oldest is not None:
            self.drop(oldest)
            self.forgotten += 1


def is_aside(event: CloudEvent, progress: Progress) -> bool:
    """Whether the event, which the board has taken, says only that another event was refused: the request goes on."""
    return phase_of(event) == Phase.REJECTED and progress.phase != Phase.REJECTED


def source_of(event: CloudEvent) -> str | None:
    """The source of the request that a lifecycle event is about; None in events of earlier versions."""
    found = event.get_extension("requestsource")
    return found if isinstance(found, str) and found else None


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
    data: Any = data_as_written(event) if isinstance(event.get_data(), dict) else {}
    detail = data.get("detail")
    return detail if isinstance(detail, dict) else {}
