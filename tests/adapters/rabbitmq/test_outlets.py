"""Claims about the channel that publishes share: what a queue refuses there is tried elsewhere, and that replaces it.

RabbitMQ does so only in a cluster, while a node dies: the broker is scripted here.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from pamqp import commands
from pamqp.frame import marshal

from adapters.base import BrokerUnavailable
from adapters.rabbitmq import outlets
from adapters.rabbitmq.client import NotTaken, Unanswered
from adapters.rabbitmq.options import RabbitMQOptions
from adapters.rabbitmq.outlet import Outlet
from adapters.rabbitmq.outlets import IN_FLIGHT
from adapters.rabbitmq.publisher import Publisher
from adapters.rabbitmq.wire.properties import Properties
from adapters.rabbitmq.wire.stream import Stream
from tests.adapters.brokers import RABBIT, installation
from tests.patience import PATIENCE


class Line:
    """A channel: how the broker answers the publishes on it, or not at all, and whether it was closed."""

    def __init__(self, answer: type[commands.Basic.Ack | commands.Basic.Nack] | None) -> None:
        self.answer = answer
        self.published = 0
        self.is_closed = False
        self.number, self.max_content_size = 1, 100
        self.closing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.stream = Stream()
        self.outlet = Outlet(self, self.stream)  # type: ignore[arg-type]
        self.stream.send = self._sent  # type: ignore[method-assign]

    def _sent(self, frames: bytes) -> None:
        self.published += 1
        if self.answer is not None:
            asyncio.get_running_loop().call_soon(self.say, self.answer, self.published)

    def say(self, answer: Callable[[int], Any], number: int) -> None:
        self.stream.data_received(marshal(answer(number), 1))

    async def close(self) -> None:
        self.is_closed = True
        self.closing.cancel()


class Link:
    """A connection on which each new channel answers as the next of `answers` says, the last one for ever."""

    blocked = False
    connected = True

    def __init__(
        self, *answers: type[commands.Basic.Ack | commands.Basic.Nack] | None, seconds: float = PATIENCE
    ) -> None:
        self.options = RabbitMQOptions(publish_timeout=seconds)
        self._answers = list(answers)
        self.lines: list[Line] = []
        self.asked = 0

    async def open_outlet(self) -> Outlet:
        await asyncio.sleep(0)
        self.lines.append(Line(self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]))
        return self.lines[-1].outlet

    @asynccontextmanager
    async def channel(self) -> AsyncIterator[Any]:
        async def declare(queue: str, *, passive: bool) -> None:
            self.asked += 1

        yield SimpleNamespace(queue_declare=declare)

    @asynccontextmanager
    async def answered(self, what: str) -> AsyncIterator[None]:
        yield


ACK, NACK = commands.Basic.Ack, commands.Basic.Nack


async def store(publisher: Publisher, count: int, *, needs: str | None = None) -> list[BaseException | None]:
    stored = (publisher.store("e", "k", b"x", Properties(message_id=f"m{each}"), needs=needs) for each in range(count))
    return await asyncio.gather(*stored, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No channel is so young that it is believed."""
    monkeypatch.setattr("adapters.rabbitmq.publisher.TRIAL_SECONDS", 0.0)


@pytest.mark.usefixtures("at_once")
async def test_what_the_shared_channel_refuses_is_stored_on_a_new_one_which_all_then_share() -> None:
    link = Link(NACK, ACK)
    publisher = Publisher(link)  # type: ignore[arg-type]
    assert await store(publisher, 50) == [None] * 50
    old, new = link.lines
    await until(lambda: old.is_closed)
    assert await store(publisher, 5) == [None] * 5
    assert (old.published, new.published, len(link.lines)) == (50, 55, 2)
    await publisher.close()
    assert new.is_closed


@pytest.mark.usefixtures("at_once")
async def test_what_is_in_flight_on_a_replaced_channel_is_waited_for() -> None:
    link = Link(None, ACK)
    publisher = Publisher(link)  # type: ignore[arg-type]
    waiting = [asyncio.create_task(store(publisher, 1)) for _ in range(2)]
    await until(lambda: bool(link.lines) and link.lines[0].published == 2)
    old = link.lines[0]
    old.say(NACK, 1)
    assert await waiting[0] == [None]
    assert await store(publisher, 1) == [None]
    assert not old.is_closed
    assert not waiting[1].done()
    old.say(ACK, 2)
    assert await waiting[1] == [None]
    await until(lambda: old.is_closed)
    assert (old.published, link.lines[1].published) == (2, 2)
    await publisher.close()


async def test_queue_that_really_refuses_costs_one_channel_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlets, "TRIAL_SECONDS", 0.2)
    monkeypatch.setattr("adapters.rabbitmq.publisher.TRIAL_SECONDS", 0.2)
    link = Link(NACK)
    publisher = Publisher(link)  # type: ignore[arg-type]
    loop = asyncio.get_running_loop()
    began = loop.time()
    while loop.time() - began < 1:
        assert {type(error) for error in await store(publisher, 20)} == {NotTaken}
        await asyncio.sleep(0.01)
    assert len(link.lines) <= 2 + (loop.time() - began) / 0.2
    assert not link.lines[0].is_closed
    await until(lambda: all(line.is_closed for line in link.lines[1:]))
    await publisher.close()


