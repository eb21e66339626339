"""Cuts what clients send to NATS and RabbitMQ into single requests. Pure."""

import struct
from dataclasses import dataclass
from typing import Protocol

from pamqp import frame

LINE_END = b"\r\n"
AMQP_HEADER = 8
FRAME_HEAD = 7
METHOD, CONTENT_HEADER = 1, 2
PUBLISH = "Basic.Publish"


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes that belong together. `verb` is empty if they are no request: heartbeats, pings."""

    data: bytes
    verb: str = ""
    path: str = ""


class Wire(Protocol):
    """The stream of a connection from client to server. Takes bytes as they come, and returns complete pieces."""

    def feed(self, data: bytes) -> list[Piece]: ...


class NatsWire:
    """The NATS protocol: lines, and a payload after PUB and HPUB."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Piece]:
        self._rest += data
        pieces = []
        while (size := self._size()) and len(self._rest) >= size:
            pieces.append(_nats_piece(self._rest[:size]))
            self._rest = self._rest[size:]
        return pieces

    def _size(self) -> int:
        """The size of the first operation in bytes; 0 while it is unknown."""
        line, end, _ = self._rest.partition(LINE_END)
        if not end:
            return 0
        words = line.split()
        payload = int(words[-1]) + len(LINE_END) if words and words[0].upper() in (b"PUB", b"HPUB") else 0
        return len(line) + len(LINE_END) + payload


def _nats_piece(data: bytes) -> Piece:
    line, _, payload = data.partition(LINE_END)
    verb, *words = line.decode(errors="replace").split()
    verb = verb.upper()
    if verb in ("PING", "PONG", "CONNECT", "UNSUB"):
        return Piece(data, "" if verb in ("PING", "PONG") else verb)
    subject = words[0] if words else ""
    if subject.startswith("$JS.ACK."):
        # After stream and consumer, the subject has only numbers of this delivery.
        subject = ".".join([*subject.split(".")[:4], payload.decode(errors="replace").split()[0]])
    if subject.startswith("_INBOX."):
        subject = "_INBOX"
    return Piece(data, verb, subject)


class AmqpWire:
    """The AMQP protocol: frames. A publish is a single piece of its method, header and body frames."""

    def __init__(self) -> None:
        self._rest = b""
        self._greeted = False
        self._content: _Content | None = None

    def feed(self, data: bytes) -> list[Piece]:
        self._rest += data
        pieces = []
        if not self._greeted and len(self._rest) >= AMQP_HEADER:
            self._greeted = True
            pieces.append(Piece(self._take(AMQP_HEADER), "protocol"))
        while self._greeted and (raw := self._frame()) is not None:
            if (piece := self._piece(raw)) is not None:
                pieces.append(piece)
        return pieces

    def _take(self, size: int) -> bytes:
        data, self._rest = self._rest[:size], self._rest[size:]
        return data

    def _frame(self) -> bytes | None:
        if len(self._rest) < FRAME_HEAD:
            return None
        size = FRAME_HEAD + int(struct.unpack(">I", self._rest[3:FRAME_HEAD])[0]) + 1
        return self._take(size) if len(self._rest) >= size else None

    def _piece(self, raw: bytes) -> Piece | None:
        """The piece that this frame completes, if any."""
        if self._content is not None:
            self._content.add(raw)
            if not self._content.complete:
                return None
            done, self._content = self._content, None
            return Piece(done.data, done.verb, done.path)
        if raw[0] != METHOD:
            return Piece(raw)
        method = frame.unmarshal(raw)[2]
        verb, path = method.name.lower(), _about(method)
        if method.name == PUBLISH:
            self._content = _Content(data=raw, verb=verb, path=path)
            return None
        return Piece(raw, verb, path)


@dataclass(slots=True, kw_only=True)
class _Content:
    """A publish that is not complete yet. Clients write its frames without other frames between them."""

    data: bytes
    verb: str
    path: str
    missing: int = -1

    @property
    def complete(self) -> bool:
        return self.missing == 0

    def add(self, raw: bytes) -> None:
        self.data += raw
        if raw[0] == CONTENT_HEADER:
            self.missing = int(struct.unpack(">Q", raw[FRAME_HEAD + 4 : FRAME_HEAD + 12])[0])
        else:
            self.missing -= len(raw) - FRAME_HEAD - 1


def _about(method: object) -> str:
    """The names in a method: exchange, queue, key."""
    names = (getattr(method, name, None) for name in ("exchange", "queue", "destination", "source", "routing_key"))
    return " ".join(str(name) for name in names if name)
