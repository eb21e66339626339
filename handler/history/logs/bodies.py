"""From stored chunks to a log for people. Elsewhere than in the database, a chunk is compressed with zlib."""

import zlib
from collections.abc import AsyncIterator

from handler.history.base import Bodies, HistoryError, KeptLog, LogState, Reader
from handler.history.logs.keeping import CHUNK

LEVEL = 1
"""Logs compress well: more effort would save little room."""


class NoLog(HistoryError):
    """Nothing is kept of this log; the message says why, in a sentence for people."""


def compressed(chunk: bytes) -> bytes:
    """A chunk as it is stored elsewhere than in the database."""
    return zlib.compress(chunk, LEVEL)


def gap_line(dropped: int) -> bytes:
    """What is printed in place of bytes that were left out: `[jobrelay: 812 kB left out here]`."""
    return f"[jobrelay: {_size(dropped)} left out here]\n".encode()


def said_of(log: KeptLog) -> str | None:
    """A sentence about what is missing of a log beside its gap; None if nothing is."""
    match log.state:
        case LogState.EXPIRED:
            return "the log was kept, and was deleted for its age or to make room"
        case LogState.MISSING:
            return f"the log could not be kept: {log.reason or 'nothing says why'}"
        case LogState.GROWING:
            return "the log may go on"
        case _:
            return log.reason


async def kept(
    reader: Reader, bodies: Bodies | None, pod: str, container: str, *, tail: int | None = None
) -> AsyncIterator[bytes]:
    """The kept log of a container of the pod with this uid, in pieces of at most `CHUNK` bytes.

    Lines in brackets stand for what is missing: `gap_line`, and at the end what `said_of` says. `tail`: only that many
    last lines; lines in brackets do not count. `bodies`: None is the database. Raises `NoLog` before the first piece,
    `StoreUnavailable` at any time.
    """
    log = await _header(reader, pod, container)
    first, skip = 0, 0
    if tail is not None:
        first, skip = await _beginning(reader, bodies, log, tail)
    ended = True
    async for piece, ours in _parts(reader, bodies, log, first):
        text = (b"\n" if ours and not ended else b"") + piece[skip:]
        skip = 0
        if text:
            yield text
            ended = text.endswith(b"\n")
    if (said := said_of(log)) is not None:
        yield f"{'' if ended else chr(10)}[jobrelay: {said}]\n".encode()


async def _header(reader: Reader, pod: str, container: str) -> KeptLog:
    log = next((one for one in await reader.logs(pod) if one.container == container), None)
    if log is None:
        raise NoLog("no log of this container is known")
    if log.state in (LogState.EXPIRED, LogState.MISSING):
        raise NoLog(said_of(log) or "")
    return log


async def _parts(reader: Reader, bodies: Bodies | None, log: KeptLog, first: int) -> AsyncIterator[tuple[bytes, bool]]:
    """Chunks, from this place on, and lines of ours in place of what is missing; and whether it is a line of ours."""
    for place in range(first, len(log.chunks)):
        if place == log.head and place > first and log.dropped:
            yield gap_line(log.dropped), True
        body = await _body(reader, bodies, log, place)
        yield (b"[jobrelay: a part of the log is gone]\n", True) if body is None else (body, False)


async def _beginning(reader: Reader, bodies: Bodies | None, log: KeptLog, tail: int) -> tuple[int, int]:
    """The chunk, and the place in it, where the last `tail` lines begin."""
    wanted, last = tail, True
    if not tail:
        return len(log.chunks), 0
    for place in range(len(log.chunks) - 1, -1, -1):
        body = await _body(reader, bodies, log, place) or b""
        at = len(body)
        if last and body:
            # What ends the last line begins none.
            at -= body.endswith(b"\n")
            last = False
        elif place == log.head - 1 and log.dropped and not body.endswith(b"\n"):
            # The line before the gap has its end in the gap.
            wanted -= 1
            if not wanted:
                return place + 1, 0
        while (at := body.rfind(b"\n", 0, at)) >= 0:
            wanted -= 1
            if not wanted:
                return place, at + 1
    return 0, 0


async def _body(reader: Reader, bodies: Bodies | None, log: KeptLog, place: int) -> bytes | None:
    """A chunk of the log; None if it has gone meanwhile."""
    return await chunk_of(reader, bodies, log.pod, log.container, log.chunks[place])


async def chunk_of(reader: Reader, bodies: Bodies | None, pod: str, container: str, number: int) -> bytes | None:
    """A chunk before compression; None if there is none, or if it is damaged."""
    if bodies is None:
        return await reader.chunk(pod, container, number)
    stored = await bodies.get(pod, container, number)
    if stored is None:
        return None
    try:
        # Whoever may write to the store must not have us fill our memory.
        return zlib.decompressobj().decompress(stored, CHUNK)
    except zlib.error:
        return None


def _size(count: int) -> str:
    if count < 1000:
        return "1 byte" if count == 1 else f"{count} bytes"
    amount, unit = count / 1000, "kB"
    for larger in ("MB", "GB", "TB"):
        if amount < 999.5:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.1f} {unit}" if amount < 10 else f"{amount:.0f} {unit}"
