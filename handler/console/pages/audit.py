"""The page of the audit: who asked for what, and what came of it."""

from typing import Any

from aiohttp import web

from events.request.control import ACCEPTED, REJECTED
from handler.console.http.keys import BACKEND, BASE
from handler.console.http.parameters import query_of
from handler.console.pages.rendering import Urls, render
from handler.console.views.audit import AuditQuery, audit_view

SPANS = {"": "any time", "1h": "hour", "24h": "24 hours", "7d": "7 days", "30d": "30 days"}
"""Choices of `since`."""
VERBS = ("cancel", "suspend", "resume", "run", "replay", "drop")
_FILTERS = ("actor", "verb", "request", "outcome", "since", "until")


class PageQuery(AuditQuery):
    """As of the JSON."""


def routes() -> list[web.RouteDef]:
    """`/audit`."""
    return [web.get("/audit", _audit)]


async def _audit(request: web.Request) -> web.StreamResponse:
    query = query_of(request, PageQuery)
    page = await audit_view(request.app[BACKEND], query)
    given: dict[str, Any] = {name: value for name in _FILTERS if (value := getattr(query, name))}
    urls = Urls(request.app[BASE])
    return render(
        request,
        "audit.html",
        asked=query,
        filtered=bool(given),
        newest=urls("/audit", **given) if query.after else None,
        older=urls("/audit", **given, after=page.next) if page.next else None,
        outcomes=(ACCEPTED, REJECTED),
        page=page,
        reload=urls("/audit", **given),
        spans=SPANS if (query.since or "") in SPANS else {query.since: query.since, **SPANS},
        verbs=VERBS if query.verb in (None, *VERBS) else (query.verb, *VERBS),
    )
