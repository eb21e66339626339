"""Claims about the client library's ways that ours replaces, on a server of a few lines that writes down what it reads.

Where a claim is of the library, it says why ours differs: once it fails, ours is not needed any more.
"""

import asyncio
import inspect
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, strategies as st
from nats.aio.client import Client

from adapters.jetstream import client
from adapters.jetstream.client import NatsError, SafeClient
from adapters.jetstream.connection import connection
from adapters.jetstream.message import VERSION, Message, block, headers_in
from adapters.jetstream.options import JetStreamOptions
from tests.patience import PATIENCE

OPTIONS = JetStreamOptions(connect_timeout=PATIENCE, publish_timeout=PATIENCE)


class Server:
    """Reads lines, and answers pings; `say` sends more."""

    def __init__(self) -> None:
        self.read: list[bytes] = []
        self.url = ""
        self.writes: list[bytes] = []
        self._writer: asyncio.StreamWriter | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        info = {"server_id": "x", "version": "2.12.0", "headers": True, "max_payload": 1000}
        writer.write(b"INFO " + json.dumps(info).encode() + b"\r\n")
        while data := await reader.read(1 << 16):
            self.writes.append(data)
            for line in data.splitlines():
                self.read.append(line)
                if line == b"PING":
                    writer.write(b"PONG\r\n")
        writer.close()

    def say(self, data: bytes) -> None:
        assert self._writer is not None
        self._writer.write(data)

    def forget(self) -> None:
        self.read.clear()
        self.writes.clear()


@asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    script = Server()
    async with await asyncio.start_server(script.serve, "127.0.0.1", 0) as listening:
        script.url = f"nats://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        yield script


async def test_the_pong_of_a_flush_says_that_all_that_was_sent_before_has_been_read() -> None:
    async with serving() as server, connection(server.url, OPTIONS) as link:
        await link.flush()
        server.forget()
        await link.interest("a", lambda message: None)
        link.send("b", b"1")
        await link.flush()
        assert [line.split()[0] for line in server.read] == [b"SUB", b"PUB", b"1", b"PING"]


async def test_each_request_without_an_answer_is_given_up_in_its_own_time() -> None:
    impatient = JetStreamOptions(connect_timeout=PATIENCE, publish_timeout=0.05)
    async with serving() as server, connection(server.url, impatient) as link:
        begun = time.monotonic()
        for number in range(1, 4):
            found = await asyncio.gather(link.request("a"), link.request("b"), return_exceptions=True)
            assert [str(error) for error in found] == ["no answer on a in time", "no answer on b in time"]
            assert time.monotonic() - begun > number * 0.04


async def test_the_library_pings_ahead_of_what_was_sent_before() -> None:
    async with serving() as server:
        client = Client()
        await client.connect(server.url)
        server.forget()
        await client.publish("b", b"1")
        await client.flush()
        await client.close()
        assert server.read[0] == b"PING"


async def test_what_is_sent_in_one_turn_of_the_loop_is_one_write() -> None:
    async with serving() as server, connection(server.url, OPTIONS) as link:
        await link.flush()
        server.forget()
        for number in range(50):
            link.send("acks", b"%d" % number)
        await link.flush()
        assert len([write for write in server.writes if b"PUB" in write]) == 1
        assert server.read[1:100:2] == [b"%d" % number for number in range(50)]


async def test_what_nobody_waits_for_is_written_soon_and_together_or_with_the_next_that_somebody_waits_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serving() as server, connection(server.url, OPTIONS) as link:
        for hurry in (False, True):
            # A busy machine may need longer than that for the turns below.
            monkeypatch.setattr(client, "LAZY_SECONDS", 2 * PATIENCE if hurry else 0.1)
            await link.flush()
            server.forget()
            for number in range(3):
                link.send(f"ack.{number}", b"", lazy=True)
                await asyncio.sleep(0)
            assert server.writes == []
            if hurry:
                link.send("pull", b"")
            async with asyncio.timeout(PATIENCE):
                while not server.writes:
                    await asyncio.sleep(0.001)
            subjects = [line.split()[1] for line in server.writes[0].splitlines() if line.startswith(b"PUB")]
            assert subjects == [b"ack.0", b"ack.1", b"ack.2", *([b"pull"] if hurry else [])]


