"""Logs that are read while they grow: what goes with a pod is what was written since the last read."""

import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest

from handler.history.base import KeptLog, LogState
from handler.history.logs import attending, taking
from handler.history.logs.keeping import chunk_size
from tests.handler.history.logs.kubeletlogs import Log
from tests.handler.history.logs.shelves import read_back
from tests.handler.history.logs.wards import Ward, make_seen
from tests.handler.samples import until

LIMIT = 65_536


@pytest.fixture
def ward(monkeypatch: pytest.MonkeyPatch) -> Ward:
    monkeypatch.setattr(attending, "FOLLOW_SECONDS", 0.02)
    return Ward()


@pytest.fixture
def log(ward: Ward) -> Log:
    """The log of every pod."""
    log = Log()

    async def says(_: str, given: dict[str, Any]) -> AsyncIterator[bytes]:
        answer = log.read(given["since"], stamps=given["timestamps"])
        for at in range(0, len(answer), 1000):
            yield answer[at : at + 1000]

    ward.says = says
    return log


async def growing(ward: Ward, bytes_: int) -> KeptLog:
    """The header, once so many bytes are kept or left out."""

    async def look() -> KeptLog | None:
        found = ward.shelves.headers.get(("a", "main"))
        return found if found and found.bytes + found.dropped >= bytes_ else None

    return await until(look)


async def test_what_a_pod_said_until_the_last_read_outlives_it(ward: Ward, log: Log) -> None:
    async with ward.keeping(make_seen("a", over=False), logs="follow"):
        log.say("one\n", "two\n")
        header = await growing(ward, 8)
        assert header.state is LogState.GROWING
        assert await read_back(ward.shelves.reader, header) == b"one\ntwo\n[jobrelay: the log may go on]\n"
        log.say("three\n")
        await growing(ward, 14)
        ward.pods.drop("a")
        (header,) = await ward.kept("a")
    assert (header.state, header.reason) == (LogState.CUT, attending.ENDLESS)
    printed = await read_back(ward.shelves.reader, header)
    assert printed == f"one\ntwo\nthree\n[jobrelay: {attending.ENDLESS}]\n".encode()


async def test_a_log_that_was_followed_to_its_end_is_whole(ward: Ward, log: Log) -> None:
    async with ward.keeping(make_seen("a", over=False), logs="follow"):
        log.say("one\n", "tw")
        await growing(ward, 6)
        log.say("o\n", "three")
        ward.pods.put(make_seen("a"))
        (header,) = await ward.kept("a")
    assert (header.state, header.reason) == (LogState.WHOLE, None)
    assert await read_back(ward.shelves.reader, header) == b"one\ntwo\nthree"
    assert len(ward.shelves.chunks) == len(header.chunks) == 1


async def test_a_long_log_that_is_followed_has_a_gap(ward: Ward, log: Log) -> None:
    numbers = itertools.count()
    async with ward.keeping(make_seen("a", over=False), logs="follow", log_bytes=LIMIT):
        for _ in range(20):
            log.say(*(f"{next(numbers)} {'x' * 500}\n" for _ in range(30)))
            header = await growing(ward, len(log.whole))
            assert header.bytes <= LIMIT
            assert {key[2] for key in ward.shelves.chunks} == set(header.chunks)
        ward.pods.put(make_seen("a"))
        (header,) = await ward.kept("a")
    assert header.bytes + header.dropped == len(log.whole)
    assert LIMIT - 2 * chunk_size(LIMIT) <= header.bytes <= LIMIT
    gap = f"[jobrelay: {header.dropped // 1000} kB left out here]\n"
    head, tail = (await read_back(ward.shelves.reader, header)).split(gap.encode())
    assert log.whole.startswith(head)
    assert log.whole.endswith(b"\n" + tail)
    assert abs(len(head) - LIMIT // 4) < 4096


async def test_who_records_next_reads_on(ward: Ward, log: Log) -> None:
    for number in range(5):
        async with ward.keeping(make_seen("a", over=False), logs="follow", log_bytes=LIMIT):
            log.say(*(f"{number} {'x' * 90}\n" for _ in range(200)))
            await growing(ward, len(log.whole))
    async with ward.keeping(make_seen("a"), logs="end", log_bytes=LIMIT):
        (header,) = await ward.kept("a")
    assert (header.state, header.bytes + header.dropped) == (LogState.CUT, len(log.whole))
    head, tail = (await read_back(ward.shelves.reader, header)).split(b"[jobrelay: ")
    assert log.whole.startswith(head)
    assert log.whole.endswith(tail.partition(b"\n")[2])


async def test_a_new_file_of_the_log_is_told(ward: Ward, log: Log) -> None:
    async with ward.keeping(make_seen("a", over=False), logs="follow"):
        log.say("one\n")
        await growing(ward, 4)
        log.rotate()
        log.say("two\n")
        await growing(ward, 8)
        ward.pods.put(make_seen("a"))
        (header,) = await ward.kept("a")
    assert (header.state, header.reason) == (LogState.CUT, taking.RENEWED)
    assert await read_back(ward.shelves.reader, header) == f"one\ntwo\n[jobrelay: {taking.RENEWED}]\n".encode()


async def test_a_log_is_read_when_its_pod_is_deleted(ward: Ward, log: Log) -> None:
    async with ward.keeping(make_seen("a", over=False), logs="end"):
        log.say("one\n")
        await until(lambda: ward.noted("a"))
        assert ward.asked == []
        ward.pods.put(make_seen("a", over=False, deleted=True))
        await growing(ward, 4)
        log.say("two\n")
        ward.pods.put(make_seen("a", deleted=True))
        (header,) = await ward.kept("a")
    assert (header.state, header.bytes) == (LogState.WHOLE, 8)


NOT_THERE = [
    "unable to retrieve container logs for containerd://0123456789",
    'failed to try resolving symlinks in path "/pods/a/main/0.log": lstat /pods/a: no such file or directory',
]


@pytest.mark.parametrize("text", NOT_THERE)
async def test_a_log_that_its_node_has_deleted_is_missing(ward: Ward, text: str) -> None:
    async def says(*_: object) -> AsyncIterator[bytes]:
        yield text.encode()

    ward.says = says
    async with ward.keeping(make_seen("a", over=False), logs="follow"):
        await until(lambda: ward.noted("a"))
        ward.pods.put(make_seen("a"))
        (header,) = await ward.kept("a")
    assert (header.state, header.chunks) == (LogState.MISSING, ())
    assert header.reason == f"the node does not have it: {text}"
