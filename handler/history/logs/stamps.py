"""Reads on in a log where the last read ended, by the times that Kubernetes puts before its lines. Pure.

`sinceTime` has whole seconds, so what comes first was read before. Those are the same lines in the same order, and are
counted off: by their times alone lines have no order, since a container writes to two streams. Where the first line is
another one, the node has begun a new file, and the API server shows that alone.

A line of more than 16 KiB has several times in the file, of which we see the first. So we read on from no second that
may begin within such a line.
"""

import re
from enum import Enum, auto
from functools import lru_cache

import msgspec

from events.cloudevent.timestamp import parse_epoch

_STAMP = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d) ")
_STAMPS = re.compile(rb"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d) ", re.MULTILINE)
_SECONDS = re.compile(rb"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", re.MULTILINE)
_SECOND = 19
_LONGEST = 36
"""Bytes of the longest stamp, with the blank after it."""
LONG = 4096
"""Bytes of a line, with its stamp, that may have several times. Runtimes write shorter ones at once."""


class Mark(msgspec.Struct, frozen=True, gc=False):
    """How far a log was read. Times are epoch seconds.

    `last`: time of the last line. `first`: stamp of the first line of the second to read on from, mostly the latest;
    `latest`: the latest second that any line has. `lines`: how many whole lines there are since `first`, and whether
    the last of them is `long`. `partial`: bytes of the line after them, which had not ended; `unended`: its stamp.

    Without `first`, what was read is known by its time alone: all that follows a line after `last` is new.
    """

    last: float
    first: bytes = b""
    latest: bytes = b""
    lines: int = 0
    long: bool = False
    partial: int = 0
    unended: bytes = b""

    @property
    def since(self) -> float:
        """From when to read on: a whole second."""
        return float(int(time_of(self.first) if self.first else self.last))


class _Mode(Enum):
    COMPARE = auto()
    """The first line has to be that of the mark."""
    SKIP = auto()
    """Lines that were read before."""
    CUT = auto()
    """The next line was read in part."""
    TIME = auto()
    """Lines that were read before are known by their times."""
    TAKE = auto()


