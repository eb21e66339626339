"""The page of statistics: what the requests of each service came to, and of all of them by the day or hour."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from aiohttp import web
from pydantic import Field

from handler.console.http.keys import BACKEND, BASE
from handler.console.http.parameters import query_of
from handler.console.pages.rendering import Urls, render
from handler.console.views.models import Stats, Sum
from handler.console.views.stats import StatsQuery, stats_view

SPANS: dict[str, dict[str, str]] = {
    "day": {"7d": "7 days", "30d": "30 days", "90d": "90 days"},
    "hour": {"6h": "6 hours", "24h": "24 hours", "3d": "3 days"},
}
"""Choices of `since`, by step."""
_USUAL = {"day": "30d", "hour": "24h"}
WIDTH, HEIGHT = 1000.0, 100.0
"""Of the chart, in its own units."""
STEPS = 75
"""Bars of the chart, and rows of its table, at most: the newest."""


class PageQuery(StatsQuery):
    """As of the JSON."""

    limit: Annotated[int, Field(ge=1, le=200)] = 40


@dataclass(frozen=True, slots=True)
class Part:
    """Of a bar. `style`: its colour."""

    style: str
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Bar:
    """What ended in a day or an hour. `title`: says it in words."""

    x: float
    width: float
    title: str
    parts: Sequence[Part]


def routes() -> list[web.RouteDef]:
    """`/stats`."""
    return [web.get("/stats", _stats)]


async def _stats(request: web.Request) -> web.StreamResponse:
    query = query_of(request, PageQuery)
    stats = await stats_view(request.app[BACKEND], query)
    since = query.since or _USUAL[query.step]
    spans = SPANS["day"] | SPANS["hour"]
    given = {"step": query.step, "since": query.since, "until": query.until}
    return render(
        request,
        "stats.html",
        asked=query,
        bars=list(_bars(stats.steps[:STEPS])),
        cards=_cards(stats),
        given=given,
        since=since,
        spans=spans if since in spans else {since: since, **spans},
        stats=stats,
        steps=stats.steps[:STEPS],
        urls=Urls(request.app[BASE]),
    )


def _cards(stats: Stats) -> list[dict[str, Any]]:
    totals = stats.totals
    ended = sum(totals[phase] for phase in ("succeeded", "failed", "cancelled"))
    share = f" ({100 * totals['failed'] / ended:.1f} %)" if ended else ""
    hours = sum(each.cpu_hours for each in stats.steps)
    return [
        {"style": "wait", "count": f"{totals['created']:,}", "words": "◷ created"},
        {"style": "good", "count": f"{totals['succeeded']:,}", "words": "✓ succeeded"},
        {"style": "bad", "count": f"{totals['failed']:,}", "words": f"✗ failed{share}"},
        {"style": "wait", "count": f"{totals['cancelled']:,}", "words": "⊘ cancelled"},
        {"style": "warn", "count": f"{totals['rejected']:,}", "words": "✗ rejected"},
        {"style": "run", "count": f"{hours:,.1f}", "words": "hours of a core"},
    ]


def _bars(steps: Sequence[Sum]) -> Iterator[Bar]:
    """From the oldest to the newest: what succeeded, on it what was cancelled, on top what failed."""
    most = max((each.succeeded + each.cancelled + each.failed for each in steps), default=0)
    width = WIDTH / max(len(steps), 1)
    for place, each in enumerate(reversed(steps) if most else ()):
        when = each.since[:16].replace("T", " ").removesuffix(" 00:00")
        title = f"{when}: {each.succeeded:,} succeeded, {each.failed:,} failed, {each.cancelled:,} cancelled"
        yield Bar(round(place * width, 1), round(width * 0.8, 1), title, list(_parts(each, most)))


def _parts(each: Sum, most: int) -> Iterator[Part]:
    y = HEIGHT
    for style, count in (("good", each.succeeded), ("off", each.cancelled), ("bad", each.failed)):
        if count:
            # What is there at all is seen.
            height = max(1.5, HEIGHT * count / most)
            y -= height
            yield Part(style, round(y, 1), round(height, 1))
