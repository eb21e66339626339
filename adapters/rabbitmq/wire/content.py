"""Messages, put together from the frames in which they come. It sends nothing."""

import struct
from dataclasses import dataclass

from adapters.rabbitmq.wire.frames import HEADER
from adapters.rabbitmq.wire.properties import Properties, properties_of

_TAG = struct.Struct(">QB")
_SIZE = slice(4, 12)
"""Where a content header says how large the body is."""


@dataclass(slots=True)
class Message:
    """A message as the broker delivered it. `tag` settles it, on its channel; `key` is its routing key."""

    tag: int
    consumer: str
    redelivered: bool
    key: str
    properties: Properties
    body: bytes


class Content:
    """What follows a method that brings a message: a content header, then the body in as many frames as it takes."""

    __slots__ = ("_left", "_parts", "header", "method")

    def __init__(self) -> None:
        self.method = self.header = b""
        self._parts: list[bytes] = []
        self._left = 0

    def begin(self, method: bytes) -> None:
        """The payload of that method."""
        self.method, self.header = method, b""
        self._parts.clear()

    def add(self, kind: int, payload: bytes) -> bool:
        """Whether the message is whole now."""
        if kind == HEADER:
            self.header = payload
            self._left = int.from_bytes(payload[_SIZE])
        else:
            self._parts.append(payload)
            self._left -= len(payload)
        return self._left <= 0

    @property
    def body(self) -> bytes:
        """What came of it."""
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)


def delivered(content: Content) -> Message:
    """The message that a `basic.deliver` brought. Its texts are the server's and ours, but for the key."""
    method = content.method
    at = 5 + method[4]
    tag, redelivered = _TAG.unpack_from(method, at)
    key = at + _TAG.size
    key += 2 + method[key]
    return Message(
        tag=tag,
        consumer=method[5:at].decode(),
        redelivered=bool(redelivered & 1),
        key=method[key:].decode(errors="replace"),
        properties=properties_of(content.header),
        body=content.body,
    )
