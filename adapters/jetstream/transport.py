"""nats-py's transport, which knows when it last heard of the server and leaves no socket behind."""

import asyncio
import random
import socket
import ssl
from urllib.parse import ParseResult

from nats.aio.transport import TcpTransport


class Wire(TcpTransport):
    """A TCP or TLS connection at a time. `heard`: the loop's time when bytes last came."""

    heard = 0.0
    _tried = ""

    async def connect(self, uri: ParseResult, buffer_size: int, connect_timeout: float) -> None:
        # The library leaves the socket of an attempt that failed to whoever it was connected to.
        self.abort()
        async with asyncio.timeout(connect_timeout):
            reader, writer = await self._open(uri, buffer_size, connect_timeout)
        self._bare_io_reader = self._io_reader = reader
        self._bare_io_writer = self._io_writer = writer
        self.heard = asyncio.get_running_loop().time()

    async def _open(
        self, uri: ParseResult, size: int, within: float
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to one of the addresses that the name stands for, in random order. Raises `OSError`."""
        found = await asyncio.get_running_loop().getaddrinfo(uri.hostname, uri.port, type=socket.SOCK_STREAM)
        addresses = list({str(place[0]) for *_, place in found})
        random.shuffle(addresses)
        # It may take connections and then say nothing: the resolver, too, may put the same one first for ever.
        addresses.sort(key=lambda address: address == self._tried)
        problem: OSError = ConnectionError("the name stands for no address")
        for self._tried in addresses:
            try:
                async with asyncio.timeout(within / len(addresses)):
                    return await asyncio.open_connection(self._tried, uri.port, limit=size)
            except OSError as error:
                problem = error
        raise problem

    async def connect_tls(
        self, uri: str | ParseResult, ssl_context: ssl.SSLContext, buffer_size: int, connect_timeout: float
    ) -> None:
        await super().connect_tls(uri, ssl_context, buffer_size, connect_timeout)  # type: ignore[arg-type]
        # Otherwise its protocol knows neither that this is TLS, and warns of each end, nor how to stop reading for a
        # while.
        if self._io_writer is not None:
            transport = self._io_writer.transport
            transport.get_protocol().connection_made(transport)

    async def read(self, buffer_size: int) -> bytes:
        found: bytes = await super().read(buffer_size)
        self.heard = asyncio.get_running_loop().time()
        return found

    async def wait_closed(self) -> None:
        # The library's own never returns after a failed TLS handshake, and not while a server does not read.
        self.abort()
        await asyncio.sleep(0)

    def abort(self) -> None:
        """Close without a word. A close in good order waits for a server that may never read again."""
        for writer in (self._io_writer, self._bare_io_writer):
            if writer is not None:
                writer.transport.abort()
