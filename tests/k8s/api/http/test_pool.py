"""Which connection a request goes over, and what becomes of it after what a server does."""

import asyncio
import socket
import time
from collections.abc import Iterator

import pytest

from k8s.api.http.connection import Unanswered
from k8s.api.http.pool import IDLE_SECONDS
from tests.k8s.api.http.scripted import OK, Line, answer_all, ask, pooled, scripted
from tests.k8s.conftest import eventually
from tests.patience import PATIENCE, within


async def test_connections_are_kept_and_the_last_used_is_used_first() -> None:
    async with scripted(answer_all) as server, pooled(server.port) as pool:
        assert [*await asyncio.gather(ask(pool), ask(pool), ask(pool))] == [b"0", b"1", b"2"]
        assert [await ask(pool, "POST") for _ in range(5)] == [b"2"] * 5
        assert len(server.lines) == 3


async def test_no_request_waits_for_another() -> None:
    together = asyncio.Barrier(100)

    async def wait_for_all(line: Line) -> None:
        await line.request()
        await together.wait()
        await line.say(OK)

    async with scripted(wait_for_all) as server, pooled(server.port) as pool:
        assert await asyncio.gather(*(ask(pool) for _ in range(100))) == [b"a"] * 100


async def test_what_the_server_ended_meanwhile_is_not_used() -> None:
    async def once(line: Line) -> None:
        await line.request()
        await line.say(OK)

    async with scripted(once) as server, pooled(server.port) as pool:
        for number in range(3):
            assert await ask(pool, "POST") == b"a"
            await server.ended(number + 1)
            await eventually(lambda: not pool._open)


async def test_what_is_about_to_end_is_not_used() -> None:
    async with scripted(answer_all) as server, pooled(server.port) as pool:
        assert await ask(pool, "POST") == b"0"
        (kept,) = pool._idle
        assert kept._transport is not None
        kept._transport.close()  # As it does itself after an error, which it tells in the next turn of the loop.
        assert await ask(pool, "POST") == b"1"


async def end_the_second_request(line: Line) -> None:
    """As if the connection had ended while that was on its way. The third connection is well."""
    if line.number >= 2:
        await answer_all(line)
    await line.request()
    await line.say(OK)
    await line.request()
    line.reset()


async def test_a_get_that_met_the_end_of_a_kept_connection_is_sent_over_a_new_one() -> None:
    async with scripted(end_the_second_request) as server, pooled(server.port) as pool:
        await asyncio.gather(ask(pool), ask(pool))
        assert await ask(pool) == b"2", "the other one that was kept may have ended just so"


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT", "DELETE"])
async def test_what_may_have_had_an_effect_is_sent_once(method: str) -> None:
    async with scripted(end_the_second_request) as server, pooled(server.port) as pool:
        await ask(pool)
        with pytest.raises(Unanswered, match="the connection ended before the answer"):
            await ask(pool, method)
        assert len(server.lines) == 1


async def test_a_get_is_not_sent_a_third_time_and_over_a_new_connection_once() -> None:
    asked: list[int] = []

    async def end_all_but_the_first(line: Line) -> None:
        while await line.request():
            asked.append(line.number)
            if len(asked) > 1:
                return
            await line.say(OK)

    async with scripted(end_all_but_the_first) as server, pooled(server.port) as pool:
        await ask(pool)
        with pytest.raises(Unanswered):
            await ask(pool)
        assert asked == [0, 0, 1]
        with pytest.raises(Unanswered):
            await ask(pool)
        assert asked == [0, 0, 1, 2]


async def test_a_get_that_got_part_of_an_answer_is_not_repeated() -> None:
    async def half(line: Line) -> None:
        await line.request()
        await line.say(OK)
        await line.request()
        await line.say(OK[:10])

    async with scripted(half) as server, pooled(server.port) as pool:
        await ask(pool)
        with pytest.raises(ConnectionResetError, match="in the middle of the answer"):
            await ask(pool)
        assert len(server.lines) == 1


