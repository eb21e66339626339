"""The page of what waits: stalled requests first, then those that wait by reason and place, then the brokers' lanes."""

from collections.abc import Iterator, Mapping
from typing import Any

from aiohttp import web

from handler.console.http.keys import BACKEND
from handler.console.http.parameters import query_of
from handler.console.pages.rendering import render
from handler.console.views.asked import Asked
from handler.console.views.models import Lane, Queue
from handler.console.views.queue import queue_view

_LANES: Mapping[str, str] = {
    "requests.high": "Requests, high priority",
    "requests": "Requests",
    "requests.low": "Requests, low priority",
    "control": "Commands",
    "dead": "Dead letters",
}
"""What a topic is called."""
SHOWN = 20
"""Requests of a reason on the page; the JSON has more."""


def routes() -> list[web.RouteDef]:
    """`/queue`."""
    return [web.get("/queue", _queue)]


async def _queue(request: web.Request) -> web.StreamResponse:
    query_of(request, Asked)
    queue = await queue_view(request.app[BACKEND])
    return render(request, "queue.html", queue=queue, lanes=list(_lanes(queue)), cards=_cards(queue), shown=SHOWN)


def _lanes(queue: Queue) -> Iterator[dict[str, Any]]:
    """Each lane with its share of the fullest one, from 0 to 100."""
    most = max((lane.ready for lane in queue.lanes), default=0)
    for lane in queue.lanes:
        share = 0 if not lane.ready else max(2, round(100 * lane.ready / most))
        yield {"lane": lane, "name": _LANES.get(lane.topic, lane.topic), "share": share}


def _cards(queue: Queue) -> list[dict[str, Any]]:
    waiting = sum(group.count for group in queue.waiting)
    more = any(group.more and group.count > len(group.requests) for group in queue.waiting)
    dead = [lane for lane in queue.lanes if lane.topic == "dead"]
    return [
        {"style": "wait", "count": f"{waiting:,}{'+' if more and waiting >= 1000 else ''}", "words": "◷ requests wait"},
        {
            "style": "warn" if queue.stalled else "good",
            "count": f"{len(queue.stalled):,}{'+' if queue.more_stalled else ''}",
            "words": "! requests stall",
        },
        {"style": "run", "count": _ready(queue, dead=False), "words": "messages to be taken in"},
        {"style": "bad" if any(lane.ready for lane in dead) else "good", **_dead(dead)},
    ]


def _ready(queue: Queue, *, dead: bool) -> str:
    return f"{sum(lane.ready for lane in queue.lanes if (lane.topic == 'dead') is dead):,}"


def _dead(lanes: list[Lane]) -> dict[str, Any]:
    return {"count": f"{sum(lane.ready for lane in lanes):,}", "words": "✗ dead letters"}