@pytest.mark.usefixtures("at_once")
async def test_queue_that_must_be_there_is_asked_for_anew_when_the_channel_is_another() -> None:
    link = Link(NACK, ACK)
    publisher = Publisher(link)  # type: ignore[arg-type]
    assert await store(publisher, 3, needs="log") == [None] * 3
    assert await store(publisher, 3, needs="log") == [None] * 3
    assert link.asked == 2
    await publisher.close()


async def test_publish_that_is_not_answered_is_tried_on_a_new_channel_while_there_is_time() -> None:
    link = Link(None, ACK)
    publisher = Publisher(link)  # type: ignore[arg-type]
    both = asyncio.create_task(store(publisher, 2))
    await until(lambda: bool(link.lines) and link.lines[0].published == 2)
    assert link.lines[0].outlet.expire(0)
    assert await both == [None, None]
    old, new = link.lines
    await until(lambda: old.is_closed)
    assert (old.published, new.published) == (2, 2)
    await publisher.close()


async def test_publishes_to_other_exchanges_are_not_held_up_by_one_that_is_not_answered() -> None:
    link = Link(None, ACK)
    publisher = Publisher(link)  # type: ignore[arg-type]
    stuck = asyncio.create_task(store(publisher, 1))
    await until(lambda: bool(link.lines) and link.lines[0].published == 1)
    await publisher.store("another", "k", b"x", Properties())
    assert not stuck.done()
    link.lines[0].say(ACK, 1)
    assert await stuck == [None]
    await publisher.close()


async def test_publish_fails_when_its_time_is_over_and_others_in_flight_are_waited_for() -> None:
    link = Link(None, ACK, seconds=0.05)
    publisher = Publisher(link)  # type: ignore[arg-type]
    early = asyncio.create_task(store(publisher, 1))
    await asyncio.sleep(0.1)
    late = asyncio.create_task(store(publisher, 1))
    await until(lambda: bool(link.lines) and link.lines[0].published == 2)
    old = link.lines[0]
    assert old.outlet.expire(0.05)
    (error,) = await early
    assert isinstance(error, Unanswered)
    assert await store(publisher, 1) == [None]
    assert not old.is_closed
    old.say(ACK, 2)
    assert await late == [None]
    await until(lambda: old.is_closed)
    await publisher.close()


async def test_all_that_wait_to_hear_whether_a_queue_is_there_hear_it_of_one_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    link = Link(ACK)
    publisher = Publisher(link)  # type: ignore[arg-type]

    @asynccontextmanager
    async def unanswered(what: str) -> AsyncIterator[None]:
        link.asked += 1
        await asyncio.sleep(0.01)
        raise Unanswered(what)
        yield

    with monkeypatch.context() as patched:
        patched.setattr(link, "answered", unanswered)
        failed = await store(publisher, 50, needs="log")
    assert {type(error) for error in failed} == {Unanswered}
    assert link.asked == 1
    assert await store(publisher, 50, needs="log") == [None] * 50
    await publisher.close()


async def test_no_more_is_in_flight_than_a_channel_that_is_stuck_can_hold_and_what_waits_fails_in_time() -> None:
    link = Link(None, seconds=0.2)
    publisher = Publisher(link)  # type: ignore[arg-type]
    all_of_them = asyncio.create_task(store(publisher, IN_FLIGHT + 50))
    await until(lambda: bool(link.lines) and link.lines[0].published == IN_FLIGHT)
    for number in range(1, 21):
        link.lines[0].say(ACK, number)
    await until(lambda: link.lines[0].published == IN_FLIGHT + 20)
    await asyncio.sleep(0.3)
    link.lines[0].outlet.expire(0)
    done = await all_of_them
    assert (done.count(None), link.lines[0].published) == (20, IN_FLIGHT + 20)
    assert {type(error) for error in done[20:]} == {Unanswered}
    await publisher.close()


async def test_channel_counts_as_unanswered_only_while_something_waits_and_nothing_at_all_is_answered() -> None:
    line = Line(None)
    assert line.outlet.unanswered(1) == 0
    waiting = [line.outlet.publish("e", "k", b"x", Properties(message_id=f"m{each}")) for each in range(3)]
    assert [line.outlet.unanswered(1) for _ in range(2)] == [1, 2]
    line.say(ACK, 2)
    assert [line.outlet.unanswered(1) for _ in range(2)] == [1, 2]
    line.say(ACK, 3)
    line.say(ACK, 1)
    assert line.outlet.unanswered(1) == 0
    assert all(each.done() for each in waiting)


@pytest.mark.broker
async def test_full_queue_refuses_on_a_channel_of_its_own_too(rabbit_url: str) -> None:
    async with installation(rabbit_url, RABBIT) as made:
        full = f"{made.names.instance}.full"
        limits: dict[str, Any] = {"x-queue-type": "quorum", "x-max-length": 1, "x-overflow": "reject-publish"}
        publisher = Publisher(made.link)
        async with made.link.channel() as channel:
            await channel.queue_declare(full, durable=True, arguments=limits)
            refused: set[type] = set()
            try:
                async with asyncio.timeout(PATIENCE):
                    while NotTaken not in refused or publisher._outlets[""]._trial is None:
                        try:
                            await publisher.store("", full, b"x", Properties())
                        except BrokerUnavailable as error:
                            refused.add(type(error))
                        await asyncio.sleep(0.02)
            finally:
                await channel.queue_delete(full)
        assert refused == {NotTaken}
        assert made.link.connected
        await publisher.close()
