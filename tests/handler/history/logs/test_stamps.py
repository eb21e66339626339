"""A log is read on where the last read ended: each byte once, whatever the times, lines and pieces are."""

from unittest.mock import patch

import pytest
from hypothesis import given, settings, strategies as st

from handler.history.logs import stamps
from handler.history.logs.stamps import Mark, Reading, time_of
from tests.handler.history.logs.kubeletlogs import BEGAN, Log, stamp
from tests.long import examples


def read_on(log: Log, mark: Mark | None, size: int) -> tuple[bytes, Reading]:
    reading, answer = Reading(mark), log.read(mark.since if mark else None)
    new = b"".join(reading.feed(answer[at : at + size]) for at in range(0, len(answer), size))
    return new, reading


TEXTS = st.sampled_from(
    [b"a line\n", b"\n", b"x" * 200, b"2023-11-14T22:13:20Z not a stamp\n", b"x" * 90 + b"\n", b"\xff\n"]
)
# Two streams: times are not in order. Many are equal.
TIMES = st.lists(st.tuples(st.integers(0, 3 * 10**9) | st.sampled_from([0, 10**9, 10**9 + 1]), st.booleans(), TEXTS))


@given(TIMES, st.integers(1, 60))
@settings(max_examples=examples(300))
def test_every_byte_is_read_once(writes: list[tuple[int, bool, bytes]], size: int) -> None:
    log, mark, told, clock = Log(), None, b"", 0
    with patch.object(stamps, "LONG", 150):
        for step, read, text in writes:
            clock += step % 700_000_000
            log.write(clock, text)
            if read:
                new, reading = read_on(log, mark, size)
                mark, told = reading.mark(), told + new
                assert told == log.whole
                assert not reading.renewed
        new, _ = read_on(log, mark, size)
    assert told + new == log.whole


def test_lines_out_of_order_are_read_once() -> None:
    """Standard output and error have times that differ from their order by a little."""
    log, mark, told = Log(), None, b""
    for number, at in enumerate(
        [5, 999_999_990, 1_000_000_010, 999_999_999, 1_000_000_020, 1_000_000_005, 1_999_999_999]
    ):
        log.write(at, b"line %d\n" % number)
        if number == 2:
            continue  # What comes late for its second is seen if it was written before the read.
        new, reading = read_on(log, mark, 7)
        mark, told = reading.mark(), told + new
        assert not reading.renewed
    assert told == log.whole


@pytest.mark.parametrize("size", [1, 1000])
def test_a_new_file_is_noticed_and_what_it_has_is_read(size: int) -> None:
    log = Log()
    log.write(1_000_000, b"one\n")
    log.write(2_000_000, b"two\n")
    mark = read_on(log, None, size)[1].mark()
    log.write(3_000_000, b"lost\n")
    log.rotate()
    log.write(4_000_000, b"three\n")
    log.write(5_000_000, b"four")
    new, reading = read_on(log, mark, size)
    assert new == b"three\nfour"
    assert reading.renewed
    log.write(6_000_000, b"teen\n")
    new, reading = read_on(log, reading.mark(), size)
    assert (new, reading.renewed) == (b"teen\n", False)


def test_an_empty_new_file_changes_nothing() -> None:
    log = Log()
    log.write(1_000_000, b"one\n")
    mark = read_on(log, None, 9)[1].mark()
    log.rotate()
    new, reading = read_on(log, mark, 9)
    assert (new, reading.mark(), reading.renewed) == (b"", mark, False)


def test_a_log_that_is_known_by_a_time_alone_is_read_on_from_there() -> None:
    log = Log()
    for number in range(20):
        log.write(number * 100_000_000, b"%d\n" % number)
    mark = read_on(log, None, 50)[1].mark()
    assert mark is not None
    log.write(1_950_000_000, b"20\n")
    log.write(3_000_000_000, b"21\n")
    new, reading = read_on(log, Mark(mark.last), 50)
    assert (new, reading.renewed) == (b"20\n21\n", False)
    assert read_on(log, reading.mark(), 50)[0] == b""


def test_a_log_that_has_nothing_has_no_mark() -> None:
    assert read_on(Log(), None, 1)[1].mark() is None


def test_times() -> None:
    assert time_of(b"2023-11-14T22:13:20.5Z ") == 1_700_000_000.5
    assert time_of(b"2023-11-15T00:13:20.000000001+02:00 ") == pytest.approx(1_700_000_000, abs=1e-6)
    assert time_of(b"2023-13-14T22:13:20Z ") == time_of(b"2023-11-14T24:00:00Z ") == time_of(b"none") == 0.0


def test_a_line_without_end_takes_no_memory() -> None:
    reading, size = Reading(), 0
    size += len(reading.feed(stamp(BEGAN) + b"x" * 1000))
    for _ in range(100):
        size += len(reading.feed(b"x" * 65_536))
    mark = reading.mark()
    assert mark is not None
    assert (size, mark.partial, mark.lines) == (6_554_600, 6_554_600, 0)
