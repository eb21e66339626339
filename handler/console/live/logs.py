"""A log, as it grows: from the cluster, and where that has it no more, what was kept."""

import asyncio
import base64
import binascii
from collections.abc import AsyncIterator

import msgspec
import orjson
from aiohttp import web

from handler.console.backend import Backend
from handler.console.http.keys import BACKEND
from handler.console.http.parameters import number_of, query_of
from handler.console.http.problems import Problem
from handler.console.live.asked import Resuming, asked, unknown
from handler.console.live.following import Following
from handler.console.live.hub import HUB
from handler.console.live.messages import END, message
from handler.console.views.logbytes import Place
from handler.console.views.logs import LogQuery, place_in
from handler.console.views.pods import pods_of
from handler.console.views.request import request_of
from handler.history.base import Request
from handler.history.logs.bodies import NoLog, kept
from handler.history.logs.stamps import Mark
from handler.history.logs.taking import RENEWED
from k8s.background import beside

LINES = 1000
"""That a stream begins with, at most."""
POD_SECONDS = 2
"""After which a client asks again whether there is a pod."""
_WAITING = 4
"""Messages that wait for a client. After that, the log is read no further until it has taken some."""
_LOST = message("resync", b"{}")


class LogStreamQuery(LogQuery, Resuming):
    """Which log, and from where on."""


async def stream_log(request: web.Request) -> web.StreamResponse:
    """Messages `log`, each some text, and `end` after the last; `resync` where it cannot be told what was missed.

    Raises `Problem` if there is no such request, pod or container, and `StoreUnavailable`.
    """
    query, hub, backend = query_of(request, LogStreamQuery), request.app[HUB], request.app[BACKEND]
    mark = _mark_asked(request, query)
    found = await request_of(backend, number_of(request))
    place = place_in((await pods_of(backend, found)).pods, query)
    if place is None and found.terminal:
        raise Problem(404, "NOT_FOUND", "No pod of the request is known.")
    if place is None:
        raise Problem(503, "NO_POD_YET", "No pod of the request is known yet.", retry_after=POD_SECONDS)
    hub.streams.require_room()
    feed = _Log(backend, found, place, tail=query.tail or LINES, mark=mark)
    async with beside(feed.run()):
        return await hub.streams.serve(request, feed)


class _Log:
    """A log: a `Feed`. It is read by `run`, so that nothing is lost when a heartbeat interrupts `next`."""

    def __init__(self, backend: Backend, request: Request, place: Place, *, tail: int, mark: Mark | None) -> None:
        self._backend = backend
        self._place = place
        self._tail = tail
        self._following = Following(backend, request, place, tail=tail, mark=mark)
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue(_WAITING)

    @property
    def place(self) -> None:
        """Only messages name places: what was read and what was sent are not the same."""

    async def next(self) -> bytes | None:
        return await self._queue.get()

    async def run(self) -> None:
        """Read the log, until cancelled."""
        resumed = self._following.mark is not None
        parts = 0
        async for part in self._following.parts():
            parts += 1
            text = f"\n[jobrelay: {RENEWED}]\n{part.text}" if part.renewed else part.text
            await self._queue.put(message("log", orjson.dumps(text), _text_of(part.mark)))
        if not parts:
            # The cluster has nothing of it, so what was kept is all that there is to see.
            async for told in _lost() if resumed else self._kept():
                await self._queue.put(told)
        await self._queue.put(END)
        await self._queue.put(None)

    async def _kept(self) -> AsyncIterator[bytes]:
        backend, place = self._backend, self._place
        try:
            async for piece in kept(backend.reader, backend.bodies, place.pod.uid, place.container, tail=self._tail):
                yield message("log", orjson.dumps(piece.decode(errors="replace")))
        except NoLog:
            return


async def _lost() -> AsyncIterator[bytes]:
    """What was kept has no times: where the client was in it is not known."""
    yield _LOST


def _text_of(mark: Mark) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(mark)).decode().rstrip("=")


def _mark_asked(request: web.Request, query: LogStreamQuery) -> Mark | None:
    """Raises `Problem`."""
    for name, given in asked(request, query):
        if given and name != "position":
            try:
                return msgspec.json.decode(base64.urlsafe_b64decode(given + "=" * (-len(given) % 4)), type=Mark)
            except (binascii.Error, ValueError, msgspec.MsgspecError):
                raise unknown(name) from None
    return None
