"""A server that does over each connection what a test says, byte by byte."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from k8s.api.http.pool import Pool
from tests.patience import PATIENCE

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na"


class Line:
    """One connection, as the server sees it. `number`: from 0, in the order in which they came."""

    def __init__(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.number = number
        self.reader = reader
        self.writer = writer

    async def request(self) -> bytes:
        """The next request; empty when the client has ended the connection."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""
        _, found, rest = head.lower().partition(b"content-length: ")
        length = int(rest.split(b"\r\n")[0]) if found else 0
        return head + await self.reader.readexactly(length)

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def ended(self) -> None:
        """Return when the client has ended the connection."""
        try:
            while await self.reader.read(2**16):
                pass
        except ConnectionError:
            pass

    def end(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        self.writer.transport.abort()


Script = Callable[[Line], Awaitable[None]]


@dataclass
class Scripted:
    """`lines`: all that came so far; `ends`: of which the script has ended, and how many there are."""

    port: int = 0
    lines: list[Line] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)

    async def ended(self, count: int) -> None:
        """Return when so many scripts have ended."""
        async with asyncio.timeout(PATIENCE):
            while len(self.ends) < count:
                await asyncio.sleep(0.005)


@asynccontextmanager
async def scripted(script: Script, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Scripted]:
    """A server on this machine that runs the script for each connection, and ends the connection with it."""
    found = Scripted()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = Line(len(found.lines), reader, writer)
        found.lines.append(line)
        try:
            await script(line)
        except Exception as error:  # noqa: BLE001 - the test has to know
            found.failures.append(error)
        found.ends.append(line.number)
        writer.transport.abort() if tls else writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
        assert not found.failures
    finally:
        server.close()
        for line in found.lines:
            line.reset()
        await asyncio.sleep(0)


@asynccontextmanager
async def pooled(
    port: int, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None, server_name: str | None = None
) -> AsyncIterator[Pool]:
    pool = Pool(host, port, tls=tls, server_name=server_name)
    try:
        yield pool
    finally:
        pool.close()
        await asyncio.sleep(0)


async def ask(pool: Pool, method: str = "GET", *, body: bytes = b"", seconds: float = PATIENCE) -> bytes:
    """The body of the answer."""
    head = f"{method} / HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    until = asyncio.get_running_loop().time() + seconds
    answer = await pool.request(head + body, until=until, repeat=method == "GET")
    return answer.body


async def answer_all(line: Line) -> None:
    """A well-behaved server, which answers each request with the number of its connection."""
    while await line.request():
        text = str(line.number).encode()
        await line.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text))
