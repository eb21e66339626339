"""The bytes of a connection: cut into frames, each for whoever listens on its channel, else for the client library.

The library reads and writes as it always does, with a reader and a writer of asyncio. It gets frames whole and in their
order.
"""

import asyncio
from typing import Protocol, cast

from adapters.rabbitmq.wire.frames import (
    BLOCKED,
    BODY,
    CLOSE_CHANNEL,
    CLOSE_CHANNEL_OK,
    CLOSE_CONNECTION,
    END,
    HEAD,
    HEADER,
    HEARTBEAT,
    METHOD,
    OVERHEAD,
    UNBLOCKED,
)
from adapters.rabbitmq.wire.repair import decodable

_KINDS = frozenset({METHOD, HEADER, BODY, HEARTBEAT})


class Listener(Protocol):
    """Whoever takes frames of one channel."""

    def take(self, kind: int, payload: bytes) -> bool:
        """False for a frame that the library is to get. It must not raise: that would end the connection."""
        ...

    def end(self) -> None:
        """The channel is closed at the server: whatever is sent on it from now on would end the connection."""
        ...


class Stream(asyncio.Protocol):
    """Of one connection. `ends` are the library's once it is made."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._reader = asyncio.StreamReader(loop=self._loop)
        self._library = asyncio.StreamReaderProtocol(self._reader, loop=self._loop)
        self.blocked = False
        """Whether the server said that it reads no more publishes: an alarm for memory or disk."""
        self.reply_text = ""
        """Why the server closed the connection, in its words."""
        self.heard = 0
        """How often something came."""
        self._transport: asyncio.Transport | None = None
        self._listeners: dict[int, Listener] = {}
        self._parts: list[bytes] = []
        self._lacks = 0
        self._framed = True
        self._unsent: list[bytes] = []

    def listen(self, channel: int, listener: Listener) -> None:
        """Until the channel is closed."""
        self._listeners[channel] = listener

    @property
    def ends(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """As `asyncio.open_connection` returns them."""
        if self._transport is None:
            raise ConnectionError("not connected")
        return self._reader, asyncio.StreamWriter(self._transport, self._library, self._reader, self._loop)

    # What goes out

    def send(self, frames: bytes) -> None:
        """Whole frames, written together with all that is sent until the loop's next turn: each write is costly."""
        if not self._unsent:
            self._loop.call_soon(self.flush)
        self._unsent.append(frames)

    def flush(self) -> None:
        """Write now what was sent, before anything that the library may write."""
        frames, self._unsent = self._unsent, []
        if frames and self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(frames))

    def abort(self) -> None:
        """End the connection here and now: whoever is at its other end does not listen."""
        if self._transport is not None:
            self._transport.abort()

    # What comes in

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        self._transport = cast("asyncio.Transport", transport)
        self._library.connection_made(transport)

    def eof_received(self) -> bool | None:
        """See asyncio."""
        return self._library.eof_received()

    def pause_writing(self) -> None:
        """See asyncio."""
        self._library.pause_writing()

    def resume_writing(self) -> None:
        """See asyncio."""
        self._library.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        for channel in tuple(self._listeners):
            self._end(channel)
        self._library.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        self.heard += 1
        if self._parts:
            self._parts.append(data)
            self._lacks -= len(data)
            if self._lacks > 0:
                return
            data = b"".join(self._parts)
            self._parts.clear()
        if passed := self._cut(data) if self._framed else [data]:
            self._library.data_received(b"".join(passed))

    def _cut(self, data: bytes) -> list[bytes]:
        """Give out the whole frames, and keep the rest. Returns what is for the library."""
        passed: list[bytes] = []
        at, size = 0, len(data)
        while size - at >= OVERHEAD:
            kind, channel, length = HEAD.unpack_from(data, at)
            end = at + OVERHEAD + length
            known = kind in _KINDS
            if known and end > size:
                self._keep(data[at:], end - size)
                return passed
            if not known or data[end - 1] != END:
                # Whatever speaks there, it is not AMQP. The library says so, and gives up.
                self._framed = False
                passed.append(data[at:])
                return passed
            listener = self._listeners.get(channel)
            if listener is None or not listener.take(kind, data[at + HEAD.size : end - 1]):
                passed.append(self._seen(channel, data[at:end]))
            at = end
        if at < size:
            self._keep(data[at:], OVERHEAD - (size - at))
        return passed

    def _keep(self, part: bytes, lacks: int) -> None:
        """`lacks`: bytes without which it is no whole frame."""
        self._parts.append(part)
        self._lacks = lacks

    def _seen(self, channel: int, frame: bytes) -> bytes:
        """Note what the library is about to read, and make sure that it can."""
        method = frame[HEAD.size : HEAD.size + 4] if frame[0] == METHOD else b""
        if method in (CLOSE_CHANNEL, CLOSE_CHANNEL_OK):
            self._end(channel)
        elif method in (BLOCKED, UNBLOCKED):
            self.blocked = method == BLOCKED
        elif method == CLOSE_CONNECTION:
            # The reply code is followed by the length of the reply text, and the text.
            at = HEAD.size + 6
            self.reply_text = frame[at + 1 : at + 1 + frame[at]].decode(errors="replace")
        return decodable(frame)

    def _end(self, channel: int) -> None:
        if listener := self._listeners.pop(channel, None):
            listener.end()
