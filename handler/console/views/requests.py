"""Requests as a list, and how many there are of each kind."""

import time
from typing import Annotated

from pydantic import Field

from events.phases import Phase
from handler.console.backend import Backend
from handler.console.views.asked import Asked, Time, require_order, seconds_of
from handler.console.views.models import RequestPage, Summary
from handler.console.views.rows import row_of
from handler.history.base import BadCursor, Wanted
from handler.operations.times import is_ago

HELD_MOST = 1000
"""Requests of a phase are counted to here."""
DAY = 86_400
FRESH_SECONDS = 1.0
"""Counts are taken once for all who look within this time."""
_HELD = {
    "running": (Phase.STARTED, Phase.PROGRESS),
    "waiting": (Phase.CREATED, Phase.QUEUED, Phase.RETRYING, Phase.RESUMED),
    "stalled": (Phase.STALLED,),
    "suspended": (Phase.SUSPENDED,),
}
_PHASES = tuple(phase for phases in _HELD.values() for phase in phases)
_MARK = "~"
"""Stands in a page token between that of the history and the times that the first page was asked with."""


class Filters(Asked):
    """Which requests; what is not given is not asked for."""

    q: str | None = Field(default=None, description="The beginning of the id.")
    phase: tuple[Phase, ...] = Field(default=(), description="Any of these.")
    service: str | None = None
    tag: str | None = None
    id: str | None = None
    source: str | None = None
    since: Time | None = Field(default=None, description="Only those that changed at this time or later.")
    until: Time | None = Field(default=None, description="Only those that changed before this time.")

    def wanted(self, *, now: float) -> Wanted:
        """The question to the history. Raises `Problem` for times between which nothing is."""
        newer, older = seconds_of(self.since, now=now), seconds_of(self.until, now=now)
        require_order(newer, older)
        return Wanted(
            phases=self.phase,
            service=self.service,
            tag=self.tag,
            id=self.id,
            source=self.source,
            text=self.q,
            newer=newer,
            older=older,
        )


class RequestsQuery(Filters):
    """Which page of them."""

    limit: Annotated[int, Field(ge=1, le=200)] = 50
    after: str | None = Field(default=None, description="`next` of the page before.")


async def requests_view(backend: Backend, query: RequestsQuery, *, now: float | None = None) -> RequestPage:
    """A page of requests. Raises `Problem`, `BadCursor`, `StoreUnavailable`."""
    now = time.time() if now is None else now
    asked, after = _begun(query, now=now)
    wanted = query.wanted(now=asked)
    position = await backend.reader.last()
    page = await backend.reader.page(wanted, limit=query.limit, after=after, results=False)
    return RequestPage(
        requests=[row_of(request, now=now) for request in page.requests],
        next=None if page.next is None else _token(query, page.next, asked),
        position=position,
    )


async def summary_view(backend: Backend) -> Summary:
    """Counts of the last 24 hours, and of now or a moment ago. Raises `StoreUnavailable`."""
    return await backend.answers.get("summary", lambda: summed_up(backend, now=time.time()), fresh=FRESH_SECONDS)


async def summed_up(backend: Backend, *, now: float) -> Summary:
    """Counts of the 24 hours before `now`, and of what is. Raises `StoreUnavailable`."""
    totals = await backend.reader.totals(newer=now - DAY)
    held = await backend.reader.held(_PHASES, most=HELD_MOST)
    sums = {name: sum(held.get(phase, 0) for phase in phases) for name, phases in _HELD.items()}
    return Summary(
        totals={str(phase): n for phase, n in totals.items()},
        now={name: min(n, HELD_MOST) for name, n in sums.items()},
        most=HELD_MOST,
    )


def _begun(query: RequestsQuery, *, now: float) -> tuple[float, str | None]:
    """When the first page was asked for, and the history's token: `24h` means the same on each page."""
    if query.after is None or not _is_relative(query):
        return round(now * 1000) / 1000, query.after
    token, mark, begun = query.after.partition(_MARK)
    if not mark or not begun.isascii() or not begun.isdigit() or len(begun) > len(str(int(now * 1000))):
        raise BadCursor("not a page token of this question")
    return int(begun) / 1000, token


def _token(query: RequestsQuery, token: str, asked: float) -> str:
    return f"{token}{_MARK}{round(asked * 1000)}" if _is_relative(query) else token


def _is_relative(query: RequestsQuery) -> bool:
    return any(is_ago(text) for text in (query.since, query.until) if text)
