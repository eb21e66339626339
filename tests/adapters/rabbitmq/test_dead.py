"""Claims about readers of RabbitMQ's dead letters: they take turns, and none blocks the next for ever."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from adapters.base import BrokerUnavailable, DeadLetter, Kind
from adapters.rabbitmq import broker as rabbitmq
from adapters.rabbitmq.broker import RabbitMQBroker
from adapters.rabbitmq.client import Channel
from adapters.rabbitmq.connection import Connection
from events.request.control import parse_control
from handler.controller.letters import Letters
from handler.controller.waitingroom import PutBack
from tests.adapters.brokers import RABBIT, Installation, installation, send
from tests.adapters.harness import records
from tests.handler.samples import make_command

pytestmark = pytest.mark.broker
IMPATIENT = replace(RABBIT, publish_timeout=1.5)
BODIES = [b"%d" % number for number in range(5)]


@pytest.fixture
async def installed(rabbit_url: str) -> AsyncIterator[Installation]:
    """An installation with a few dead letters."""
    async with installation(rabbit_url) as made:
        for body in BODIES:
            await send(made.link, made.names.exchange(Kind.DEAD), "", {}, body)
        yield made


@pytest.fixture
async def other(installed: Installation) -> AsyncIterator[RabbitMQBroker]:
    """Another reader, who does not wait long."""
    async with rabbitmq.connect(installed.url, instance=installed.names.instance, options=IMPATIENT) as broker:
        yield broker


async def bodies(broker: RabbitMQBroker) -> list[bytes]:
    return [record.body for record in await records(broker, Kind.DEAD)]


async def test_another_reader_that_does_not_continue_is_reported(
    installed: Installation, other: RabbitMQBroker
) -> None:
    async with installed.broker.dead_letters() as letters:
        await anext(letters)
        with pytest.raises(BrokerUnavailable, match="somebody else is reading"):
            await bodies(other)
    assert await bodies(other) == BODIES


async def test_another_reader_that_is_only_slow_is_waited_for(installed: Installation, other: RabbitMQBroker) -> None:
    async def slowly(letters: AsyncIterator[DeadLetter]) -> None:
        async for _ in letters:
            await asyncio.sleep(IMPATIENT.publish_timeout / 3)

    async with asyncio.TaskGroup() as group, installed.broker.dead_letters() as letters:
        await anext(letters)
        waiting = group.create_task(bodies(other))
        await slowly(letters)
        assert not waiting.done()
    assert waiting.result() == BODIES


async def test_a_slow_broker_is_not_taken_for_another_reader(
    installed: Installation, other: RabbitMQBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_channel = Connection.open_channel

    async def slow(self: Connection, *, confirms: bool = False) -> Channel:
        await asyncio.sleep(2 * IMPATIENT.publish_timeout)
        return await open_channel(self, confirms=confirms)

    monkeypatch.setattr(Connection, "open_channel", slow)
    assert await bodies(other) == BODIES


async def test_a_reader_whose_channel_was_closed_does_not_block_the_next(
    installed: Installation, other: RabbitMQBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with installed.broker.dead_letters() as letters:
        await (await anext(letters)).drop()
        reader = letters.ag_frame.f_locals["reader"]  # type: ignore[attr-defined]
        await reader._channel.close()
    assert await bodies(other) == BODIES[1:]
    assert await bodies(installed.broker) == BODIES[1:]


async def test_a_command_waits_at_the_broker_while_somebody_else_reads(
    installed: Installation, other: RabbitMQBroker
) -> None:
    letters = Letters(lambda: other)
    number = (await records(other, Kind.DEAD))[0].sequence
    command = parse_control(make_command("drop", str(number)))
    async with installed.broker.dead_letters() as reading:
        await anext(reading)
        with pytest.raises(PutBack):
            await letters.carry_out(command)
    await letters.carry_out(command)
    assert await bodies(other) == BODIES[1:]
