"""Which server of a cluster nats-py's client is connected to: what is tried, in which order, and when one is given up.

The library takes them in random order too. But it waits as long for one that is frozen as for a distant one, pauses for
each server instead of for all, keeps addresses for ever that the cluster no longer has, checks certificates against an
address where it has forgotten the name, and takes 20 to 30 s to notice a silence.
"""

import asyncio
import random
from contextlib import suppress
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlparse

import nats.errors
from nats.aio.client import DEFAULT_BUFFER_SIZE, Client, Srv

from adapters.jetstream.transport import Wire
from adapters.pauses import Pauses

PATIENCE_SECONDS = 2.0
"""For a server to answer, in the first round. Later, one of several has twice as long, and an only one ever longer:
behind its name there may be several, of which another answers the next time.
"""
ROUND_SECONDS = 2.0
"""The longest pause between two rounds."""
DOUBT_SECONDS = 2.0
"""For a server that has let a request time out to say anything at all."""
_TURN_SECONDS = 0.5


class Silence(nats.errors.Error):
    """A server said nothing for too long."""


class RoamingClient(Client):
    """nats-py's client with an order, pauses and a watch of ours."""

    silence = 10.0
    patience = 10.0
    """The longest that one server may take to answer."""

    def __init__(self) -> None:
        super().__init__()
        self._pauses = Pauses()
        self._between = Pauses(ROUND_SECONDS)
        self._wait = 0.0
        self._connected_at: float | None = None
        self._round: list[Srv] = []
        self._rounds = 0
        self._lost: Srv | None = None
        self._mute: Srv | None = None
        self._silent = 0.0

    @property
    def address(self) -> str:
        """Of the server that it is, or was last, connected to or tried; empty before."""
        return str(self._current_server.uri.netloc) if self._current_server is not None else ""

    @property
    def addresses(self) -> frozenset[str]:
        """Of all servers that are tried."""
        return frozenset(str(server.uri.netloc) for server in self._server_pool)

    @property
    def heard(self) -> float:
        """The loop's time when bytes last came from the server."""
        return self._transport.heard if isinstance(self._transport, Wire) else 0.0

    @property
    def given_up(self) -> bool:
        """Whether it neither has a connection nor looks for one."""
        task = self._reconnection_task
        return self.is_closed or (not self.is_connected and (task is None or task.done()))

    def follow(self, former: "RoamingClient") -> None:
        """Before connecting: go on where that client, which is given up, has ended."""
        self._server_pool = [
            Srv(server.uri, discovered=True, tls_name=server.tls_name)
            for server in former._server_pool  # noqa: SLF001 - a client of the same class
            if server.discovered
        ]
        self._pauses = former._pauses  # noqa: SLF001
        self._wait = former._pause_after_loss()  # noqa: SLF001

    # Which server

    async def _select_next_server(self) -> None:
        while True:
            if not self._round:
                await asyncio.sleep(self._between.after(0) if self._rounds else self._wait)
                self._begin_round()
            self._current_server = self._round.pop(0)
            try:
                await self._connect_to_server(self._current_server)
            except Exception as error:  # noqa: BLE001 - whatever is wrong with one server, the others are tried
                self._err = error
                await self._error_cb(error)
            else:
                return

    def _pause_after_loss(self) -> float:
        lived = asyncio.get_running_loop().time() - self._connected_at if self._connected_at is not None else 0.0
        self._connected_at = None
        return self._pauses.after(lived)

    def _begin_round(self) -> None:
        # Those of our URL first: others that a cluster tells of need not be reachable from here.
        self._round = sorted(
            random.sample(self._server_pool, len(self._server_pool)),
            key=lambda server: (server is self._mute, server.discovered, server is self._lost),
        )
        longer = min(self._rounds, 8 if len(self._round) == 1 else 1)
        # What `_connect_to_server` and the login go by.
        self.options["connect_timeout"] = min(self.patience, PATIENCE_SECONDS * 2.0**longer)
        self._rounds += 1

    async def _connect_to_server(self, s: Srv) -> None:
        if not isinstance(self._transport, Wire):
            self._transport = Wire()  # type: ignore[no-untyped-call]
        await self._transport.connect(s.uri, DEFAULT_BUFFER_SIZE, self.options["connect_timeout"])

    async def _process_connect_init(self) -> None:
        await super()._process_connect_init()
        if not self.is_connected:
            # It has closed the connection instead of a PONG, and the library would go on as if that were one.
            raise nats.errors.UnexpectedEOF
        self._learn(self._server_info.get("connect_urls") or [])
        self._connected_at, self._err = asyncio.get_running_loop().time(), None
        if self._mute is self._current_server:
            self._mute = None

    async def _attempt_reconnect(self) -> None:
        self._abort()
        self._lost, self._round, self._rounds = self._current_server, [], 0
        self._between = Pauses(ROUND_SECONDS)
        self._wait = self._pause_after_loss()
        # One that is cancelled by the next sets a future at its end that the next has set.
        with suppress(asyncio.InvalidStateError):
            await super()._attempt_reconnect()

    def _abort(self) -> None:
        if isinstance(self._transport, Wire):
            self._transport.abort()

    async def _close(self, status: int, do_cbs: bool = True) -> None:
        # It raises what a broken socket raises, and mostly in a task whose errors nobody looks at.
        with suppress(OSError):
            await super()._close(status, do_cbs)

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        # From a server that has let us in only: what it says first, it says before it shows its certificate.
        if not initial_connection:
            self._learn(info.get("connect_urls") or [])

    def _learn(self, addresses: list[str]) -> None:
        """Those that the cluster tells of replace those that it told of before."""
        current = self._current_server
        if current is None or not addresses:
            return
        # What is told of by its IP address has a certificate for the name that led to it.
        name = current.tls_name or current.uri.hostname
        pool = [
            server
            for server in self._server_pool
            if not server.discovered or server is current or server.uri.netloc in addresses
        ]
        known = {server.uri.netloc for server in pool}
        for address in addresses:
            uri = urlparse(f"{current.uri.scheme}://{address}")
            if address not in known:
                by_name = name if _is_ip(uri.hostname) and not _is_ip(name) else None
                pool.append(Srv(uri, discovered=True, tls_name=by_name))
        self._server_pool = pool

    # Silence

    async def _ping_interval(self) -> None:
        # Time is counted in turns of this loop. So a pause of this process itself is one turn, however long it was, and
        # what came meanwhile is read before the next.
        turn = min(_TURN_SECONDS, self.silence / 10)
        self._silent, heard, asked = 0.0, self.heard, False
        while True:
            await asyncio.sleep(turn)
            if self.heard != heard:
                self._silent, heard, asked = 0.0, self.heard, False
                continue
            self._silent += turn
            if self._silent >= self.silence:
                self._mute = self._current_server
                await self._process_op_err(Silence("it says nothing any more"))
                return
            if self._silent >= self.silence / 2 and not asked:
                asked = True
                await self._send_ping()

    def doubt(self, *, since: float) -> None:
        """If nothing came after this time of the loop, give the server up soon, unless it says something now."""
        if self.heard < since:
            self._silent = max(self._silent, self.silence - DOUBT_SECONDS)

    async def _process_op_err(self, e: Exception) -> None:
        # Otherwise the library tells nobody why it gives a connection up.
        if not (self.is_closed or self.is_reconnecting):
            await self._error_cb(e)
        await super()._process_op_err(e)


def _is_ip(host: str | None) -> bool:
    with suppress(ValueError):
        return bool(ip_address(host or ""))
    return False
