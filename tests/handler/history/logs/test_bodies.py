"""A kept log is read back from its chunks, wherever they are, with what is missing marked."""

from typing import cast

import pytest

from handler.history.base import Bodies, KeptLog, LogState
from handler.history.logs.bodies import NoLog, chunk_of, compressed, gap_line, kept, said_of
from tests.handler.history.logs.shelves import Shelves, read_back


async def stored(*chunks: bytes, head: int = 0, dropped: int = 0, state: LogState = LogState.WHOLE) -> Shelves:
    shelves = Shelves()
    log = KeptLog(pod="u", container="main", state=state, head=head, dropped=dropped, chunks=tuple(range(len(chunks))))
    shelves.headers["u", "main"] = log
    shelves.chunks = {("u", "main", number): body for number, body in enumerate(chunks)}
    return shelves


async def printed(shelves: Shelves, tail: int | None = None) -> bytes:
    return await read_back(shelves.reader, shelves.headers["u", "main"], tail=tail)


async def test_the_gap_has_a_line_of_its_own() -> None:
    shelves = await stored(b"one\n", b"two", b"eight\n", b"nine\n", head=2, dropped=812_345, state=LogState.CUT)
    gap = b"[jobrelay: 812 kB left out here]\n"
    assert await printed(shelves) == b"one\ntwo\n" + gap + b"eight\nnine\n"
    assert await printed(shelves, 0) == b""
    assert await printed(shelves, 1) == b"nine\n"
    assert await printed(shelves, 2) == b"eight\nnine\n"
    assert await printed(shelves, 3) == b"two\n" + gap + b"eight\nnine\n"
    assert await printed(shelves, 4) == b"one\ntwo\n" + gap + b"eight\nnine\n"
    assert await printed(shelves, 9) == await printed(shelves)


@pytest.mark.parametrize("text", [b"", b"a", b"a\n", b"\n\n\n", b"a\nb\n\nc", b"a\r\nb\n", b"x" * 500])
@pytest.mark.parametrize("size", [1, 2, 7])
async def test_the_last_lines_are_those_of_the_whole(text: bytes, size: int) -> None:
    shelves = await stored(*(text[at : at + size] for at in range(0, len(text), size)))
    lines = text.splitlines(keepends=True) if b"\r" not in text else [b"a\r\n", b"b\n"]
    for tail in range(1, 6):
        assert await printed(shelves, tail) == b"".join(lines[-tail:])
    assert await printed(shelves, 0) == b""


async def test_what_is_missing_is_said() -> None:
    shelves = await stored(b"begun", state=LogState.GROWING)
    assert await printed(shelves) == b"begun\n[jobrelay: the log may go on]\n"
    for state, words in ((LogState.EXPIRED, "was deleted for its age"), (LogState.MISSING, "could not be kept")):
        with pytest.raises(NoLog, match=words):
            await printed(await stored(state=state))
    with pytest.raises(NoLog, match="no log of this container is known"):
        await anext(kept(shelves.reader, None, "u", "other"))
    cut = KeptLog(pod="u", container="main", state=LogState.CUT, reason="its end is missing")
    assert said_of(cut) == "its end is missing"


async def test_a_chunk_that_is_gone_hides_no_other() -> None:
    shelves = await stored(b"one\n", b"two\n", b"three\n")
    del shelves.chunks["u", "main", 1]
    assert await printed(shelves) == b"one\n[jobrelay: a part of the log is gone]\nthree\n"


class Elsewhere:
    """A store outside of the database."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = dict(enumerate(chunks))

    async def get(self, pod: str, container: str, number: int) -> bytes | None:
        return self.chunks.get(number)


async def test_chunks_elsewhere_are_compressed_and_may_be_damaged() -> None:
    shelves = await stored(b"", b"", b"")
    elsewhere = Elsewhere(compressed(b"one\n"), b"damaged", compressed(b"x" * (10 << 20)))
    log = shelves.headers["u", "main"]
    assert await chunk_of(shelves.reader, cast("Bodies", elsewhere), "u", "main", 1) is None
    whole = await read_back(shelves.reader, log, cast("Bodies", elsewhere))
    # One that somebody made large is not unpacked whole.
    assert whole == b"one\n[jobrelay: a part of the log is gone]\n" + b"x" * 65_536


def test_sizes_are_said_in_three_digits() -> None:
    told = {1: "1 byte", 999: "999 bytes", 1000: "1.0 kB", 12_345: "12 kB", 999_999: "1.0 MB", 5_200_000_000: "5.2 GB"}
    for size, words in told.items():
        assert gap_line(size) == f"[jobrelay: {words} left out here]\n".encode()
