"""One request: what it is, what happened to it, which pods it has."""

import re
import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field

from events.phases import LAST, Phase
from handler.console.backend import Backend
from handler.console.http.problems import Problem
from handler.console.views.asked import Asked, Number
from handler.console.views.models import EventPage, RequestDetail, RequestRow, Told
from handler.console.views.rows import row_of
from handler.history.base import Reader, Request, Told as Recorded, Wanted
from handler.operations.records import detail_of, event_document, moment, result_of
from handler.operations.sentences import sentence

RUNS = 10
"""Of a schedule, that are shown with it."""
_MAY = {
    Phase.SCHEDULED: ("suspend", "resume", "cancel"),
    Phase.SUSPENDED: ("resume", "cancel"),
    **dict.fromkeys(LAST, ("again",)),
}
_RUNNING = ("suspend", "cancel")
_TRACE = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}.*", re.ASCII)


class EventsQuery(Asked):
    """Which events of a request."""

    after: Number = Field(default=0, description="`next` of the page before.")
    limit: Annotated[int, Field(ge=1, le=200)] = 100


async def request_of(backend: Backend, number: int) -> Request:
    """Raises `Problem` if there is none, and `StoreUnavailable`."""
    found = await backend.reader.request(number)
    if found is None:
        raise Problem(404, "NOT_FOUND", f"The history has no request with number {number}.")
    return found


async def request_view(backend: Backend, number: int, *, now: float | None = None) -> RequestDetail:
    """A request whole. Raises `Problem` if there is none, and `StoreUnavailable`."""
    now, reader = time.time() if now is None else now, backend.reader
    position = await reader.last()
    request = await request_of(backend, number)
    queued = await _queued(reader, request)
    place = queued.get("position")
    row = row_of(request, now=now, brief=False).model_dump()
    return RequestDetail(
        **row | ({"says": sentence(Phase.QUEUED, queued)} if queued else {}),
        tags=list(await reader.tags(number)),
        result=result_of(request),
        trace_id=_trace_id(await reader.events(number, limit=1)),
        place=place if isinstance(place, int) else None,
        runs=await _runs(reader, request, now=now),
        may=list(_MAY.get(request.phase, _RUNNING)),
        position=position,
    )


async def events_view(backend: Backend, number: int, query: EventsQuery) -> EventPage:
    """Events of a request, a page of them. Raises `Problem` if there is no such request, and `StoreUnavailable`."""
    await request_of(backend, number)
    found = await backend.reader.events(number, after=query.after, limit=query.limit + 1)
    shown = found[: query.limit]
    more = len(found) > len(shown)
    return EventPage(events=[told_of(one) for one in shown], next=shown[-1].position if more else None)


def told_of(recorded: Recorded) -> Told:
    """A recorded event as it is shown."""
    event = event_document(recorded)
    return Told(
        position=recorded.position,
        id=recorded.id,
        phase=recorded.phase,
        time=moment(recorded.time),
        says=sentence(recorded.phase, detail_of(event)),
        event=event,
    )


async def _queued(reader: Reader, request: Request) -> Mapping[str, Any]:
    """What its last `queued` event says, while it waits; else nothing."""
    if request.phase is not Phase.QUEUED:
        return {}
    last = await reader.latest(request.pk, Phase.QUEUED)
    return {} if last is None else detail_of(event_document(last))


def _trace_id(first: Sequence[Recorded]) -> str | None:
    """Of the trace that the request was part of, as W3C Trace Context has it in `traceparent`."""
    event = event_document(first[0]) if first else None
    given = event.get("traceparent") if isinstance(event, dict) else None
    found = _TRACE.fullmatch(given) if isinstance(given, str) else None
    return None if found is None else found[1]


async def _runs(reader: Reader, request: Request, *, now: float) -> list[RequestRow]:
    if request.phase not in (Phase.SCHEDULED, Phase.UNSCHEDULED):
        return []
    wanted = Wanted(text=f"{request.key.id}@", source=request.key.source)
    page = await reader.page(wanted, limit=RUNS, results=False)
    return [row_of(run, now=now) for run in page.requests]
