"""Claims about publishes: each has its own outcome, whatever the broker says of several, and in whichever order."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from pamqp import commands
from pamqp.frame import FrameTypes, marshal
from pamqp.header import ContentHeader

from adapters.base import BrokerUnavailable
from adapters.rabbitmq.outlet import Outcome, Outlet
from adapters.rabbitmq.publisher import Publisher
from adapters.rabbitmq.wire.properties import Properties
from adapters.rabbitmq.wire.stream import Stream
from tests.adapters.brokers import RABBIT, installation

Waiting = asyncio.Future[Outcome]


class Wired:
    """An outlet, and what the broker says on its channel."""

    def __init__(self) -> None:
        self.closing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.stream = Stream()
        channel: Any = SimpleNamespace(number=1, max_content_size=100, closing=self.closing)
        self.outlet = Outlet(channel, self.stream)

    def publish(self, name: str) -> Waiting:
        return self.outlet.publish("e", "k", b"body", Properties(message_id=name))

    def say(self, *frames: FrameTypes) -> None:
        self.stream.data_received(b"".join(marshal(frame, 1) for frame in frames))


@pytest.fixture
async def wired() -> Wired:
    return Wired()


def outcomes(*sent: Waiting) -> list[Outcome | None]:
    return [each.result() if each.done() else None for each in sent]


async def test_confirm_of_several_is_of_all_before_and_of_none_behind(wired: Wired) -> None:
    sent = [wired.publish(f"m{number}") for number in range(6)]
    wired.say(commands.Basic.Ack(2))
    assert outcomes(*sent) == [None, Outcome.STORED, None, None, None, None]
    wired.say(commands.Basic.Nack(4, multiple=True), commands.Basic.Ack(5, multiple=False))
    refused = Outcome.NOT_TAKEN
    assert outcomes(*sent) == [refused, Outcome.STORED, refused, refused, Outcome.STORED, None]


async def test_what_is_returned_is_told_by_its_message_id_before_its_confirm(wired: Wired) -> None:
    first, second, third = (wired.publish(name) for name in ("one", "two", "three"))
    wired.say(
        commands.Basic.Return(reply_code=312, reply_text="NO_ROUTE", exchange="e", routing_key="k"),
        ContentHeader(body_size=0, properties=Properties(message_id="two")),
        commands.Basic.Ack(3, multiple=True),
    )
    assert outcomes(first, second, third) == [Outcome.STORED, Outcome.RETURNED, Outcome.STORED]


async def test_confirm_of_a_publish_that_nobody_waits_for_any_more_disturbs_no_other(wired: Wired) -> None:
    cancelled, other = wired.publish("one"), wired.publish("two")
    cancelled.cancel()
    wired.say(commands.Basic.Ack(7), commands.Basic.Ack(2, multiple=True), commands.Basic.Ack(1))
    assert outcomes(other) == [Outcome.STORED]


async def test_publishes_of_a_closed_channel_fail_with_its_reason_and_later_ones_at_once(wired: Wired) -> None:
    sent = wired.publish("one")
    wired.say(commands.Channel.Close(reply_code=404, reply_text="no exchange", class_id=60, method_id=40))
    assert wired.outlet.ended
    assert not sent.done()
    wired.closing.set_exception(LookupError("no exchange"))
    with pytest.raises(LookupError, match="no exchange"):
        await sent
    with pytest.raises(ConnectionError):
        await wired.publish("two")


async def test_publishes_of_a_channel_that_we_close_fail(wired: Wired) -> None:
    sent = wired.publish("one")
    wired.closing.cancel()
    with pytest.raises(ConnectionError):
        await sent


async def test_only_what_waits_for_too_long_expires(wired: Wired) -> None:
    old = wired.publish("one")
    wired.outlet.expire(60)
    assert not old.done()
    wired.outlet.expire(0)
    with pytest.raises(TimeoutError):
        await old
    wired.say(commands.Basic.Ack(1))


@pytest.mark.broker
async def test_publishes_beside_one_that_closes_the_channel_are_stored(rabbit_url: str) -> None:
    async with installation(rabbit_url, RABBIT) as made:
        publisher = Publisher(made.link)
        exchange = made.names.other

        async def store(name: str, to: str) -> str:
            try:
                await publisher.store(to, "", b"x" * 200_000, Properties(message_id=name))
            except BrokerUnavailable as error:
                return str(error)
            return "stored"

        wanted = [exchange if number % 5 else "no.such.exchange" for number in range(20)]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(store(f"m{number}", to)) for number, to in enumerate(wanted)]
        said = [task.result() for task in tasks]
        assert [one == "stored" for one in said] == [to == exchange for to in wanted]
        assert all("404" in one for one, to in zip(said, wanted, strict=True) if to != exchange)
        # And none of it ended the connection.
        assert made.link.connected
        await publisher.close()
