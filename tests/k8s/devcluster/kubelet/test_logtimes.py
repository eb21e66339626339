"""When the lines of a log were written, and what is shown of them."""

import os
from pathlib import Path

from k8s.devcluster.kubelet.containers import Run
from k8s.devcluster.kubelet.logs import Reading
from k8s.devcluster.kubelet.logtimes import NANOSECONDS, Times, time_of

AT = 1_700_000_000


def write(run: Run, text: bytes, *, at: float) -> None:
    """As if a container had written it then."""
    with run.log.open("ab") as stream:
        stream.write(text)
    os.utime(run.log, ns=(0, int(at * NANOSECONDS)))


def shown(run: Run, *, ended: bool = True, **asked: object) -> bytes:
    return b"".join(Reading(run, **asked).pieces(ended=ended))  # type: ignore[arg-type]


def test_lines_have_the_time_of_the_write_before_the_look_that_found_them(tmp_path: Path) -> None:
    run = Run(tmp_path, 1)
    write(run, b"a\nb\n", at=AT)
    run.times.note()
    write(run, b"c\n", at=AT + 5)
    assert shown(run, timestamps=True) == (
        b"2023-11-14T22:13:19.999999998Z a\n2023-11-14T22:13:20.000000000Z b\n2023-11-14T22:13:25.000000000Z c\n"
    )
    assert shown(run, timestamps=True, limit=33) == b"2023-11-14T22:13:19.999999998Z a\n"
    assert shown(run, timestamps=True, limit=35).endswith(b"a\n20")
    assert shown(run, timestamps=True, tail=1) == b"2023-11-14T22:13:25.000000000Z c\n"


def test_since_compares_each_line_whatever_the_looks_cut(tmp_path: Path) -> None:
    run = Run(tmp_path, 1)
    times = []
    for number, text in enumerate([b"one\ntw", b"o\n", b"", b"three", b"\nfour\nfive"]):
        write(run, text, at=AT + 10 * number)
        run.times.note()
    lines = [b"one\n", b"two\n", b"three\n", b"four\n", b"five"]
    notes, end = run.times.read(), 0
    for line in lines:
        end += len(line)
        found = time_of(notes, end)
        assert found is not None
        times.append(found)
    assert [round(time / NANOSECONDS) - AT for time in times] == [0, 10, 40, 40, 40]
    for second in range(-5, 50, 5):
        expected = [line for line, time in zip(lines, times, strict=True) if time >= (AT + second) * NANOSECONDS]
        assert shown(run, since=AT + second) == b"".join(expected)
        assert shown(run, since=AT + second, tail=2) == b"".join(expected[-2:])


def test_unfinished_line_is_shown_whole_or_not_yet_where_times_matter(tmp_path: Path) -> None:
    run = Run(tmp_path, 1)
    write(run, b"a\nbe", at=AT)
    reading = Reading(run, since=0)
    assert b"".join(reading.pieces(ended=False)) == b"a\n"
    assert b"".join(reading.pieces(ended=False)) == b""
    write(run, b"gun\nend", at=AT + 1)
    assert b"".join(reading.pieces(ended=False)) == b"begun\n"
    assert b"".join(reading.pieces(ended=True)) == b"end"
    assert shown(run, ended=False) == b"a\nbegun\nend"


def test_each_line_is_later_than_the_line_before_though_the_clock_stands_or_goes_back(tmp_path: Path) -> None:
    run = Run(tmp_path, 1)
    for step in (0, 0, -60, 0):
        write(run, b"x\n" * 50, at=AT + step)
        Times(run.log).note()  # As a new process would.
    stamps = [line.split()[0] for line in shown(run, timestamps=True).splitlines()]
    assert len(set(stamps)) == 200
    assert stamps == sorted(stamps)


def test_notes_that_were_cut_off_or_cannot_be_written_lose_no_line(tmp_path: Path) -> None:
    run = Run(tmp_path, 1)
    write(run, b"a\n", at=AT)
    run.times.note()
    file = run.log.with_suffix(".times")
    file.write_bytes(file.read_bytes() + b"\0" * 7)
    write(run, b"b\n", at=AT + 1)
    assert shown(Run(tmp_path, 1), since=AT - 1) == b"a\nb\n"
    file.unlink()
    file.mkdir()
    write(run, b"c\n", at=AT + 2)
    run.times.note()
    file.rmdir()
    assert shown(run, since=AT + 1) == b"a\nb\nc\n"
