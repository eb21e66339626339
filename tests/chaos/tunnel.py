"""A proxy between jobrelay and a broker: numbers requests, and is slow, deaf or cut, as networks can be."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

from tests.chaos.calls import Ledger, When
from tests.chaos.wires import AmqpWire, NatsWire, Piece, Wire

CHUNK = 1 << 16
ANSWER_SECONDS = 0.3
"""How long an answer is awaited: some requests are answered late, and some never."""
GO_SECONDS = 1.0
WIRES: dict[str, Callable[[], Wire]] = {"nats": NatsWire, "rabbitmq": AmqpWire}


class Line:
    """Both halves of a connection. `mute`: drop what the server sends. `deaf`: drop what the client sends."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.client = reader, writer
        self.server: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.mute = False
        self.deaf = False
        self.answered = asyncio.Event()

    def abort(self) -> None:
        for half in filter(None, (self.client, self.server)):
            half[1].transport.abort()


class Tunnel:
    """Forwards every byte unless a test disturbs it. Use `tunnel()`.

    `delay`: seconds by which each piece is late. `rate`: bytes per second. Both hold in either direction; 0 is off.
    """

    def __init__(self, name: str, where: str, port: int, ledger: Ledger) -> None:
        self.name = name
        self.port = 0
        self.delay = 0.0
        self.rate = 0.0
        self._where = where
        self._upstream = port
        self._ledger = ledger
        self._lines: set[Line] = set()
        self._server: asyncio.Server | None = None
        self._up, self._down = asyncio.Event(), asyncio.Event()

    async def heal(self) -> None:
        """Forward again, first what was held back; half-open connections end."""
        for event in (self._up, self._down):
            event.set()
        self.delay = self.rate = 0.0
        for line in self._lines:
            if line.mute:
                line.abort()
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
            self.port = int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        await self.refuse()
        async with asyncio.timeout(GO_SECONDS * 5):
            while self._lines:
                self.cut()
                await asyncio.sleep(0.01)

    async def refuse(self) -> None:
        """Cut every connection, and accept no new connection."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.cut()

    def cut(self) -> None:
        """Cut every connection, but accept new connections."""
        for line in self._lines:
            line.abort()

    async def swallow(self) -> None:
        """Forward nothing in either direction, but keep every connection open."""
        self._up.clear()
        self._down.clear()

    def deafen(self) -> None:
        """Forward everything to the server, but nothing from it."""
        self._down.clear()

    def half_open(self) -> None:
        """Cut the clients' ends. The server's ends stay until `heal`, so it believes that its clients are alive."""
        for line in self._lines:
            line.mute = True
            line.client[1].transport.abort()

    def forget(self) -> None:
        """Keep the present connections open but silent in both directions for ever; new connections work."""
        for line in self._lines:
            line.mute = line.deaf = True

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = Line(reader, writer)
        self._lines.add(line)
        try:
            with suppress(OSError, ExceptionGroup):
                line.server = await asyncio.open_connection("127.0.0.1", self._upstream)
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._to_server(line))
                    group.create_task(self._to_client(line))
        finally:
            line.abort()
            self._lines.discard(line)

    async def _to_server(self, line: Line) -> None:
        """Forward from client to server, request by request."""
        wire = WIRES[self._where]()
        with suppress(ConnectionError):
            while data := await line.client[0].read(CHUNK):
                await self._disturbed(len(data), self._up)
                for piece in () if line.deaf else wire.feed(data):
                    if not await self._forward(line, piece):
                        await self._last_words(line)
                        return
        # Half open: the server does not learn that the client is gone.
        await (self._until_over(line) if line.mute else self._last_words(line))

    async def _forward(self, line: Line, piece: Piece) -> bool:
        """Forward a piece. False if the trap was sprung, and its sender is dead."""
        assert line.server is not None
        call = None
        if piece.verb:
            call = self._ledger.note(by=self.name, where=self._where, verb=piece.verb, path=piece.path)
            if self._ledger.strikes(call, When.BEFORE):
                return False
        line.server[1].write(piece.data)
        await line.server[1].drain()
        if call is None or not self._ledger.aims_at(call, When.AFTER):
            return True
        line.mute = True
        line.answered.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_SECONDS):
                await line.answered.wait()
        self._ledger.strikes(call, When.AFTER)
        return False

    async def _last_words(self, line: Line) -> None:
        """Let the server read all that was forwarded before the end: a reset could discard some of it."""
        assert line.server is not None
        line.mute = True
        with suppress(OSError):
            line.server[1].write_eof()
            async with asyncio.timeout(GO_SECONDS):
                await self._until_over(line)
        line.abort()

    async def _until_over(self, line: Line) -> None:
        assert line.server is not None
        while not line.server[0].at_eof() and not line.server[1].is_closing():
            await asyncio.sleep(0.01)

    async def _to_client(self, line: Line) -> None:
        """Forward from server to client."""
        assert line.server is not None
        reader, writer = line.server[0], line.client[1]
        with suppress(ConnectionError):
            while data := await reader.read(CHUNK):
                await self._disturbed(len(data), self._down)
                line.answered.set()
                if not line.mute:
                    writer.write(data)
                    await writer.drain()
        if not line.mute:
            writer.transport.abort()

    async def _disturbed(self, size: int, flow: asyncio.Event) -> None:
        await flow.wait()
        if self.delay or self.rate:
            await asyncio.sleep(self.delay + (size / self.rate if self.rate else 0.0))
            await flow.wait()


@asynccontextmanager
async def tunnel(name: str, url: str, ledger: Ledger | None = None) -> AsyncIterator[tuple[Tunnel, str]]:
    """A tunnel to the broker of `url`, and a URL that leads through it."""
    parts = urlsplit(url)
    where = "nats" if parts.scheme == "nats" else "rabbitmq"
    assert parts.port is not None
    made = Tunnel(name, where, parts.port, ledger or Ledger())
    await made.heal()
    try:
        yield made, url.replace(f":{parts.port}", f":{made.port}")
    finally:
        await made.stop()
