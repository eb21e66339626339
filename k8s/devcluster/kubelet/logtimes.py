"""When what is in a container's log was written.

Containers write into their logs themselves, so nobody sees a line as it is written. Looks at the log note how large it
is and when it was written last: that is the time of all that has come since the look before, at most as much too late
as the looks are apart.
"""

import bisect
import os
import struct
from contextlib import suppress
from pathlib import Path

NANOSECONDS = 1_000_000_000
_NOTE = struct.Struct(">QQ")


class Times:
    """The notes about a log, in a file beside it that only grows.

    Within what came between two looks, each line has a time of its own, later than the line before: a byte counts as a
    nanosecond.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        self._file = log.with_suffix(".times")
        self._noted: tuple[int, int] | None = None

    def note(self) -> None:
        """Look at the log. Never raises: where nothing can be noted, the next look does it."""
        try:
            found = os.stat(self._log)
            if found.st_size <= (self._noted or (0,))[0]:
                return
            size, time = self._noted or self._newest()
            if found.st_size > size:
                size, time = found.st_size, max(found.st_mtime_ns, time + found.st_size - size)
                with self._file.open("ab") as stream:
                    stream.write(_NOTE.pack(size, time))
            self._noted = size, time
        except OSError:
            return

    def _newest(self) -> tuple[int, int]:
        notes = self.read()
        with suppress(FileNotFoundError):
            # A note of which only a part was written goes.
            os.truncate(self._file, len(notes) * _NOTE.size)
        return notes[-1] if notes else (0, 0)

    def read(self) -> list[tuple[int, int]]:
        """Sizes of the log, each with the time (nanoseconds since 1970) at which its last byte was written."""
        try:
            content = self._file.read_bytes()
        except FileNotFoundError:
            return []
        return list(_NOTE.iter_unpack(content[: len(content) // _NOTE.size * _NOTE.size]))


def written_before(notes: list[tuple[int, int]], time: int) -> int:
    """How many bytes were written before that time."""
    index = bisect.bisect_left(notes, time, key=lambda note: note[1])
    return notes[index - 1][0] if index else 0


def time_of(notes: list[tuple[int, int]], end: int) -> int | None:
    """When the line that ends there was written; None if no look has found it yet."""
    index = bisect.bisect_left(notes, end, key=lambda note: note[0])
    return notes[index][1] - (notes[index][0] - end) if index < len(notes) else None
