"""One request, as it changes: its events as they are recorded, and what they have made of it."""

import asyncio
import time

from aiohttp import web

from handler.console.backend import Backend
from handler.console.http.keys import BACKEND
from handler.console.http.parameters import number_of, query_of
from handler.console.live.asked import Resuming, place_asked
from handler.console.live.hub import HUB
from handler.console.live.messages import message, resync
from handler.console.live.places import Place, is_known, newest, place_at
from handler.console.views.request import request_of, told_of
from handler.console.views.rows import row_of

_EVENTS = 100
"""That are read, and sent, at once."""


async def stream_request(request: web.Request) -> web.StreamResponse:
    """Messages `told` and `request`. Raises `Problem` if there is no such request, and `StoreUnavailable`."""
    query, hub, backend = query_of(request, Resuming), request.app[HUB], request.app[BACKEND]
    number = number_of(request)
    await request_of(backend, number)
    after = place_asked(request, query)
    hub.streams.require_room()
    end = await newest(backend.reader)
    with hub.watching(number) as changed:
        feed = _Story(backend, number, changed, end if after is None else after)
        if after is not None and (after.position > end.position or not await is_known(backend.reader, after)):
            feed.start_over(end)
        return await hub.streams.serve(request, feed)


class _Story:
    """What happens to a request: a `Feed`."""

    def __init__(self, backend: Backend, number: int, changed: asyncio.Event, after: Place) -> None:
        self._backend = backend
        self._number = number
        self._changed = changed
        self._place = after
        self._first = b""

    @property
    def place(self) -> str | None:
        return None if self._first else str(self._place)

    def start_over(self, end: Place) -> None:
        """Have the client load the page anew, and go on from the end."""
        self._first, self._place = resync(end), end

    async def next(self) -> bytes | None:
        """None once the request is no more in the record."""
        if self._first:
            first, self._first = self._first, b""
            return first
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                news = await self._news()
            except BaseException:
                # Whoever is cancelled here asks again.
                self._changed.set()
                raise
            if news != b"":
                return news

    async def _news(self) -> bytes | None:
        reader = self._backend.reader
        told = await reader.events(self._number, after=self._place.position, limit=_EVENTS)
        if not told:
            return b""
        found = await reader.request(self._number)
        if found is None:
            return None
        if len(told) == _EVENTS:
            self._changed.set()
        row = row_of(found, now=time.time(), brief=False).model_dump_json(by_alias=True).encode()
        # The row comes first, and without a place: it is sent again if what belongs to it is cut off.
        sent = [message("request", row)]
        for one in told:
            self._place = place_at(one.position, one.id)
            sent.append(message("told", told_of(one).model_dump_json(by_alias=True).encode(), self._place))
        return b"".join(sent)
