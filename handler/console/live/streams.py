"""Sends what feeds yield, to so many clients, each no longer than it listens and may listen."""

import asyncio
import logging
import random
import time
from contextlib import suppress
from typing import Protocol

from aiohttp import web

from handler.console.http.keys import PERSON
from handler.console.http.problems import Problem
from handler.console.live.messages import HEADERS, comment
from handler.history.base import HistoryError
from k8s.base import KubernetesError

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 15.0
"""Between two messages, at most: then a comment is sent."""
STALLED_SECONDS = 30.0
"""For which a client may take nothing of what is sent. Then it is dropped: it comes again, and resumes."""
LIFE_SECONDS = 900.0
"""After which a stream ends. Its client comes again at once, and shows again who it is and that it still may."""
RETRY_SECONDS = 10
"""After which a client that found no room may ask again."""
BACK_MILLISECONDS = (500, 2000)
"""After which clients of a server that stops come back, each at its own time."""
_SWEEP_SECONDS = 1.0


class Feed(Protocol):
    """What a stream sends."""

    @property
    def place(self) -> str | None:
        """From where a stream would go on that has sent everything until now."""
        ...

    async def next(self) -> bytes | None:
        """Wait for the next messages; None after the last one. May be cancelled, and loses nothing then."""
        ...


class Streams:
    """All streams of the process: `most` at the same time."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: dict[asyncio.Task[None], web.Request] = {}
        self._closing = False

    @property
    def count(self) -> int:
        return len(self._open)

    def require_room(self) -> None:
        """Raises `Problem` if there can be no further stream now."""
        if self._closing:
            raise Problem(503, "STOPPING", "The server stops; another one answers soon.", retry_after=1)
        if len(self._open) >= self._most:
            detail = f"There are {self._most} streams, and no more are served at the same time."
            raise Problem(503, "TOO_MANY_STREAMS", detail, retry_after=RETRY_SECONDS)

    async def serve(self, request: web.Request, feed: Feed) -> web.StreamResponse:
        """Send what the feed has until that or the server ends, the client goes, or its session is over."""
        self.require_room()
        response = web.StreamResponse(headers=HEADERS)
        sending = asyncio.create_task(_send(request, response, feed))
        self._open[sending] = request
        try:
            await asyncio.wait({sending})
            if not sending.cancelled():
                _tell(sending.exception(), response)
            if self._closing and response.prepared:
                await _say_goodbye(response)
        finally:
            sending.cancel()
            del self._open[sending]
        return response

    async def sweep(self) -> None:
        """End streams whose client has gone, until cancelled: those that have nothing to send do not notice."""
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            for sending, request in self._open.items():
                if request.transport is None or request.transport.is_closing():
                    sending.cancel()

    async def close(self) -> None:
        """End all streams, telling their clients to come back, and refuse new ones."""
        self._closing = True
        for sending in self._open:
            sending.cancel()
        while self._open:
            await asyncio.sleep(0.01)


def _tell(error: BaseException | None, response: web.StreamResponse) -> None:
    """Whatever has happened, a stream that has begun just ends: its client comes again, and is told then."""
    if error is None:
        return
    if not response.prepared:
        raise error
    if isinstance(error, HistoryError | KubernetesError):
        logger.info("a stream ends: %s", error)
    else:
        logger.error("a stream failed", exc_info=error)


async def _send(request: web.Request, response: web.StreamResponse, feed: Feed) -> None:
    try:
        async with asyncio.timeout(_seconds_left(request)):
            await response.prepare(request)
            # The first bytes tell a client that it is connected, also through proxies that wait for some.
            data: bytes | None = comment(feed.place)
            while data is not None:
                await _write(request, response, data)
                data = await _next(feed)
    except (TimeoutError, ConnectionError):
        return


async def _write(request: web.Request, response: web.StreamResponse, data: bytes) -> None:
    """Raises `ConnectionError` where the client has gone, or takes nothing."""
    try:
        async with asyncio.timeout(STALLED_SECONDS):
            await response.write(data)
    except TimeoutError as error:
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionAbortedError("the client takes nothing of what is sent") from error


async def _next(feed: Feed) -> bytes | None:
    try:
        async with asyncio.timeout(HEARTBEAT_SECONDS):
            return await feed.next()
    except TimeoutError:
        return comment(feed.place)


async def _say_goodbye(response: web.StreamResponse) -> None:
    wait = random.randint(*BACK_MILLISECONDS)  # noqa: S311 - not for secrets
    with suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(1.0):
            await response.write(b"retry: %d\n\n" % wait)


def _seconds_left(request: web.Request) -> float:
    ends = request[PERSON].ends
    return LIFE_SECONDS if ends is None else min(LIFE_SECONDS, max(0.0, ends - time.time()))
