"""What is kept of a log: its first quarter and its last three quarters, to the byte, in bounded memory."""

import tracemalloc

import pytest
from hypothesis import given, settings, strategies as st

from handler.history.logs.keeping import CHUNK, Keeper, Kept, Shelf, chunk_size, line_end, line_start
from tests.long import examples

LIMITS = st.integers(0, 40_000)
PIECES = st.lists(st.binary(max_size=300) | st.text(max_size=80).map(str.encode) | st.just(b"a line\n" * 40)).map(
    lambda few: few * 9
)


def joined(kept: Kept) -> tuple[bytes, bytes]:
    """What stands before the gap, and after it, of a log that was stored at once."""
    head, tail = (b"".join(kept.put[one.number] for one in part) for part in (kept.shelf.head, kept.shelf.tail))
    return head, tail


def keep(limit: int, *pieces: bytes) -> Kept:
    keeper = Keeper(limit)
    for piece in pieces:
        keeper.feed(piece)
    return keeper.finish()


@given(LIMITS, PIECES)
@settings(max_examples=examples(200))
def test_any_log_is_kept_whole_or_without_its_middle(limit: int, pieces: list[bytes]) -> None:
    whole, kept = b"".join(pieces), keep(limit, *pieces)
    head, tail = joined(kept)
    assert len(head) + len(tail) + kept.shelf.dropped == len(whole)
    assert whole.startswith(head)
    assert whole.endswith(tail)
    assert kept.drop == []
    if len(whole) <= limit:
        assert (head + tail, kept.shelf.dropped) == (whole, 0)
        return
    near = limit // 16
    assert limit // 4 - near - 4 <= len(head) <= limit // 4
    assert limit - near - 4 <= len(head) + len(tail) <= limit
    assert all(len(chunk) <= chunk_size(limit) for chunk in kept.put.values())


@given(LIMITS, PIECES, st.data())
@settings(max_examples=examples(200))
def test_a_log_that_is_read_again_and_again_is_kept_as_well(
    limit: int, pieces: list[bytes], data: st.DataObject
) -> None:
    shelf, chunks, whole = Shelf(), dict[int, bytes](), b""
    while pieces:
        some = data.draw(st.integers(1, len(pieces)))
        again = shelf.unfilled(limit)
        keeper = Keeper(limit, shelf, chunks[again.number] if again else b"")
        for piece in pieces[:some]:
            keeper.feed(piece)
        assert keeper.fed == sum(map(len, pieces[:some]))
        whole, pieces, kept = whole + b"".join(pieces[:some]), pieces[some:], keeper.finish()
        shelf, chunks = kept.shelf, {number: body for number, body in chunks.items() if number not in kept.drop}
        assert not chunks.keys() & kept.put.keys()
        chunks |= kept.put
        assert {one.number: one.size for one in shelf.chunks} == {number: len(body) for number, body in chunks.items()}
        head, tail = (b"".join(chunks[one.number] for one in part) for part in (shelf.head, shelf.tail))
        assert len(head) + len(tail) + shelf.dropped == len(whole)
        assert whole.startswith(head)
        assert whole.endswith(tail)
        assert shelf.size <= limit
        assert shelf.dropped == 0 or shelf.size >= limit - 2 * chunk_size(limit)
        assert shelf.dropped == 0 or len(whole) > limit


def test_the_gap_is_between_lines() -> None:
    lines = [f"{number}: a line of the log, and what it says\n".encode() for number in range(10_000)]
    head, tail = joined(keep(65_536, b"".join(lines)))
    assert head.endswith(b"\n")
    assert tail.split(b"\n", 1)[0] + b"\n" in lines
    assert head.count(b"\n") + tail.count(b"\n") == len(head.splitlines()) + len(tail.splitlines())


def test_what_begins_with_a_line_by_chance_loses_no_line() -> None:
    lines = [b"%063d\n" % number for number in range(1000)]
    head, tail = joined(keep(6400, *lines))
    assert head == b"".join(lines[:25])
    assert tail == b"".join(lines[-75:])


@pytest.mark.parametrize("letter", ["é", "€", "\U0001f600"])
def test_a_character_is_never_cut(letter: str) -> None:
    text = (letter * 30_000).encode()
    for limit in range(1000, 1030):
        head, tail = joined(keep(limit, b"x", text))
        assert head.decode() + tail.decode() == "x" + letter * (len((head + tail).decode()) - 1)
        assert len(head) + len(tail) >= limit - 6


def test_what_is_no_utf_8_is_kept_as_it_is() -> None:
    for bad in (b"\xe9" * 50_000, b"\x80" * 50_000, b"\x00\xff" * 25_000):
        head, tail = joined(keep(10_000, bad))
        assert head == bad[: len(head)]
        assert tail == bad[-len(tail) :]
        assert len(head) + len(tail) >= 10_000 - 8


def test_where_to_cut() -> None:
    assert line_end(b"one\ntwo\nthree", 12, 100) == 8
    assert line_end(b"one\ntwo\nthree", 12, 3) == 12
    assert line_end("aé".encode(), 2, 0) == 1
    assert line_end("aé".encode(), 3, 0) == 3
    assert line_start(b"ree\nfour", 100) == 4
    assert line_start(b"ree\n", 100) == 0
    assert line_start("é".encode()[1:] + b"x", 0) == 1
    assert line_start(b"\x80\x80\x80\x80x", 0) == 0


@pytest.mark.parametrize("piece", [b"x" * 65_536, b"a line of a log\n" * 4096, b"x" * (2 << 20)])
def test_a_long_log_takes_little_more_memory_than_its_limit(piece: bytes) -> None:
    limit, times = 1 << 20, (256 << 20) // len(piece)
    tracemalloc.start()
    try:
        keeper = Keeper(limit)
        for _ in range(times):
            keeper.feed(piece)
        kept = keeper.finish()
        assert tracemalloc.get_traced_memory()[1] < limit + 2 * len(piece) + 8 * CHUNK
    finally:
        tracemalloc.stop()
    assert kept.shelf.size + kept.shelf.dropped == times * len(piece)
