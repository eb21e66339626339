"""What lifecycle events tell about requests, folded into one state each. Pure: reads no broker, draws nothing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
from cloudevents.core.v1.event import CloudEvent

from events.names import JOB_TYPE
from events.phases import LAST, Phase
from handler.commands.showing.output import amount
from handler.commands.showing.reading import Heard

_RESULT_LENGTH = 200


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


def sentence(phase: str, detail: Mapping[str, Any]) -> str:
    """What a phase's detail says, on one line."""
    error = detail.get("error")
    if phase in _WAITS:
        return ", ".join(_WAITS[phase](detail))
    match phase:
        case Phase.CREATED:
            return f"Job {detail.get('namespace')}/{detail.get('jobName')}"
        case Phase.STARTED:
            node = f" on {detail['node']}" if detail.get("node") else ""
            return f"pod {detail.get('podName')}{node}"
        case Phase.PROGRESS:
            return ", ".join([*_counts(detail), *_used(detail)])
        case Phase.SUCCEEDED:
            return ", ".join([*_took(detail), *_results(detail)])
        case Phase.FAILED:
            return ", ".join([*_took(detail), _failure(detail)])
        case Phase.RETRYING:
            at = detail.get("nextAttemptAt")
            return ", ".join([error_text(error, None), *([f"next attempt at {at}"] if at else [])])
        case _:
            return error_text(error, None) if error else _who(detail)


_REASONS = {
    "limit": "too many run",
    "priority": "others go first",
    "exclusive": "something runs that it must not run beside",
    "dependencies": "requests that it depends on have not ended",
    "runAt": "its time has not come",
    "retryDelay": "the time of its next attempt has not come",
    "kueue": "Kueue has not admitted it",
}
"""For people, by `reason` of a `queued` event."""


def _queued(detail: Mapping[str, Any]) -> list[str]:
    reason, place = str(detail.get("reason", "")), detail.get("position")
    # Of the cluster alone more is known of times and requests, and less of the others in the queue.
    more = [f"until {detail['until']}"] if detail.get("until") else []
    more += [f"waits for {', '.join(map(str, detail['requests']))}"] if detail.get("requests") else []
    return [_REASONS.get(reason, reason), *([f"place {place}"] if place else []), *more]


def _failure(detail: Mapping[str, Any]) -> str:
    """The end of the log says more than Kubernetes, which counted attempts."""
    error = detail.get("error")
    tail = str(detail.get("logTail") or "").strip().splitlines()
    if isinstance(error, dict) and error.get("errorCode") == "JOB_EXECUTION_FAILED" and tail:
        code = detail.get("exitCode")
        return tail[-1] if code is None else f"exit {code}: {tail[-1]}"
    return error_text(error, detail.get("exitCode"))


def error_text(error: object, exit_code: object) -> str:
    """`CODE (exit 3): message`."""
    if not isinstance(error, dict):
        return ""
    code = str(error.get("errorCode", ""))
    if exit_code is not None:
        code = f"{code} (exit {exit_code})"
    message = str(error.get("message", "")).strip()
    return f"{code}: {message}" if message else code


def _counts(detail: Mapping[str, Any]) -> list[str]:
    if "succeeded" not in detail:
        return []
    total = f" of {detail['total']}" if detail.get("total") else ""
    failed = [f"{detail['failed']} failed"] if detail.get("failed") else []
    return [f"{detail['succeeded']}{total} done", *failed]


def _used(detail: Mapping[str, Any]) -> list[str]:
    cpu, memory = detail.get("cpu"), detail.get("memory")
    return [amount(cpu, memory)] if isinstance(cpu, int | float) and isinstance(memory, int) else []


def _took(detail: Mapping[str, Any]) -> list[str]:
    seconds = detail.get("duration")
    return [f"{seconds:g} s"] if isinstance(seconds, int | float) else []


def _results(detail: Mapping[str, Any]) -> list[str]:
    several = detail.get("results")
    if isinstance(several, list):
        return [f"{len(several)} results"]
    value = detail.get("result")
    if value is None:
        return []
    text = value.strip() if isinstance(value, str) else orjson.dumps(value).decode()
    return [f"result {text if len(text) <= _RESULT_LENGTH else text[:_RESULT_LENGTH] + '...'}"]


def _recurs(detail: Mapping[str, Any]) -> list[str]:
    at, runs = detail.get("nextRun"), detail.get("runs")
    told = [str(detail.get("schedule"))]
    told += [f"first run at {at}"] if at else []
    return told if runs is None else [*told, f"{runs} runs"]


def _who(detail: Mapping[str, Any]) -> str:
    return f"by {detail['by']}" if detail.get("by") else ""


_WAITS: Mapping[str, Callable[[Mapping[str, Any]], list[str]]] = {
    Phase.QUEUED: _queued,
    Phase.SCHEDULED: _recurs,
    Phase.UNSCHEDULED: _recurs,
}
"""The phases in which nothing has happened yet."""
