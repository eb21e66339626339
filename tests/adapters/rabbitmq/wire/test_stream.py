"""Claims about cutting a connection's bytes into frames: whole, in order, each for who listens or for the library."""

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import given, strategies as st
from pamqp import commands
from pamqp.body import ContentBody
from pamqp.frame import FrameTypes, marshal, unmarshal
from pamqp.header import ContentHeader
from pamqp.heartbeat import Heartbeat

from adapters.rabbitmq.wire.frames import BODY, DELIVER as DELIVERED, HEADER
from adapters.rabbitmq.wire.stream import Stream

OURS, THEIRS = 1, 2
DELIVER = commands.Basic.Deliver(consumer_tag="c", delivery_tag=7, exchange="e", routing_key="k")


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.closing = False

    def write(self, data: bytes) -> None:  # type: ignore[override]
        self.writes.append(data)

    def is_closing(self) -> bool:
        return self.closing


class Listening:
    """Takes all content."""

    def __init__(self) -> None:
        self.taken: list[tuple[int, bytes]] = []
        self.ended = False

    def take(self, kind: int, payload: bytes) -> bool:
        if kind in (HEADER, BODY) or payload.startswith(DELIVERED):
            self.taken.append((kind, payload))
            return True
        return False

    def end(self) -> None:
        self.ended = True


def received(data: bytes) -> Iterator[tuple[int, FrameTypes]]:
    while data:
        size, channel, frame = unmarshal(data)
        yield channel, frame
        data = data[size:]


@pytest.fixture
async def listening() -> Listening:
    return Listening()


@pytest.fixture
async def made(listening: Listening) -> Stream:
    made = Stream()
    made.connection_made(Transport())
    made.listen(OURS, listening)
    return made


async def library(made: Stream) -> bytes:
    """What the library can read."""
    reader, writer = made.ends
    reader.feed_eof()
    read = await reader.read()
    transport_of(writer).closing = True
    return read


def transport_of(writer: asyncio.StreamWriter) -> Transport:
    assert isinstance(writer.transport, Transport)
    return writer.transport


def sent(*frames: tuple[int, FrameTypes]) -> bytes:
    return b"".join(marshal(frame, channel) for channel, frame in frames)


BYTES = sent(
    (0, commands.Connection.Blocked(reason="memory")),
    (OURS, DELIVER),
    (THEIRS, DELIVER),
    (OURS, ContentHeader(body_size=3)),
    (THEIRS, ContentHeader(body_size=2)),
    (OURS, ContentBody(b"abc")),
    (OURS, commands.Basic.QosOk()),
    (THEIRS, ContentBody(b"de")),
    (0, Heartbeat()),
)


@given(st.sets(st.integers(1, len(BYTES) - 1)))
def test_frames_are_the_same_however_their_bytes_come(cuts: set[int]) -> None:
    async def fed(*places: int) -> tuple[list[tuple[int, bytes]], bytes]:
        made, listening = Stream(), Listening()
        made.connection_made(Transport())
        made.listen(OURS, listening)
        for begin, end in zip((0, *places), (*places, len(BYTES)), strict=True):
            made.data_received(BYTES[begin:end])
        return listening.taken, await library(made)

    assert asyncio.run(fed(*sorted(cuts))) == asyncio.run(fed())


async def test_every_frame_is_either_the_listeners_or_the_librarys(made: Stream, listening: Listening) -> None:
    for at in range(len(BYTES)):
        made.data_received(BYTES[at : at + 1])
    assert [payload for kind, payload in listening.taken if kind == BODY] == [b"abc"]
    assert len(listening.taken) == 3
    assert made.blocked
    made.data_received(sent((0, commands.Connection.Unblocked())))
    assert not made.blocked
    names = [(channel, frame.name) for channel, frame in received(await library(made))]
    assert names == [
        (0, "Connection.Blocked"),
        (THEIRS, "Basic.Deliver"),
        (THEIRS, "ContentHeader"),
        (OURS, "Basic.QosOk"),
        (THEIRS, "ContentBody"),
        (0, "Heartbeat"),
        (0, "Connection.Unblocked"),
    ]


async def test_whatever_comes_was_heard_in_parts_too(made: Stream) -> None:
    for at in range(len(BYTES)):
        made.data_received(BYTES[at : at + 1])
    assert made.heard == len(BYTES)


@pytest.mark.parametrize("garbage", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"AMQP\x00\x00\x09\x01", bytes(20)])
@pytest.mark.parametrize("before", [b"", sent((THEIRS, DELIVER))])
async def test_what_is_no_frame_is_the_librarys_with_all_that_follows(
    made: Stream, listening: Listening, before: bytes, garbage: bytes
) -> None:
    later = sent((OURS, DELIVER))
    made.data_received(before + garbage)
    made.data_received(later)
    assert (listening.taken, await library(made)) == ([], before + garbage + later)


async def test_frame_without_its_end_mark_is_the_librarys(made: Stream, listening: Listening) -> None:
    torn = sent((OURS, DELIVER))[:-1] + b"\x00"
    made.data_received(torn)
    assert (listening.taken, await library(made)) == ([], torn)


@pytest.mark.parametrize(
    "frame",
    [commands.Channel.Close(reply_code=404, reply_text="gone", class_id=0, method_id=0), commands.Channel.CloseOk()],
)
async def test_listener_ends_with_its_channel(made: Stream, listening: Listening, frame: FrameTypes) -> None:
    made.data_received(sent((THEIRS, frame), (OURS, frame), (OURS, DELIVER)))
    assert listening.ended
    # Another channel may have its number by now.
    assert listening.taken == []


async def test_listener_ends_with_the_connection(made: Stream, listening: Listening) -> None:
    made.connection_lost(None)
    assert listening.ended
    assert await library(made) == b""


async def test_reason_of_a_closed_connection_is_kept(made: Stream) -> None:
    closing = commands.Connection.Close(reply_code=320, reply_text="CONNECTION_FORCED - bye", class_id=0, method_id=0)
    made.data_received(sent((0, closing)))
    assert made.reply_text == "CONNECTION_FORCED - bye"


async def test_what_is_sent_within_a_turn_of_the_loop_is_written_at_once_and_in_order(made: Stream) -> None:
    _, writer = made.ends
    transport = transport_of(writer)
    made.send(b"a")
    made.send(b"b")
    assert transport.writes == []
    await asyncio.sleep(0)
    made.send(b"c")
    made.flush()
    writer.write(b"d")
    await asyncio.sleep(0)
    assert transport.writes == [b"ab", b"c", b"d"]
    transport.closing = True
    made.send(b"e")
    await asyncio.sleep(0)
    assert transport.writes == [b"ab", b"c", b"d"]
