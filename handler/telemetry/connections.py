"""Who is connected to the port of probes and metrics: anybody may be, and nobody can keep the others out."""

import asyncio
import os
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from k8s.background import beside

MOST = 64
"""Connections at the same time. Of more, the oldest one goes, of the address that has most of them."""
IDLE_SECONDS = 30.0
"""After this long a connection ends: its client has sent no whole request, or does not read the answer."""
AT_ONCE = 4
"""Connections that are taken in one go, before the loop does something else. Few: each is to have its answer before so
many others have come that it would have to go.
"""
SWEEP_SECONDS = 5.0
_WAITING = 1024
"""Connections that the kernel keeps for us meanwhile."""


@asynccontextmanager
async def listening(server: web.Server, *, host: str, port: int) -> AsyncIterator[int]:
    """Take connections in for `server` until the block ends; yields the port. Raises `OSError`."""
    loop = asyncio.get_running_loop()
    guard = _Guard(server)
    listener = await loop.create_server(guard.protocol, host, port, backlog=AT_ONCE, reuse_address=True)
    try:
        for one in listener.sockets:
            with socket.socket(fileno=os.dup(one.fileno())) as same:
                same.listen(_WAITING)
        async with beside(guard.sweep()):
            yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()


class _Guard:
    """Ends connections so that the newest always has a place."""

    def __init__(self, server: web.Server) -> None:
        self._server = server
        self._since: dict[RequestHandler, float] = {}

    def protocol(self) -> RequestHandler:
        """For a new connection."""
        self._make_room()
        handler = self._server()
        self._since[handler] = asyncio.get_running_loop().time()
        return handler

    async def sweep(self) -> None:
        """End those that last too long, until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            open_, now = set(self._server.connections), asyncio.get_running_loop().time()
            self._since = {one: since for one, since in self._since.items() if one in open_ or now - since < 1}
            for one, since in self._since.items():
                if now - since > IDLE_SECONDS:
                    _abort(one)

    def _make_room(self) -> None:
        open_ = [one for one in self._server.connections if one.transport and not one.transport.is_closing()]
        while len(open_) >= MOST:
            addresses = Counter(map(_address, open_))
            busiest, _ = addresses.most_common(1)[0]
            oldest = next(one for one in open_ if _address(one) == busiest)
            open_.remove(oldest)
            _abort(oldest)


def _address(handler: RequestHandler) -> str:
    peer = handler.transport.get_extra_info("peername") if handler.transport else None
    return str(peer[0]) if peer else ""


def _abort(handler: RequestHandler) -> None:
    if isinstance(handler.transport, asyncio.WriteTransport):
        handler.transport.abort()
