"""Connections to one server, as many as there are requests at a time."""

import asyncio
import socket
import ssl
from collections.abc import Sequence

import aiohappyeyeballs
from aiohappyeyeballs import AddrInfoType

from k8s.api.http.connection import Connection, Unanswered
from k8s.api.http.message import Answer

CONNECT_SECONDS = 5.0
"""For one connection, with its TLS handshake, but without finding out the addresses of a name."""
IDLE_SECONDS = 15.0
"""How long an unused connection is kept. Not long: after an outage, each dead one costs a request its whole timeout."""
_NEXT_ADDRESS_SECONDS = 0.25


class Pool:
    """No limit: a Lease renewal must not queue behind creates. Callers bound their own concurrency."""

    def __init__(self, host: str, port: int, *, tls: ssl.SSLContext | None, server_name: str | None = None) -> None:
        """`server_name`: what the server's certificate has to name, instead of the host."""
        self._host = host
        self._port = port
        self._tls = tls
        self._server_name = (server_name or host.rstrip(".")) if tls else None
        self._open: set[Connection] = set()
        self._idle: dict[Connection, None] = {}
        self._closed = False

    async def request(self, request: bytes, *, until: float, repeat: bool) -> Answer:
        """Send it, return the whole answer. `until`: as `loop.time()` counts.

        A kept connection may have ended just when it was used. With `repeat`, a request that got not a byte of an
        answer over one is sent once more, over a new one: only for requests without effects.
        Raises `OSError`; for no answer in time `TimeoutError`, which is one. Then the request may have had its effect.
        """
        kept = self._kept()
        if kept is not None:
            try:
                return await self._ask(kept, request, until)
            except Unanswered:
                if not repeat:
                    raise
        return await self._ask(await self._connect(until), request, until)

    def close(self) -> None:
        """Waits for nothing. Requests that wait for an answer fail."""
        self._closed = True
        for connection in [*self._open]:
            connection.close()

    async def _ask(self, connection: Connection, request: bytes, until: float) -> Answer:
        try:
            answer = await connection.ask(request, until=until)
        except BaseException:
            connection.close()
            raise
        if connection.usable:
            connection.rest(IDLE_SECONDS)
            self._idle[connection] = None
        return answer

    def _kept(self) -> Connection | None:
        """The one that was used last: those that are not needed any more end soon."""
        while self._idle:
            connection, _ = self._idle.popitem()
            if connection.usable:
                return connection
        return None

    async def _connect(self, until: float) -> Connection:
        loop = asyncio.get_running_loop()
        place = f"{self._host}:{self._port}"
        try:
            async with asyncio.timeout_at(until):
                addresses = await _addresses(self._host, self._port)
            async with asyncio.timeout_at(min(until, loop.time() + CONNECT_SECONDS)):
                connection = await self._connect_to(addresses)
        except TimeoutError as error:
            raise TimeoutError(f"no connection to {place} in time") from error
        except OSError as error:
            raise ConnectionError(f"cannot connect to {place}: {error}") from error
        if self._closed:
            connection.close()
            raise ConnectionAbortedError("the client was closed")
        return connection

    async def _connect_to(self, addresses: Sequence[AddrInfoType]) -> Connection:
        found = await aiohappyeyeballs.start_connection(
            addresses, happy_eyeballs_delay=_NEXT_ADDRESS_SECONDS, interleave=1
        )
        connection = Connection(self._forget)
        self._open.add(connection)
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: connection, sock=found, ssl=self._tls, server_hostname=self._server_name
            )
        except BaseException:
            # The transport closes the socket. It may have only begun the handshake, and go on with it for a moment.
            connection.close()
            self._forget(connection)
            raise
        return connection

    def _forget(self, connection: Connection) -> None:
        self._open.discard(connection)
        self._idle.pop(connection, None)


async def _addresses(host: str, port: int) -> Sequence[AddrInfoType]:
    try:
        # Is it an address? Then neither a server is asked nor a thread needed.
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        return await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
