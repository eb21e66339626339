"""Where a pod's files are, and how to read a container's log. Knows no objects: the API checks those."""

import asyncio
import io
import os
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from k8s.devcluster.kubelet.containers import Run, runs
from k8s.devcluster.kubelet.logtimes import NANOSECONDS, time_of, written_before

BLOCK = 64 * 1024
POLL = 0.1  # Seconds between two reads of a growing file.


def pod_directory(directory: Path, pod_uid: str) -> Path:
    return directory / "pods" / pod_uid


def container_directory(directory: Path, pod_uid: str, container: str) -> Path:
    return pod_directory(directory, pod_uid) / "containers" / container


class Reading:
    """Reads the log of a run from the place that was asked for on.

    `tail`: only that many last lines. `since`: only lines written from then on, in seconds since 1970. `timestamps`:
    each line begins with its time and a space. A line has no time before it is complete: these two show it only then,
    or once the run has ended. `limit`: only that many bytes of what comes out.
    """

    def __init__(
        self,
        run: Run,
        *,
        tail: int | None = None,
        limit: int | None = None,
        since: float | None = None,
        timestamps: bool = False,
    ) -> None:
        self._run = run
        self._since = None if since is None else int(since * NANOSECONDS)
        self._timestamps = timestamps
        self._left = limit
        run.times.note()
        self._at = self._start(tail)

    @property
    def full(self) -> bool:
        """Whether the limit is reached."""
        return self._left == 0

    def pieces(self, *, ended: bool) -> Iterator[bytes]:
        """What has come since the last call. `ended`: nothing more will come, so its last line is complete."""
        found = self._blocks() if self._since is None and not self._timestamps else self._lines(ended=ended)
        for piece in found:
            if self._left is not None:
                piece = piece[: self._left]
                self._left -= len(piece)
            yield piece
            if self.full:
                return

    def _blocks(self) -> Iterator[bytes]:
        while block := _read(self._run.log, self._at):
            self._at += len(block)
            yield block

    def _lines(self, *, ended: bool) -> Iterator[bytes]:
        self._run.times.note()
        notes = self._run.times.read()
        with _opened(self._run.log) as stream:
            stream.seek(self._at)
            for line in stream:
                time = time_of(notes, self._at + len(line))
                if time is None or not (ended or line.endswith(b"\n")):
                    return
                self._at += len(line)
                if self._since is None or time >= self._since:
                    yield _stamp(time) + line if self._timestamps else line

    def _start(self, tail: int | None) -> int:
        with _opened(self._run.log) as stream:
            start = 0 if tail is None else _last_lines(stream, tail)
            if self._since is not None:
                known = written_before(self._run.times.read(), self._since)
                start = max(start, _last_lines(stream, 1, end=known) if known else 0)
        return start


def read_log(
    directory: Path,
    pod_uid: str,
    *,
    container: str,
    tail: int | None = None,
    limit: int | None = None,
    since: float | None = None,
    timestamps: bool = False,
    previous: bool = False,
) -> bytes:
    """The log of the container's last run (`previous`: of the run before); b"" if there is none. See `Reading`."""
    run = run_of(directory, pod_uid, container, previous=previous)
    if run is None or not run.log.exists():
        return b""
    ended = run.result() is not None
    return b"".join(Reading(run, tail=tail, limit=limit, since=since, timestamps=timestamps).pieces(ended=ended))


async def follow_log(
    directory: Path,
    pod_uid: str,
    *,
    container: str,
    tail: int | None = None,
    limit: int | None = None,
    since: float | None = None,
    timestamps: bool = False,
) -> AsyncIterator[bytes]:
    """Yields the log as it grows, until that run of the container has ended or the pod is gone. See `Reading`."""
    run = run_of(directory, pod_uid, container)
    if run is None or not run.log.exists():
        return
    reading = Reading(run, tail=tail, limit=limit, since=since, timestamps=timestamps)
    while True:
        ended = run.result() is not None  # Before reading, so that everything written before the end is read.
        for piece in reading.pieces(ended=ended):
            yield piece
        if ended or reading.full or not run.log.exists():
            return
        await asyncio.sleep(POLL)


def last_lines(file: Path, count: int, *, limit: int | None = None) -> bytes:
    """The last `count` lines in the last `limit` bytes of `file`. Reads no more than it needs."""
    with file.open("rb") as stream:
        end = stream.seek(0, os.SEEK_END)
        start = _last_lines(stream, count, end=end, floor=0 if limit is None else max(0, end - limit))
        stream.seek(start)
        return stream.read(end - start)


def run_of(directory: Path, pod_uid: str, container: str, *, previous: bool = False) -> Run | None:
    """The last run of a container, or the run before."""
    where = container_directory(directory, pod_uid, container)
    number = runs(where) - (1 if previous else 0)
    return Run(where, number) if number > 0 else None


def _last_lines(stream: BinaryIO, count: int, *, end: int | None = None, floor: int = 0) -> int:
    """Where the last `count` lines of what is between `floor` and `end` begin."""
    if end is None:
        end = stream.seek(0, os.SEEK_END)
    if count <= 0:
        return end
    start, left = end, count
    while start > floor:
        size = min(BLOCK, start - floor)
        start -= size
        stream.seek(start)
        block = stream.read(size)
        # The newline at the very end ends the last line; it begins none.
        at = size if start + size < end else size - 1
        while (at := block.rfind(b"\n", 0, at)) >= 0:
            left -= 1
            if not left:
                return start + at + 1
    return floor


def _stamp(time: int) -> bytes:
    seconds, rest = divmod(time, NANOSECONDS)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09}Z ".encode()


def _opened(file: Path) -> BinaryIO:
    try:
        return file.open("rb")
    except FileNotFoundError:
        return io.BytesIO()


def _read(file: Path, start: int) -> bytes:
    with _opened(file) as stream:
        stream.seek(start)
        return stream.read(BLOCK)
