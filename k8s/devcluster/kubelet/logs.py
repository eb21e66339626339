"""Where a pod's files are, and how to read a container's log. Knows no objects: the API checks those."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

from k8s.devcluster.kubelet.containers import Run, runs

BLOCK = 64 * 1024
POLL = 0.1  # Seconds between two reads of a growing file.


def pod_directory(directory: Path, pod_uid: str) -> Path:
    return directory / "pods" / pod_uid


def container_directory(directory: Path, pod_uid: str, container: str) -> Path:
    return pod_directory(directory, pod_uid) / "containers" / container


def read_log(
    directory: Path,
    pod_uid: str,
    *,
    container: str,
    tail: int | None = None,
    limit: int | None = None,
    since: float | None = None,
    previous: bool = False,
) -> bytes:
    """The log of the container's last run (`previous`: of the run before); b"" if there is none.

    `tail`: only that many last lines, and of those `limit`: only that many first bytes.
    `since`: seconds since 1970. Lines have no time, so a log counts as empty if nothing was written since then.
    """
    run = _run(directory, pod_uid, container, previous=previous)
    if run is None or not run.log.exists():
        return b""
    if since is not None and run.log.stat().st_mtime < since:
        return b""
    content = run.log.read_bytes() if tail is None else last_lines(run.log, tail)
    return content if limit is None else content[:limit]


async def follow_log(
    directory: Path,
    pod_uid: str,
    *,
    container: str,
    tail: int | None = None,
    since: float | None = None,
) -> AsyncIterator[bytes]:
    """Yields the log as it grows, until that run of the container has ended or the pod is gone."""
    run = _run(directory, pod_uid, container)
    if run is None:
        return
    skipped = 0
    if tail is not None or since is not None:
        shown = read_log(directory, pod_uid, container=container, tail=tail, since=since)
        skipped = run.log.stat().st_size - len(shown)
    while True:
        ended = run.result() is not None  # Before reading, so that everything written before the end is read.
        while block := _read(run.log, skipped):
            skipped += len(block)
            yield block
        if ended or not run.log.exists():
            return
        await asyncio.sleep(POLL)


def last_lines(file: Path, count: int, *, limit: int | None = None) -> bytes:
    """The last `count` lines in the last `limit` bytes of `file`. Reads no more than it needs."""
    if count <= 0:
        return b""
    with file.open("rb") as stream:
        end = stream.seek(0, os.SEEK_END)
        floor = 0 if limit is None else max(0, end - limit)
        start, content = end, b""
        # One newline more than lines, because the last newline ends the file.
        while start > floor and content.count(b"\n") <= count:
            size = min(BLOCK, start - floor)
            start -= size
            stream.seek(start)
            content = stream.read(size) + content
    lines = content.removesuffix(b"\n").split(b"\n")[-count:]
    return b"\n".join(lines) + b"\n" * content.endswith(b"\n")


def _run(directory: Path, pod_uid: str, container: str, *, previous: bool = False) -> Run | None:
    where = container_directory(directory, pod_uid, container)
    number = runs(where) - (1 if previous else 0)
    return Run(where, number) if number > 0 else None


def _read(file: Path, start: int) -> bytes:
    try:
        with file.open("rb") as stream:
            stream.seek(start)
            return stream.read(BLOCK)
    except FileNotFoundError:
        return b""
