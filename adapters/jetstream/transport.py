"""nats-py's transport, which knows when it last heard of the server and leaves no socket behind."""

import asyncio
from urllib.parse import ParseResult

from nats.aio.transport import TcpTransport

EYEBALLS_SECONDS = 0.25
"""After so long without an answer, the next address that a name stands for is tried as well."""


class Wire(TcpTransport):
    """A TCP or TLS connection at a time. `heard`: the loop's time when bytes last came."""

    heard = 0.0

    async def connect(self, uri: ParseResult, buffer_size: int, connect_timeout: float) -> None:
        # The library leaves the socket of an attempt that failed to whoever it was connected to.
        self.abort()
        async with asyncio.timeout(connect_timeout):
            reader, writer = await asyncio.open_connection(
                uri.hostname, uri.port, limit=buffer_size, happy_eyeballs_delay=EYEBALLS_SECONDS
            )
        self._bare_io_reader = self._io_reader = reader
        self._bare_io_writer = self._io_writer = writer
        self.heard = asyncio.get_running_loop().time()

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
