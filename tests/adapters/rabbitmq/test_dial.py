"""Claims about connecting to one of several addresses: those that are down or frozen hold nothing up."""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest

from adapters.base import BrokerUnavailable
from adapters.rabbitmq.client import Channel
from adapters.rabbitmq.connection import close_channel, connection
from adapters.rabbitmq.dial import first_of
from adapters.rabbitmq.options import RabbitMQOptions
from adapters.servers.free_port import free_port
from tests.patience import PATIENCE, within

OPTIONS = RabbitMQOptions(connect_timeout=PATIENCE)
ODD = 0.05


class Runs:
    """Attempts that note what became of them."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.dropped: list[str] = []
        self.running = 0

    async def attempt(self, name: str, seconds: float, *, fails: bool = False, clings: bool = False) -> str:
        self.begun.append(name)
        self.running += 1
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            if not clings:
                raise
        finally:
            self.running -= 1
        if fails:
            raise BrokerUnavailable(f"{name} is down")
        return name

    async def drop(self, name: str) -> None:
        self.dropped.append(name)


async def test_next_attempt_begins_beside_one_that_takes_long_and_at_once_after_one_that_failed() -> None:
    runs = Runs()
    attempts = [
        lambda: runs.attempt("frozen", 3600),
        lambda: runs.attempt("down", 0, fails=True),
        lambda: runs.attempt("up", 0),
        lambda: runs.attempt("more", 0),
    ]
    assert await first_of(attempts, drop=runs.drop, pause=ODD) == "up"
    assert (runs.begun, runs.running, runs.dropped) == (["frozen", "down", "up"], 0, [])


async def test_slow_attempt_still_counts_and_what_is_too_late_is_dropped() -> None:
    runs = Runs()
    attempts = [lambda: runs.attempt("slow", 3 * ODD), lambda: runs.attempt("late", 3600, clings=True)]
    assert await first_of(attempts, drop=runs.drop, pause=ODD) == "slow"
    assert (runs.running, runs.dropped) == (0, ["late"])


async def test_failure_of_all_says_why_each_failed() -> None:
    runs = Runs()
    attempts = [lambda: runs.attempt("b", 0, fails=True), lambda: runs.attempt("a", 0, fails=True)]
    with pytest.raises(BrokerUnavailable, match="a is down; b is down"):
        await first_of(attempts, drop=runs.drop)


@asynccontextmanager
async def frozen() -> AsyncIterator[tuple[int, list[asyncio.StreamReader]]]:
    """The port of a server that takes connections and says nothing, and its connections that are not ended."""
    readers: list[asyncio.StreamReader] = []

    async def taken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        readers.append(reader)
        while await reader.read(1000):
            pass
        readers.remove(reader)
        writer.close()

    async with await asyncio.start_server(taken, "127.0.0.1") as server:
        yield server.sockets[0].getsockname()[1], readers


@pytest.mark.broker
@pytest.mark.stricter
async def test_servers_that_are_down_or_frozen_hold_nothing_up(
    rabbit_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def in_order(hosts: Sequence[str], number: int) -> list[str]:
        return list(hosts[:number])

    monkeypatch.setattr(random, "sample", in_order)
    login, _, up = urlsplit(rabbit_url).netloc.rpartition("@")
    async with frozen() as (port, readers):
        url = f"amqp://{login}@127.0.0.1:{port},127.0.0.1:{free_port()},{up}"
        began = time.monotonic()
        async with connection(url, OPTIONS, purpose="test") as link:
            assert link.connected
            assert time.monotonic() - began < within(3)
            async with asyncio.timeout(PATIENCE):
                while readers:
                    await asyncio.sleep(0.01)
    assert not caplog.records


@pytest.mark.broker
async def test_when_none_answers_each_is_named() -> None:
    options = RabbitMQOptions(connect_timeout=1.5)
    async with frozen() as (port, _):
        down = free_port()
        with pytest.raises(BrokerUnavailable) as failed:
            async with connection(f"amqp://u:secret@127.0.0.1:{port},127.0.0.1:{down}", options, purpose="test"):
                pass
    assert f"127.0.0.1:{port}: no answer in time" in str(failed.value)
    assert f"127.0.0.1:{down}: Connect call failed" in str(failed.value)
    assert "secret" not in str(failed.value)


@pytest.mark.broker
async def test_connection_that_opens_no_channel_any_more_is_replaced(
    rabbit_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def stuck(*, confirms: bool) -> Channel:
        never: asyncio.Future[Channel] = asyncio.get_running_loop().create_future()
        return await never

    async with connection(rabbit_url, RabbitMQOptions(publish_timeout=0.5), purpose="test") as link:
        old = link._client
        monkeypatch.setattr(old, "open_channel", stuck)
        with pytest.raises(BrokerUnavailable, match="opening a channel: no answer in time"):
            await link.open_channel()
        async with asyncio.timeout(PATIENCE):
            while link._client is old or not link.connected:
                await asyncio.sleep(0.01)
        await close_channel(await link.open_channel())
    (lost,) = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert "it opened no channel in time" in lost
    assert "guest:" not in caplog.text


@pytest.mark.broker
async def test_connection_that_is_lost_again_and_again_is_made_again_less_and_less_often(
    rabbit_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "adapters.rabbitmq.connection")
    made = 0

    def count() -> None:
        nonlocal made
        made += 1

    async with connection(rabbit_url, OPTIONS, purpose="test") as link, link.reconnects.listening(count):
        began = time.monotonic()
        while time.monotonic() - began < 2:
            if link._client is not None:
                link._client.stream.abort()
            await asyncio.sleep(0.01)
        # The pauses are 0.25, 0.5 and 1 s at least.
        assert made <= 3
        async with asyncio.timeout(PATIENCE):
            while not link.connected:
                await asyncio.sleep(0.01)
    told = [record.message.split(" ")[0] for record in caplog.records]
    assert told.count("lost") in (told.count("connected"), told.count("connected") + 1)
    assert len(told) <= 2 * (made + 1)
