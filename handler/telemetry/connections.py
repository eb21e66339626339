"""Who is connected to a port of ours: anybody may be, and nobody can keep the others out."""

import asyncio
import os
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from k8s.background import beside

MOST = 64
"""Connections at the same time. Of more, the one that is idle for longest goes, of the address that has most."""
IDLE_SECONDS = 30.0
"""After this long a connection ends: its client has sent no whole request, or does not read the answer."""
AT_ONCE = 4
"""Connections that are taken in one go, before the loop does something else. Few: each is to have its answer before so
many others have come that it would have to go.
"""
SWEEP_SECONDS = 5.0
_WAITING = 1024
"""Connections that the kernel keeps for us meanwhile."""


class AddressRefused(OSError):
    """This address cannot be served; the message says which, which setting names it, and why."""


@asynccontextmanager
async def listening(
    server: web.Server, *, address: str, setting: str, connections: "Connections | None" = None
) -> AsyncIterator[int]:
    """Take connections in for `server` until the block ends; yields the port. Raises `AddressRefused`.

    `address`: `host:port`, which `setting` names. `connections`: how many, and for how long; by default as for probes.
    """
    loop, guard = asyncio.get_running_loop(), connections or Connections()
    host, _, port = address.rpartition(":")
    try:
        listener = await loop.create_server(
            guard.protocol_of(server), host.strip("[]"), int(port), backlog=AT_ONCE, reuse_address=True
        )
    except OSError as error:
        raise AddressRefused(f"cannot serve {address}: {error.strerror or error} ({setting})") from error
    try:
        for one in listener.sockets:
            with socket.socket(fileno=os.dup(one.fileno())) as same:
                same.listen(_WAITING)
        async with beside(guard.sweep(server)):
            yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()


class Connections:
    """Ends connections so that the newest always has a place: `most` of them."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._since: dict[RequestHandler, float] = {}
        self._held: set[RequestHandler] = set()

    def protocol_of(self, server: web.Server) -> Callable[[], RequestHandler]:
        """What makes one for each new connection."""

        def protocol() -> RequestHandler:
            self._make_room(server)
            handler = server()
            self.touch(handler)
            return handler

        return protocol

    def touch(self, handler: RequestHandler) -> None:
        """Its client has done something: from now on it may be idle for as long as any."""
        self._since[handler] = asyncio.get_running_loop().time()
        self._held.discard(handler)

    def hold(self, handler: RequestHandler) -> None:
        """It is to last, until it is touched: only a client that does not read what is sent is idle."""
        self.touch(handler)
        self._held.add(handler)

    async def sweep(self, server: web.Server) -> None:
        """End those that are idle for too long, until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            open_, now = set(server.connections), asyncio.get_running_loop().time()
            self._since = {one: since for one, since in self._since.items() if one in open_ or now - since < 1}
            self._held &= open_
            self._since |= {one: now for one in self._held if _has_read(one)}
            for one, since in self._since.items():
                if now - since > IDLE_SECONDS:
                    _abort(one)

    def _make_room(self, server: web.Server) -> None:
        open_ = [one for one in server.connections if one.transport and not one.transport.is_closing()]
        while len(open_) >= self._most:
            addresses = Counter(map(_address, open_))
            busiest, _ = addresses.most_common(1)[0]
            of_it = [one for one in open_ if _address(one) == busiest]
            idlest = min(of_it, key=lambda one: (one in self._held, self._since.get(one, 0.0)))
            open_.remove(idlest)
            _abort(idlest)


def _has_read(handler: RequestHandler) -> bool:
    """Whether everything that was sent has gone out."""
    transport = handler.transport
    return isinstance(transport, asyncio.WriteTransport) and transport.get_write_buffer_size() == 0


def _address(handler: RequestHandler) -> str:
    peer = handler.transport.get_extra_info("peername") if handler.transport else None
    return str(peer[0]) if peer else ""


def _abort(handler: RequestHandler) -> None:
    if isinstance(handler.transport, asyncio.WriteTransport):
        handler.transport.abort()
