"""The page of one request: why it is as it is first, then what happened, its pods, its log, its result."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from handler.console.backend import Backend
from handler.console.http.keys import BACKEND
from handler.console.http.parameters import number_of, query_of
from handler.console.pages.rendering import render
from handler.console.pages.spans import Span, spans_of
from handler.console.pages.wording import MAX_SHOWN, as_json
from handler.console.views.asked import Asked
from handler.console.views.logs import LogQuery, log_at, place_in
from handler.console.views.models import EventPage, LogText, Pod, PodList, RequestDetail, Told
from handler.console.views.pods import pods_view
from handler.console.views.request import EventsQuery, events_view, request_view
from handler.operations.records import detail_of
from k8s.base import KubernetesError

FIRST, FINAL = 30, 120
"""Events that are shown from the beginning and from the end; those between are left out."""
READ = 2000
"""Events that are read for this."""
MAX_LOG = 64 * 1024
"""Characters of a log on the page: its end."""
_TONES: Mapping[str, str] = {
    **dict.fromkeys(("failed", "rejected"), "bad"),
    **dict.fromkeys(("retrying", "stalled", "suspended"), "warn"),
    **dict.fromkeys(("started", "progress", "resumed"), "run"),
    "succeeded": "good",
}
_OUTLOOKS: Mapping[str, str] = {
    "created": "Accepted: its Job is made, and no pod has started yet.",
    "queued": "Waits for its turn.",
    "started": "Runs.",
    "progress": "Runs.",
    "resumed": "Goes on: its pods start again.",
    "suspended": "Is held until it is resumed.",
    "succeeded": "Did what was asked for.",
    "scheduled": "Runs whenever its time comes.",
    "unscheduled": "Has come to its end: it runs no more.",
    "cancelled": "Was cancelled.",
}
"""What a phase means, where its event says nothing more."""


class PageQuery(Asked):
    """Whose log is shown. `done`: the id of the event that an action on this page has published."""

    pod: str | None = None
    container: str | None = None
    done: str | None = None


def routes() -> list[web.RouteDef]:
    """`/requests/{number}`. The raw log beside it is the API's."""
    return [web.get(r"/requests/{number:\d{1,18}}", _request)]


async def _request(request: web.Request) -> web.StreamResponse:
    backend, query = request.app[BACKEND], query_of(request, PageQuery)
    number = number_of(request)
    it = await request_view(backend, number)
    events, pods = await _events(backend, number), await pods_view(backend, number)
    log = await _log(backend, pods.pods, query) if any(pod.containers for pod in pods.pods) else None
    return render(request, "request.html", done=query.done, **values_of(it, events, pods, log))


async def _events(backend: Backend, number: int) -> EventPage:
    """All events, up to a bound; `next` says that there are more."""
    found: list[Told] = []
    page = await events_view(backend, number, EventsQuery(after=0, limit=200))
    while page.next is not None and len(found) < READ:
        found += page.events
        page = await events_view(backend, number, EventsQuery(limit=200, after=page.next))
    return EventPage(events=[*found, *page.events], next=page.next)


async def _log(backend: Backend, pods: Sequence[Pod], query: PageQuery) -> LogText:
    """The log that is asked for, by default of the last pod's first container. What fails is said in its place."""
    asked = LogQuery(pod=query.pod, container=query.container, tail=None)
    try:
        return await log_at(backend, place_in(pods, asked), asked)
    except KubernetesError as error:
        note = f"The cluster broke off: {error}"
        return LogText(pod=query.pod or "", container=query.container or "", origin="none", text="", note=note)


def values_of(it: RequestDetail, events: EventPage, pods: PodList, log: LogText | None) -> dict[str, Any]:
    """What the template names."""
    told = events.events
    bar = spans_of(told, pods.pods, ended=it.terminal or bool(told and told[-1].phase in ("rejected", "unscheduled")))
    return {
        "it": it,
        "events": events,
        "pods": pods,
        "log": log,
        "bar": bar,
        "sums": _sums(bar),
        "first": told if len(told) <= FIRST + FINAL else told[:FIRST],
        "left_out": max(0, len(told) - FIRST - FINAL),
        "final": told[-FINAL:],
        "tone": _TONES.get(it.phase, "wait"),
        "outlook": _outlook(it, told),
        "message": _message(it),
        "last_words": _last_words(told),
        "result": None if it.result is None else result_text(it.result),
        "most": MAX_SHOWN,
        "log_most": MAX_LOG,
    }


def _outlook(it: RequestDetail, told: Sequence[Told]) -> str:
    """Why it is as it is, else what its phase means; of what runs, also what its last event says."""
    if it.phase == "suspended" and it.says:
        return f"Was suspended {it.says}, and is held until it is resumed."
    if it.says:
        return it.says
    words, said = _OUTLOOKS.get(it.phase, ""), told[-1].says if told else ""
    return f"{words.removesuffix('.')}: {said}" if said and it.phase in ("started", "progress") else words


def result_text(result: Any) -> str:
    """A result as people read it: text as it is, all else as indented JSON."""
    return result if isinstance(result, str) else as_json(result)


def _message(it: RequestDetail) -> str | None:
    """The error's, unless the line above it says it."""
    message = None if it.error is None else it.error.message
    return None if message is None or message.strip() in it.says or it.says in message else message


def _sums(bar: Sequence[Span]) -> list[tuple[str, str, float]]:
    """Colour, word and seconds of each state, the longest first."""
    sums: Counter[tuple[str, str]] = Counter()
    for span in bar:
        sums[span.kind, span.word] += span.seconds  # type: ignore[assignment]
    return [(kind, word, float(seconds)) for (kind, word), seconds in sums.most_common()]


def _last_words(told: Sequence[Told]) -> str | None:
    """The end of the log, as the event of its failure has it."""
    for event in reversed(told):
        if event.phase in ("failed", "retrying"):
            return _tail_of(event.event)
        if event.phase in ("succeeded", "started"):
            return None
    return None


def _tail_of(event: Any) -> str | None:
    text = detail_of(event).get("logTail")
    return text if isinstance(text, str) and text.strip() else None