async def test_a_handler_that_fails_is_logged_and_the_next_message_is_handled(
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard: list[Message] = []

    def handle(message: Message) -> None:
        if message.data == b"bad":
            raise ZeroDivisionError
        heard.append(message)

    async with serving() as server, connection(server.url, OPTIONS) as link:
        interest = await link.interest("in", handle)
        number = interest._id
        server.say(
            b"MSG in.1 %d 3\r\nbad\r\nHMSG in.2 %d back 18 20\r\nNATS/1.0\r\na: b\r\n\r\nok\r\n" % (number, number)
        )
        async with asyncio.timeout(PATIENCE):
            while not heard:
                await asyncio.sleep(0.001)
        # Of an interest that has ended, nothing is handled.
        await link.unsubscribe(interest)
        server.say(b"MSG in.3 %d 4\r\nlate\r\n" % number)
        await link.flush()
        await link.flush()
    assert heard == [Message("in.2", "back", b"ok", {"a": "b"}, 20)]
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == [
        "a callback failed"
    ]


async def test_draining_handles_what_comes_until_the_server_has_read_that_the_interest_ends() -> None:
    heard: list[bytes] = []
    async with serving() as server, connection(server.url, OPTIONS) as link:
        interest = await link.interest("in", lambda message: heard.append(message.data))
        await link.flush()
        server.forget()
        draining = asyncio.create_task(link.unsubscribe(interest, wait=True))
        server.say(b"MSG in.1 %d 4\r\nlast\r\n" % interest._id)
        await draining
    assert heard == [b"last"]
    assert server.read[:2] == [b"UNSUB %d " % interest._id, b"PING"]


async def test_what_the_server_would_close_the_connection_for_is_not_sent() -> None:
    async with serving() as server:
        client = SafeClient()
        with pytest.raises(NatsError):
            client.post("early", b"")
        async with connection(server.url, OPTIONS) as link:
            await link.flush()
            link._client.post("fits", b"x" * 980, headers=block({"a": "1"}))
            with pytest.raises(NatsError):
                link._client.post("large", b"x" * 990, headers=block({"a": "1"}))
            await link.flush()
        assert [line.split()[:2] for line in server.read if line.startswith(b"HPUB")] == [[b"HPUB", b"fits"]]


@pytest.mark.parametrize("name", ["_process_msg", "_process_headers", "_flush_pending", "_send_ping", "_process_pong"])
def test_what_is_overridden_is_there_and_is_called_in_the_same_way(name: str) -> None:
    def parameters(function: Callable[..., object]) -> list[tuple[str, object]]:
        return [(one.name, one.default) for one in inspect.signature(function).parameters.values()]

    assert parameters(getattr(SafeClient, name)) == parameters(getattr(Client, name))


names = st.from_regex(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,20}", fullmatch=True)
values = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=30).map(str.strip)


@given(st.dictionaries(names, values, max_size=8))
def test_headers_are_read_as_they_were_written(headers: dict[str, str]) -> None:
    written = block(headers)
    assert written.startswith(VERSION)
    assert headers_in(written[len(VERSION) :]) == headers == Client._parse_header_lines(written[len(VERSION) :])


def test_a_line_break_in_a_value_adds_no_header_and_a_bad_name_is_refused() -> None:
    assert headers_in(block({"a": "x\r\nb: y"})[len(VERSION) :]) == {"a": "x  b: y"}
    for name in ("", "a b", "a:b", "a\r\nb", "ä"):
        with pytest.raises(ValueError, match="NATS does not take"):
            block({name: "x"})
