"""A list of requests, as it changes."""

import time
from typing import Annotated

from aiohttp import web
from msgspec.structs import replace
from pydantic import Field

from handler.console.http.parameters import query_of
from handler.console.live.asked import Resuming, place_asked
from handler.console.live.hub import HUB
from handler.console.views.requests import Filters
from handler.console.views.rows import row_of
from handler.history.base import Request, Wanted

_ROUND = 60.0
"""Seconds; lists of the last day that were opened in the same minute are the same list."""


class StreamQuery(Filters, Resuming):
    """Which list, and from where on."""

    limit: Annotated[int, Field(ge=1, le=200)] | None = Field(
        None, description="Of each message, only the newest so many: what a list of that length needs."
    )


def written(request: Request) -> bytes:
    """A row as lists have it, as JSON."""
    return row_of(request, now=time.time()).model_dump_json(by_alias=True).encode()


async def stream_list(request: web.Request) -> web.StreamResponse:
    """Messages `requests` and `gone`; `resync` where something was missed. Raises `Problem`, `StoreUnavailable`."""
    query, hub = query_of(request, StreamQuery), request.app[HUB]
    after = place_asked(request, query)
    wanted = _shared(query.wanted(now=time.time()))
    hub.streams.require_room()
    async with hub.listening(wanted, query.limit, after) as listener:
        return await hub.streams.serve(request, listener)


def _shared(wanted: Wanted) -> Wanted:
    if wanted.newer is None:
        return wanted
    return replace(wanted, newer=wanted.newer // _ROUND * _ROUND)
