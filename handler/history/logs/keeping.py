"""What is kept of a container's log: its first quarter and its last three quarters, in chunks. Pure.

Bytes are kept as they are. They are cut at the end of a line where one is near, else between characters of UTF-8.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

CHUNK = 65_536
"""Bytes that a chunk has at most."""
_LEAST_CHUNK = 1024
_PARTS = 16
"""Of a log that is stored while it grows, whole chunks are dropped: each is a small part of what is kept."""
NEAR = 4096
"""Bytes within which we look for the end of a line; less where chunks are small."""


class Chunk(NamedTuple):
    """A stored chunk: its number, and its bytes before compression."""

    number: int
    size: int


class Shelf(msgspec.Struct, frozen=True, gc=False):
    """The stored chunks of a log: those before the gap, and those after it. `dropped`: bytes that the gap has."""

    head: tuple[Chunk, ...] = ()
    tail: tuple[Chunk, ...] = ()
    dropped: int = 0

    @property
    def chunks(self) -> tuple[Chunk, ...]:
        return self.head + self.tail

    @property
    def size(self) -> int:
        """Bytes before compression."""
        return sum(chunk.size for chunk in self.chunks)

    @property
    def sealed(self) -> bool:
        """Whether what follows belongs behind the gap, if there will be one."""
        return bool(self.tail) or self.dropped > 0

    def unfilled(self, limit: int) -> Chunk | None:
        """The last chunk, if more fits into it. A `Keeper` has to be given its bytes."""
        last = (self.tail if self.sealed else self.head)[-1:]
        return last[0] if last and last[0].size < chunk_size(limit) else None

    def without(self, gone: Chunk) -> "Shelf":
        """A chunk has gone: it counts as left out."""
        head, tail = (tuple(chunk for chunk in part if chunk != gone) for part in (self.head, self.tail))
        return Shelf(head, tail, self.dropped + gone.size)


NOTHING = Shelf()


class Kept(NamedTuple):
    """What is to be stored: new chunks, before compression, by number; numbers that are not needed any more."""

    shelf: Shelf
    put: dict[int, bytes]
    drop: Sequence[int]


def chunk_size(limit: int) -> int:
    """Bytes that a chunk of a log has at most of which `limit` bytes are kept."""
    return max(_LEAST_CHUNK, min(CHUNK, limit // _PARTS))


class Keeper:
    """Takes a log in, piece after piece, and keeps at most `limit` bytes of it; `fed` counts what came.

    `shelf`: what is stored of it: the pieces go on from there. `unfilled`: the bytes of its unfilled chunk, if it has
    one. Of what is stored already whole chunks are dropped, all else is cut to the byte.
    """

    def __init__(self, limit: int, shelf: Shelf = NOTHING, unfilled: bytes = b"") -> None:
        again = shelf.unfilled(limit)
        self._limit = limit
        self._near = min(NEAR, chunk_size(limit) // 4, limit // _PARTS)
        self._next = max((chunk.number for chunk in shelf.chunks), default=-1) + 1
        self._sealed = shelf.sealed
        self._head = [chunk for chunk in shelf.head if chunk is not again]
        self._tail = deque(chunk for chunk in shelf.tail if chunk is not again)
        self._drop = [again.number] if again else []
        self._dropped = shelf.dropped
        self._new_head = _Pieces()
        self._ring = _Pieces()
        self._in_line = False
        self.fed = 0
        if again:
            self._take(unfilled)

    def feed(self, piece: bytes) -> None:
        """Take in what follows."""
        self.fed += len(piece)
        self._take(piece)

    def finish(self) -> Kept:
        """What is to be stored now. Ends the use of this object, whose memory goes as chunks are made."""
        self._drop_stored()
        self._cut_front()
        put: dict[int, bytes] = {}
        head = [*self._head, *self._shelved(self._new_head, put)]
        tail = [*self._tail, *self._shelved(self._ring, put)]
        return Kept(Shelf(tuple(head), tuple(tail), self._dropped), put, self._drop)

    @property
    def _head_size(self) -> int:
        return sum(chunk.size for chunk in self._head) + self._new_head.size

    @property
    def _room(self) -> int:
        """Bytes that there may be behind the gap."""
        return self._limit - self._head_size

    def _take(self, piece: bytes) -> None:
        if not self._sealed:
            room = self._limit // 4 - self._head_size
            self._new_head.append(piece[:room])
            if len(piece) <= room:
                return
            self._sealed = True
            piece = self._new_head.cut(self._near) + piece[room:]
        self._ring.append(piece)
        while self._ring.size and self._ring.size - len(self._ring.first) >= self._room:
            self._lose(len(self._ring.first))

    def _lose(self, size: int) -> None:
        """Drop what the ring begins with, of its first piece."""
        self._dropped += size
        self._in_line = not self._ring.drop(size).endswith(b"\n")

    def _drop_stored(self) -> None:
        stored = sum(chunk.size for chunk in self._tail)
        while self._tail and stored + self._ring.size > self._room:
            chunk = self._tail.popleft()
            stored -= chunk.size
            self._dropped += chunk.size
            self._drop.append(chunk.number)

    def _cut_front(self) -> None:
        """Have what is left of the ring fit, and begin with a line."""
        if self._ring.size > self._room:
            self._lose(self._ring.size - self._room)
        if self._in_line and self._ring.size and not self._tail:
            self._lose(line_start(self._ring.first, self._near))

    def _shelved(self, pieces: "_Pieces", put: dict[int, bytes]) -> Iterator[Chunk]:
        """The chunks that these pieces make; they are added to `put`, and the pieces are used up."""
        most, buffer = chunk_size(self._limit), bytearray()
        while pieces.size:
            buffer += pieces.drop(len(pieces.first))
            while len(buffer) > most or (buffer and not pieces.size):
                at = line_end(buffer, most, self._near) if len(buffer) > most else len(buffer)
                put[self._next] = bytes(buffer[:at])
                del buffer[:at]
                yield Chunk(self._next, at)
                self._next += 1


class _Pieces:
    """Bytes in pieces of `CHUNK`, so that none of them is ever copied together with all others."""

    def __init__(self) -> None:
        self.size = 0
        self._pieces: deque[bytes | bytearray] = deque()

    @property
    def first(self) -> bytes | bytearray:
        return self._pieces[0]

    def append(self, piece: bytes) -> None:
        view = memoryview(piece)
        while view:
            if not self._pieces or len(self._pieces[-1]) >= CHUNK:
                self._pieces.append(bytearray())
            part = view[: CHUNK - len(self._pieces[-1])]
            self._pieces[-1] += part
            self.size += len(part)
            view = view[len(part) :]
            if len(self._pieces[-1]) >= CHUNK:
                # An array that has grown takes more memory than it has bytes.
                self._pieces[-1] = bytes(self._pieces[-1])

    def drop(self, size: int) -> bytes | bytearray:
        """Take off so many bytes of the first piece, at its beginning, and return them."""
        first = self._pieces.popleft()
        self.size -= size
        if size < len(first):
            self._pieces.appendleft(first[size:])
        return first[:size]

    def cut(self, near: int) -> bytes:
        """Take off what follows the last good place to cut, and return it."""
        if not self._pieces:
            return b""
        last = self._pieces.pop()
        if len(last) < near and self._pieces:
            last = self._pieces.pop() + last
        at = line_end(last, len(last), near)
        self.size -= len(last) - at
        if at:
            self._pieces.append(last[:at])
        return bytes(last[at:])


def line_end(data: bytes | bytearray, at: int, near: int) -> int:
    """The best place to cut, not after `at`: the end of a line, or else of a character."""
    found = data.rfind(b"\n", max(0, at - near), at)
    if found >= 0:
        return found + 1
    for back in range(1, min(4, at + 1)):
        byte = data[at - back]
        if byte & 0xC0 != 0x80:
            return at - back if _length(byte) > back else at
    return at


def line_start(data: bytes | bytearray, near: int) -> int:
    """Bytes to leave out of data that begin within a line, so that they begin with a line, or else a character."""
    found = data.find(b"\n", 0, near)
    if 0 <= found < len(data) - 1:
        return found + 1
    first = data[:4]
    rest = len(first) - len(first.lstrip(_CONTINUING))
    return rest if rest < len(first) else 0


_CONTINUING = bytes(range(0x80, 0xC0))
"""Bytes that begin no character of UTF-8."""


def _length(byte: int) -> int:
    """Bytes of a character of UTF-8 that begins with this byte."""
    return 1 + (byte >= 0xC0) + (byte >= 0xE0) + (byte >= 0xF0)
