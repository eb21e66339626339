"""The page of schedules: when they run, how their runs ended, and what can be asked of them."""

from aiohttp import web

from handler.console.http.keys import BACKEND
from handler.console.http.parameters import query_of
from handler.console.pages.rendering import render
from handler.console.views.asked import Asked
from handler.console.views.models import Schedule
from handler.console.views.schedules import schedules_view

SHOWN = 60
"""Schedules on a page: each has forms."""


class PageQuery(Asked):
    """`q`: the beginning of ids. `done`: the id of the event that an action on this page has published."""

    q: str | None = None
    page: int = 1
    done: str | None = None


def routes() -> list[web.RouteDef]:
    """`/schedules`."""
    return [web.get("/schedules", _schedules)]


async def _schedules(request: web.Request) -> web.StreamResponse:
    query = query_of(request, PageQuery)
    found = await schedules_view(request.app[BACKEND])
    chosen = [one for one in found.schedules if one.id.startswith(query.q or "")]
    begin = (max(query.page, 1) - 1) * SHOWN
    return render(
        request,
        "schedules.html",
        asked=query,
        chosen=chosen[begin : begin + SHOWN],
        count=len(chosen),
        done=query.done,
        found=found,
        more=len(chosen) > begin + SHOWN,
        page=max(query.page, 1),
        state=state_of,
    )


def state_of(schedule: Schedule) -> tuple[str, str]:
    """Style and words of what it does."""
    if schedule.over:
        return "", "◌ over"
    return ("badge-warn", "‖ suspended") if schedule.suspended else ("badge-good", "◷ runs")