class Reading:
    """A read of a log with time stamps: all of it, or from the second of a mark on. Feed it what comes, in any pieces.

    `renewed`: the node has begun a new file since the mark: what the last one had after it is missing.
    """

    def __init__(self, mark: Mark | None = None) -> None:
        self.renewed = False
        self._before = mark
        self._mode = _Mode.TAKE if mark is None else _Mode.COMPARE if mark.first else _Mode.TIME
        self._skip = 0
        self._cut = 0
        self._rest = b""
        self._in_line = False
        self._taking = True
        self._stamp = b""
        self._partial = 0
        self._first = b""
        self._lines = 0
        self._latest = b""
        self._long = False
        self._last = mark.last if mark else 0.0

    def feed(self, piece: bytes) -> bytes:
        """What is new in this piece, without time stamps."""
        buffer, self._rest = self._rest + piece, b""
        at, taken = 0, bytearray()
        while at < len(buffer):
            if self._in_line:
                at = self._go_on(buffer, at, taken)
            elif self._mode is _Mode.SKIP:
                at = self._skip_lines(buffer, at)
            elif self._mode is _Mode.TAKE and (end := buffer.rfind(b"\n", at) + 1):
                taken += self._whole(buffer[at:end])
                at = end
            elif (begun := self._begin(buffer, at)) is not None:
                at = begun
            else:
                self._rest = buffer[at:]
                break
        return bytes(taken)

    def mark(self) -> Mark | None:
        """How far the log is read now; None if it has nothing yet."""
        if self._mode in (_Mode.COMPARE, _Mode.SKIP, _Mode.CUT):
            return self._before
        first, lines, latest = self._first, self._lines, self._latest
        if not self._in_line:
            return Mark(self._last, first, latest, lines, self._long) if first else self._before
        if self._may_begin(self._stamp):
            first, lines = self._stamp, 0
        latest = max(latest, self._stamp[:_SECOND])
        last = max(self._last, time_of(self._stamp))
        return Mark(last, first, latest, lines, self._long, self._partial, self._stamp)

    def _begin(self, buffer: bytes, at: int) -> int | None:
        """Begin a line, unless it has to be looked at anew. Returns where to go on; None if its stamp is incomplete."""
        found = _STAMP.match(buffer, at)
        if found is None and len(buffer) - at < _LONGEST and b"\n" not in buffer[at:]:
            return None
        stamp = found[0] if found else b""
        mark, taking = self._before, True
        if mark and self._mode is _Mode.COMPARE:
            self._compare(mark, stamp)
            return at
        if mark and self._mode is _Mode.CUT:
            self._mode = _Mode.TAKE
            self._cut = mark.partial if stamp == mark.unended else 0
        elif mark and self._mode is _Mode.TIME:
            taking = time_of(stamp) > mark.last
            if taking:
                self._mode = _Mode.TAKE
                return at
        self._in_line, self._taking, self._stamp, self._partial = True, taking, stamp, 0
        return at + len(stamp)

    def _compare(self, mark: Mark, stamp: bytes) -> None:
        if stamp != mark.first:
            self.renewed, self._mode = True, _Mode.TIME
            return
        self._first, self._latest, self._lines, self._long = mark.first, mark.latest, mark.lines, mark.long
        self._skip = mark.lines
        self._mode = _Mode.SKIP if self._skip else self._after_skip(mark)

    def _after_skip(self, mark: Mark | None) -> _Mode:
        return _Mode.CUT if mark and mark.partial else _Mode.TAKE

    def _skip_lines(self, buffer: bytes, at: int) -> int:
        there = buffer.count(b"\n", at)
        if not there:
            self._in_line, self._taking = True, False
            return at
        passed = min(there, self._skip)
        self._skip -= passed
        if not self._skip:
            self._mode = self._after_skip(self._before)
        return len(buffer) - len(buffer[at:].split(b"\n", passed)[-1])

    def _go_on(self, buffer: bytes, at: int, taken: bytearray) -> int:
        """Within a line."""
        end = buffer.find(b"\n", at) + 1
        part = buffer[at : end or len(buffer)]
        self._partial += len(part)
        if self._taking:
            taken += part[self._cut :]
            self._cut = max(0, self._cut - len(part))
        if end:
            self._in_line = False
            self._end_line()
        return at + len(part)

    def _end_line(self) -> None:
        if self._mode is not _Mode.SKIP:
            self._note(self._stamp, [self._stamp[:_SECOND]])
            self._long = self._partial + len(self._stamp) > LONG
            return
        self._skip -= 1
        if not self._skip:
            self._mode = self._after_skip(self._before)

    def _whole(self, lines: bytes) -> bytes:
        """Take these lines, all of them new."""
        seconds: list[bytes] = _SECONDS.findall(lines)
        latest = re.search(rb"^" + max(seconds) + rb"\S* ", lines, re.MULTILINE) if seconds else None
        if latest is None:
            return lines
        begins = latest[0]
        if at := latest.start():
            if at - _start_of_last(lines, at) > LONG:
                begins = (_STAMP.match(lines) or latest)[0]
            else:
                self._long = False
        self._note(begins, seconds)
        final = _start_of_last(lines, len(lines))
        self._long = len(lines) - final > LONG
        self._last = max(self._last, time_of(lines[final : final + _LONGEST]))
        return _STAMPS.sub(b"", lines)

    def _note(self, stamp: bytes, seconds: list[bytes]) -> None:
        """Count whole lines of these seconds. `stamp`: of the line among them to read on from, if that may be."""
        if self._may_begin(stamp):
            self._first, self._lines = stamp, 0
        self._lines += sum(second >= self._first[:_SECOND] for second in seconds)
        self._latest = max(self._latest, *seconds)
        self._last = max(self._last, time_of(stamp))

    def _may_begin(self, stamp: bytes) -> bool:
        """Whether this line is the first that the API server shows of those since its second."""
        return stamp[:_SECOND] > self._latest and not (self._long and self._first)


def _start_of_last(lines: bytes, end: int) -> int:
    """Where the whole line begins that ends at `end`."""
    return lines.rfind(b"\n", 0, end - 1) + 1


def time_of(stamp: bytes) -> float:
    """Epoch seconds; 0 if it is none."""
    found = _STAMP.match(stamp)
    if found is None:
        return 0.0
    fraction = found[2] or b"0"
    return _second(found[1], found[3]) + float(b"0." + fraction)


@lru_cache(maxsize=16)
def _second(text: bytes, zone: bytes) -> float:
    try:
        return parse_epoch((text + zone).decode())
    except ValueError:
        return 0.0