async def test_what_a_server_says_unasked_is_no_answer() -> None:
    async def chat(line: Line) -> None:
        await line.request()
        await line.say(OK)
        await line.say(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
        await line.ended()

    async with scripted(chat) as server, pooled(server.port) as pool:
        for number in range(3):
            assert await ask(pool, "POST") == b"a"
            await server.ended(number + 1)


@pytest.mark.parametrize(
    "said",
    [
        OK + b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\na",
        b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na",
    ],
    ids=["more than an answer", "close", "HTTP/1.0"],
)
async def test_a_connection_is_ended_after_such_an_answer(said: bytes) -> None:
    async def say(line: Line) -> None:
        await line.request()
        await line.say(said)
        await line.ended()

    async with scripted(say) as server, pooled(server.port) as pool:
        for number in range(3):
            assert await ask(pool, "POST") == b"a"
            await server.ended(number + 1)


async def test_an_answer_may_end_with_its_connection() -> None:
    async def say(line: Line) -> None:
        await line.request()
        await line.say(b"HTTP/1.0 200 OK\r\n\r\nhel")
        await asyncio.sleep(0)
        await line.say(b"lo")

    async with scripted(say) as server, pooled(server.port) as pool:
        assert await ask(pool) == b"hello"


async def test_a_server_may_answer_without_reading_all_of_the_request() -> None:
    async def refuse(line: Line) -> None:
        await line.reader.readuntil(b"\r\n\r\n")
        await line.say(b"HTTP/1.1 413 Too Large\r\nContent-Length: 1\r\n\r\nn")
        # It reads on, as Go's server does for a while, or its answer would be lost.
        await line.ended()

    async with scripted(refuse) as server, pooled(server.port) as pool:
        for number in range(2):
            assert await ask(pool, "POST", body=bytes(2**23)) == b"n"
            await server.ended(number + 1)


async def test_a_reset_while_the_request_is_sent_is_an_error() -> None:
    async def reset(line: Line) -> None:
        await line.reader.readuntil(b"\r\n\r\n")
        line.reset()

    async with scripted(reset) as server, pooled(server.port) as pool:
        with pytest.raises(ConnectionError):
            await ask(pool, "POST", body=bytes(2**23))


async def test_large_requests_and_answers_arrive_whole() -> None:
    body = bytes(range(256)) * 2**13

    async def echo(line: Line) -> None:
        while request := await line.request():
            await line.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for at in range(0, len(sent := request.partition(b"\r\n\r\n")[2]), 10_000):
                piece = sent[at : at + 10_000]
                await line.say(b"%x\r\n%b\r\n" % (len(piece), piece))
            await line.say(b"0\r\n\r\n")

    async with scripted(echo) as server, pooled(server.port) as pool:
        assert await ask(pool, "POST", body=body) == body
        assert await ask(pool, "POST", body=body[1:]) == body[1:]
        assert len(server.lines) == 1


@pytest.mark.stricter
async def test_a_deadline_is_kept_however_often_something_arrives() -> None:
    async def drip(line: Line) -> None:
        await line.request()
        while not line.writer.is_closing():
            await line.say(b"HTTP/1.1 100 Continue\r\n\r\n"[:1])
            await line.say(b"HTTP/1.1 100 Continue\r\n\r\n"[1:])
            await asyncio.sleep(0.01)

    async def drip_until_reset(line: Line) -> None:
        try:
            await drip(line)
        except ConnectionError:
            return

    async with scripted(drip_until_reset) as server, pooled(server.port) as pool:
        begun = time.monotonic()
        with pytest.raises(TimeoutError, match="no answer in time"):
            await ask(pool, seconds=0.2)
        assert time.monotonic() - begun < within(2)
        await server.ended(1)


async def test_each_request_has_its_own_deadline() -> None:
    async def silent_later(line: Line) -> None:
        await line.request()
        await line.say(OK)
        await line.ended()

    async with scripted(silent_later) as server, pooled(server.port) as pool:
        await ask(pool, seconds=0.1)
        with pytest.raises(TimeoutError):
            await ask(pool, seconds=0.3)
        await ask(pool, seconds=PATIENCE)
        with pytest.raises(TimeoutError):
            await ask(pool, seconds=0.1)
        assert len(server.lines) == 2


async def test_an_unused_connection_is_ended_though_nobody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert IDLE_SECONDS < 30
    monkeypatch.setattr("k8s.api.http.pool.IDLE_SECONDS", 0.1)
    async with scripted(answer_all) as server, pooled(server.port) as pool:
        await asyncio.gather(ask(pool, seconds=0.5), ask(pool), ask(pool))
        await server.ended(3)
        assert await ask(pool) == b"3"


async def test_who_stops_waiting_ends_the_connection() -> None:
    async def silent(line: Line) -> None:
        await line.request()
        await line.ended()

    async with scripted(silent) as server, pooled(server.port) as pool:
        for number in range(3):
            task = asyncio.create_task(ask(pool, "POST"))
            await eventually(lambda: len(server.lines) > len(server.ends))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await server.ended(number + 1)


async def test_stopping_at_any_moment_leaves_nothing_open() -> None:
    """Cancel after every number of turns of the loop: while it resolves, connects, sends, waits, and is answered."""
    async with scripted(answer_all) as server, pooled(server.port, host="localhost") as pool:
        for kept in (False, True):
            for turns in range(40):
                if kept:
                    await ask(pool)
                task = asyncio.create_task(ask(pool, "POST"))
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait([task])
                assert not pool._open - set(pool._idle)
        pool.close()
        await server.ended(len(server.lines))


async def test_closing_ends_all_connections_and_the_requests_on_them() -> None:
    async def only_the_first(line: Line) -> None:
        await line.request()
        if line.number == 0:
            await line.say(OK)
        await line.ended()

    async with scripted(only_the_first) as server, pooled(server.port) as pool:
        await ask(pool)
        waiting = [asyncio.create_task(ask(pool, "POST", body=b"x")) for _ in range(2)]
        await eventually(lambda: len(server.lines) == 2)
        pool.close()
        for task in waiting:
            with pytest.raises(ConnectionError):
                await task
        await server.ended(2)
        with pytest.raises(ConnectionAbortedError, match="closed"):
            await ask(pool)


async def test_a_refused_connection_says_where_to() -> None:
    async with scripted(answer_all) as server:
        port = server.port
    async with pooled(port) as pool:
        with pytest.raises(ConnectionError, match=rf"cannot connect to 127\.0\.0\.1:{port}: .*{port}"):
            await ask(pool)


async def test_a_name_without_an_address_says_which() -> None:
    async with pooled(1, host="jobrelay.invalid") as pool:
        with pytest.raises(ConnectionError, match=r"cannot connect to jobrelay\.invalid:1: \S"):
            await ask(pool)


@pytest.fixture
def deaf() -> Iterator[int]:
    """The port of a socket on 127.0.0.2 that takes no more connections, and refuses none."""
    with socket.socket() as listening, socket.socket() as first, socket.socket() as second:
        listening.bind(("127.0.0.2", 0))
        listening.listen(0)
        for one in (first, second):
            one.setblocking(False)
            one.connect_ex(listening.getsockname())
        yield listening.getsockname()[1]


async def test_connecting_has_a_deadline_of_its_own(deaf: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("k8s.api.http.pool.CONNECT_SECONDS", 0.2)
    async with pooled(deaf, host="127.0.0.2") as pool:
        with pytest.raises(TimeoutError, match=rf"no connection to 127\.0\.0\.2:{deaf} in time"):
            await ask(pool)
        assert not pool._open


async def test_the_next_address_is_tried_while_one_does_not_answer(deaf: int, monkeypatch: pytest.MonkeyPatch) -> None:
    async with scripted(answer_all) as server, pooled(server.port, host="server.example") as pool:
        places = [("127.0.0.2", deaf), ("127.0.0.1", server.port)]

        async def both(*_: object, **__: object) -> object:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", place) for place in places]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", both)
        assert await ask(pool) == b"0"
