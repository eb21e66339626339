"""Every answer means the same however its bytes arrive, and the same to aiohttp."""

import asyncio
from collections.abc import Iterable
from itertools import pairwise
from typing import cast

import aiohttp
import pytest
from hypothesis import example, given, settings, strategies as st

from k8s.api.http.connection import Connection, Unanswered
from k8s.api.http.message import Answer, ProtocolError
from k8s.api.http.reader import MAX_ANSWER, MAX_HEAD, Reader
from tests.k8s.api.http.corpus import BROKEN, CHUNKED, LOOSER, OK, STRICTER, WELL, Said
from tests.patience import PATIENCE

Meaning = tuple[int, dict[bytes, bytes], bytes]


class Wire:
    """Stands for the transport of a connection: what is written goes nowhere."""

    aborted = False

    def write(self, data: bytes) -> None:
        """Nobody reads it."""

    def abort(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return self.aborted

    def get_write_buffer_size(self) -> int:
        return 0


def received(pieces: Iterable[bytes], *, end: bool) -> tuple[Meaning | str, bool]:
    """What the pieces mean, or the name of the error, and whether the connection can be used again."""
    return asyncio.run(_received(pieces, end))


async def _received(pieces: Iterable[bytes], end: bool) -> tuple[Meaning | str, bool]:
    wire = Wire()
    connection = Connection(lambda _: None)
    connection.connection_made(cast("asyncio.Transport", wire))
    waiting = connection.ask(b"", until=asyncio.get_running_loop().time() + PATIENCE)
    for piece in pieces:
        connection.data_received(piece)
    usable = connection.usable and waiting.done()
    if end:
        connection.eof_received()
    connection.close()
    try:
        return meaning(waiting.result()), usable
    except OSError as error:
        return type(error).__name__, usable


def meaning(answer: Answer) -> Meaning:
    return answer.status, answer.fields, answer.body


async def read_by_aiohttp(said: Said) -> Meaning | None:
    """None: it takes it for no answer."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said.bytes)
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server, aiohttp.ClientSession() as session:
        port = server.sockets[0].getsockname()[1]
        try:
            async with session.post(f"http://127.0.0.1:{port}/") as response:
                body = await response.read()
        except aiohttp.ClientError:
            return None
        fields: dict[bytes, bytes] = {}
        for name, value in response.raw_headers:
            fields.setdefault(name.lower(), value)
        return response.status, fields, body


def named(said: Said) -> str:
    return said.name


@pytest.mark.parametrize("said", WELL, ids=named)
async def test_what_aiohttp_takes_means_the_same_to_us(said: Said) -> None:
    found, usable = await _received([said.bytes], end=True)
    assert found == await read_by_aiohttp(said)
    assert usable == said.kept


@pytest.mark.parametrize("said", BROKEN, ids=named)
async def test_what_is_no_answer_to_aiohttp_is_none_to_us(said: Said) -> None:
    found, _ = await _received([said.bytes], end=True)
    assert found in {"ProtocolError", "ConnectionResetError", "Unanswered"}
    assert await read_by_aiohttp(said) is None


@pytest.mark.parametrize("said", STRICTER, ids=named)
async def test_we_are_stricter_than_aiohttp(said: Said) -> None:
    found, usable = await _received([said.bytes], end=True)
    assert (found, usable) == ("ProtocolError", False)
    assert await read_by_aiohttp(said) is not None


@pytest.mark.parametrize("said", [*WELL, *STRICTER, *LOOSER, *BROKEN], ids=named)
def test_it_means_the_same_wherever_it_is_split(said: Said) -> None:
    async def all_splits() -> None:
        whole = await _received([said.bytes], end=True)
        singly = [said.bytes[at : at + 1] for at in range(len(said.bytes))]
        assert await _received(singly, end=True) == whole
        for at in range(len(said.bytes)):
            assert await _received([said.bytes[:at], said.bytes[at:]], end=True) == whole

    asyncio.run(all_splits())


@pytest.mark.parametrize("said", [one for one in WELL if one.kept], ids=named)
def test_every_part_of_an_answer_is_no_answer(said: Said) -> None:
    async def all_parts() -> None:
        for at in range(1, len(said.bytes)):
            found, _ = await _received([said.bytes[:at]], end=True)
            assert found == "ConnectionResetError", at

    asyncio.run(all_parts())


@pytest.mark.parametrize("said", LOOSER, ids=named)
def test_what_follows_an_answer_ends_the_connection_alone(said: Said) -> None:
    found, usable = received([said.bytes], end=False)
    assert isinstance(found, tuple)
    assert not usable


def test_an_end_before_any_byte_is_an_error_of_its_own() -> None:
    assert received([], end=True)[0] == Unanswered.__name__


NAMES = st.sampled_from([b"Date", b"date", b"Retry-After", b"X-A", b"Content-Type", b"Warning"])
VALUES = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20).map(str.encode)
EXTENSIONS = st.sampled_from([b"", b";a", b";a=b", b';a="b;c"'])


@st.composite
def answers(draw: st.DrawFn) -> tuple[Meaning, bytes]:
    """What an answer means, and its bytes."""
    status = draw(st.sampled_from([200, 201, 400, 401, 404, 409, 413, 422, 429, 500, 503]))
    fields = draw(st.lists(st.tuples(NAMES, VALUES), max_size=6))
    pieces = draw(st.lists(st.binary(min_size=1, max_size=40), max_size=4))
    body = b"".join(pieces)
    if draw(st.booleans()):
        coding = (b"Transfer-Encoding", b"chunked")
        lines = [b"%x%b\r\n%b\r\n" % (len(piece), draw(EXTENSIONS), piece) for piece in pieces]
        trailers = draw(st.lists(st.tuples(NAMES, VALUES), max_size=2))
        sent = b"".join([*lines, b"0", draw(EXTENSIONS), b"\r\n", *_lines(trailers), b"\r\n"])
    else:
        coding, sent = (b"Content-Length", b"%d" % len(body)), body
    fields.insert(draw(st.integers(0, len(fields))), coding)
    before = b"".join(draw(st.lists(st.sampled_from([b"HTTP/1.1 100 Continue\r\n\r\n"]), max_size=2)))
    head = b"".join([b"HTTP/1.1 %d Reason\r\n" % status, *_lines(fields), b"\r\n"])
    meant: dict[bytes, bytes] = {}
    for name, value in fields:
        meant.setdefault(name.lower(), value)
    return (status, meant, body), before + head + sent


def _lines(fields: list[tuple[bytes, bytes]]) -> list[bytes]:
    return [b"%b: %b\r\n" % field for field in fields]


def split(data: bytes, places: list[int]) -> list[bytes]:
    cuts = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[begin:end] for begin, end in pairwise(cuts)]


PLACES = st.lists(st.integers(0, 10_000), max_size=5)


@settings(max_examples=30)
@given(st.lists(answers(), min_size=1, max_size=3), PLACES)
def test_answers_of_one_connection_are_told_apart(said: list[tuple[Meaning, bytes]], places: list[int]) -> None:
    reader = Reader()
    for meant, sent in said:
        found = [answer for piece in split(sent, places) if (answer := reader.feed(piece)) is not None]
        assert [meaning(answer) for answer in found] == [meant]
        assert reader.reusable
        assert not reader.begun


@settings(max_examples=30)
@given(answers(), st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=3), PLACES)
@example(((200, {}, b""), CHUNKED + b"0\r\n\r\n"), [(len(CHUNKED), ord("f"))], [len(CHUNKED) + 1])
def test_broken_answers_are_refused_the_same_however_they_arrive(
    said: tuple[Meaning, bytes], changes: list[tuple[int, int]], places: list[int]
) -> None:
    data = bytearray(said[1])
    for place, value in changes:
        data[place % len(data)] = value
    at_once, usable = received([bytes(data)], end=True)
    in_pieces, usable_then = received(split(bytes(data), places), end=True)
    assert in_pieces == at_once
    # Only of line ends after an answer it is told at once, but not later, that nobody asked for them.
    assert usable_then <= usable


def feed(reader: Reader, data: bytes, *, at_least: int) -> None:
    for _ in range(at_least // len(data) + 1):
        assert reader.feed(data) is None


@pytest.mark.parametrize(
    ("begun", "more"),
    [(OK + b"X-A: ", b"a" * 16), (OK, b"X-A: a\r\n"), (b"", b"HTTP/1.1 100 Continue\r\n\r\n")],
    ids=["value", "headers", "continues"],
)
def test_a_head_without_end_is_refused(begun: bytes, more: bytes) -> None:
    reader = Reader()
    reader.feed(begun)
    with pytest.raises(ProtocolError, match="too long"):
        feed(reader, more, at_least=MAX_HEAD)


def test_a_body_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_ANSWER > 100 * 2**20
    monkeypatch.setattr("k8s.api.http.reader.MAX_ANSWER", 2**18)
    reader = Reader()
    reader.feed(CHUNKED)
    with pytest.raises(ProtocolError, match="too long"):
        feed(reader, b"400\r\n" + b"a" * 1024 + b"\r\n", at_least=2**18)


def test_a_body_longer_than_a_head_may_be_is_read() -> None:
    body = b"a" * (4 * MAX_HEAD)
    found, usable = received([OK + b"Content-Length: %d\r\n\r\n" % len(body), body], end=False)
    assert isinstance(found, tuple)
    assert (found[2] == body, usable) == (True, True)
