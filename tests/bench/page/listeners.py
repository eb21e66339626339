"""Streams that are only counted, as cheaply as may be: what is measured is whoever serves them."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import urlsplit

_UPDATED = re.compile(rb'"updated":"([^"]+)"')


@dataclass(slots=True)
class Heard:
    """`bytes` that came, in how many pieces; `late`: seconds from when a row was recorded until it came."""

    bytes: int = 0
    pieces: int = 0
    late: list[float] = field(default_factory=list)


class _Listener(asyncio.Protocol):
    def __init__(self, heard: Heard, asked: bytes, *, reads: bool) -> None:
        self._heard = heard
        self._asked = asked
        self._reads = reads

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._asked)

    def data_received(self, data: bytes) -> None:
        self._heard.bytes += len(data)
        self._heard.pieces += 1
        if self._reads:
            now = time.time()
            self._heard.late += [
                now - datetime.fromisoformat(found.decode()).timestamp() for found in _UPDATED.findall(data)
            ]


@asynccontextmanager
async def listening(url: str, count: int) -> AsyncIterator[Heard]:
    """So many streams of `url` during the block. One of them is read, for how late it is."""
    asked = urlsplit(url)
    head = f"GET {asked.path}?{asked.query} HTTP/1.1\r\nHost: {asked.netloc}\r\n\r\n".encode()
    heard, loop = Heard(), asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        for number in range(count):
            transport, _ = await loop.create_connection(
                lambda number=number: _Listener(heard, head, reads=number == 0),  # type: ignore[misc]
                asked.hostname or "",
                asked.port or 80,
            )
            stack.callback(transport.close)
        yield heard
