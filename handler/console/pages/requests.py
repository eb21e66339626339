"""The first page: requests, those that changed last on top, with what the last day came to."""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from events.phases import Phase
from handler.console.backend import Backend
from handler.console.http.keys import BACKEND, BASE
from handler.console.http.parameters import query_of
from handler.console.pages.rendering import Urls, render
from handler.console.views.models import RequestRow, Summary
from handler.console.views.requests import RequestsQuery, requests_view, summary_view
from handler.history.base import StoreUnavailable

SPANS = {"": "any time", "1h": "an hour", "24h": "24 hours", "7d": "7 days", "30d": "30 days"}
"""Choices of `since`."""
_FILTERS = ("q", "phase", "service", "tag", "id", "source", "since", "until")
_RUNNING = (Phase.STARTED, Phase.PROGRESS)
BLANK = RequestRow(number=0, id="", source="", cause="", phase="created", reason=None, says="", duration=None)
"""What a row that comes later is made from."""


class PageQuery(RequestsQuery):
    """As of the JSON. `done`: the id of the event that an action on this page has published."""

    done: str | None = None


def routes() -> list[web.RouteDef]:
    """`/`."""
    return [web.get("/", _requests)]


async def _requests(request: web.Request) -> web.StreamResponse:
    backend, query = request.app[BACKEND], query_of(request, PageQuery)
    page = await requests_view(backend, query)
    urls, given = Urls(request.app[BASE]), _given(query)
    return render(
        request,
        "requests.html",
        asked=query,
        blank=BLANK,
        cards=await _cards(backend, urls),
        chips=list(_chips(given, urls)),
        done=query.done,
        follows=_follows(query, given),
        newest=urls("/", **given) if query.after else None,
        older=urls("/", **given, after=page.next) if page.next else None,
        page=page,
        phases=[phase.value for phase in Phase],
        spans=SPANS if (query.since or "") in SPANS else {query.since: query.since, **SPANS},
    )


def _given(query: PageQuery) -> dict[str, Any]:
    """The filters that are on, by name."""
    return {name: value for name in _FILTERS if (value := getattr(query, name))}


def _chips(given: Mapping[str, Any], urls: Urls) -> Iterator[dict[str, str]]:
    """Each filter, with the address of the same page without it."""
    for name, value in given.items():
        rest = {other: kept for other, kept in given.items() if other != name}
        words = " or ".join(value) if isinstance(value, tuple) else value
        yield {"name": {"q": "id begins with"}.get(name, name), "value": words, "href": urls("/", **rest)}


def _follows(query: PageQuery, given: Mapping[str, Any]) -> str | None:
    """The stream of what changes, for the first page of an open end."""
    if query.after or query.until:
        return None
    asked = urlencode({name: value for name, value in given.items() if name != "since"}, doseq=True)
    return f"/api/v1/stream{'?' if asked else ''}{asked}"


async def _cards(backend: Backend, urls: Urls) -> list[dict[str, Any]]:
    """Numbers at a glance. Without them the list is worth showing, too."""
    try:
        found = await summary_view(backend)
    except StoreUnavailable:
        found = None
    ended = [
        _ended(found, style, glyph, phase, urls)
        for style, glyph, phase in (("good", "✓", Phase.SUCCEEDED), ("bad", "✗", Phase.FAILED))
    ]
    return [
        *ended,
        _held(found, "run", "running", "▶", urls("/", phase=_RUNNING)),
        _held(found, "wait", "waiting", "◷", urls("/queue")),
        _held(found, "warn", "stalled", "!", urls("/", phase="stalled")),
    ]


def _ended(found: Summary | None, style: str, glyph: str, phase: str, urls: Urls) -> dict[str, Any]:
    count = None if found is None else found.totals.get(phase, 0)
    words = f"{glyph} {phase} in 24 h"
    return {"style": style, "name": phase, "count": _count(count), "words": words, "href": urls("/", phase=phase)}


def _held(found: Summary | None, style: str, name: str, glyph: str, href: str) -> dict[str, Any]:
    count = None if found is None else found.now.get(name, 0)
    more = "+" if found is not None and count == found.most else ""
    return {
        "style": style,
        "name": name,
        "count": f"{_count(count)}{more}",
        "words": f"{glyph} {name} now",
        "href": href,
    }


def _count(count: int | None) -> str:
    return "?" if count is None else f"{count:,}"
