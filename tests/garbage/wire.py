"""NATS as bytes on a socket: publishes what no client library would, and reads the outcome. Support for tests."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

DEAD = "jobrelay.dead.>"
_INBOX = "_INBOX.garbage"
_BEGIN = b"NATS/1.0\r\n"


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter; header names in lower case."""

    headers: Mapping[str, str]
    block: bytes
    body: bytes


class Wire:
    """A connection, made by `wire()`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._asked = 0
        self._letters: dict[str, list[Letter]] = {}

    async def publish(self, subject: str, body: bytes, block: bytes | None = None) -> dict[str, Any]:
        """Publish with this header block as it is; the answer of the stream."""
        self._asked += 1
        reply = f"{_INBOX}.{self._asked}"
        size = len(body) + len(block or b"")
        head = f"HPUB {subject} {reply} {len(block)} {size}" if block is not None else f"PUB {subject} {reply} {size}"
        self._writer.write(head.encode() + b"\r\n" + (block or b"") + body + b"\r\n")
        while True:
            where, _, content = await self._next()
            if where == reply:
                answer: dict[str, Any] = json.loads(content)
                return answer

    async def settled(self, stream: str, sequence: int, *, within: float) -> list[Letter]:
        """Wait until the stream has removed the message; its dead letters."""
        begun = time.monotonic()
        question = json.dumps({"seq": sequence}).encode()
        while "error" not in await self.publish(f"$JS.API.STREAM.MSG.GET.{stream}", question):
            assert time.monotonic() - begun < within, f"{stream}/{sequence} is still there after {within} s"
            await asyncio.sleep(0.005)
        # A dead letter is stored before the message is removed, so it has arrived.
        return self._letters.get(f"{stream}/{sequence}", [])

    async def _next(self) -> tuple[str, bytes, bytes]:
        """Subject, header block and body of the next message."""
        while True:
            line = (await self._reader.readuntil(b"\r\n")).decode()
            verb, *words = line.split()
            if verb == "PING":
                self._writer.write(b"PONG\r\n")
            elif verb in ("MSG", "HMSG"):
                return await self._message(verb, words)
            elif verb == "-ERR":
                raise ConnectionError(line)

    async def _message(self, verb: str, words: list[str]) -> tuple[str, bytes, bytes]:
        content = (await self._reader.readexactly(int(words[-1]) + 2))[:-2]
        split = int(words[-2]) if verb == "HMSG" else 0
        block, body = content[:split], content[split:]
        if words[0].startswith("jobrelay.dead."):
            headers = parsed(block)
            self._letters.setdefault(headers["jobrelay-origin"], []).append(Letter(headers, block, body))
        return words[0], block, body


@asynccontextmanager
async def wire(url: str) -> AsyncIterator[Wire]:
    """A connection that gets every dead letter from now on."""
    where = urlsplit(url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port, limit=4 << 20)
    try:
        await reader.readuntil(b"\r\n")
        options = {"verbose": False, "pedantic": False, "headers": True, "no_responders": True, "lang": "test"}
        writer.write(f"CONNECT {json.dumps(options)}\r\nSUB {_INBOX}.* 1\r\nSUB {DEAD} 2\r\nPING\r\n".encode())
        while await reader.readuntil(b"\r\n") != b"PONG\r\n":
            pass
        yield Wire(reader, writer)
    finally:
        writer.close()


def block(*headers: tuple[bytes, bytes]) -> bytes:
    """A header block of any names and values; repeated names stay repeated."""
    return _BEGIN + b"".join(name + b": " + value + b"\r\n" for name, value in headers) + b"\r\n"


def parsed(raw: bytes) -> dict[str, str]:
    """The headers of a block."""
    lines = raw.removeprefix(_BEGIN).decode(errors="replace").split("\r\n")
    pairs = (line.partition(":") for line in lines if ":" in line)
    return {name.lower(): value.strip() for name, _, value in pairs}
