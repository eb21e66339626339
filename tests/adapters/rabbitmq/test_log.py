"""Claims about the log of lifecycle events: what is confirmed is in it, whoever else subscribes."""

import asyncio
from typing import Any

import pytest

from adapters.base import BrokerUnavailable, Kind, Topic
from adapters.rabbitmq import broker as rabbitmq
from adapters.rabbitmq.options import RabbitMQOptions
from adapters.rabbitmq.publisher import SEEN_SECONDS
from tests import amqp
from tests.adapters.brokers import Site
from tests.adapters.harness import make_event, records, until
from tests.patience import PATIENCE

pytestmark = pytest.mark.broker
OPTIONS = RabbitMQOptions(connect_timeout=PATIENCE, publish_timeout=3)
TOPIC = Topic(Kind.LIFECYCLE, "s.1.created")


async def test_without_the_log_nothing_is_confirmed_though_another_queue_is_bound(rabbit: Site) -> None:
    log, exchange = rabbit.name("lifecycle.log"), rabbit.name("lifecycle")
    async with (
        rabbitmq.connect(rabbit.server.url, instance=rabbit.instance, options=OPTIONS) as broker,
        amqp.client(rabbit.server.url) as client,
    ):
        await broker.declare()
        await broker.publish(TOPIC, make_event())
        await client.channel.queue_declare("subscriber", exclusive=True)
        await client.channel.queue_bind("subscriber", exchange, "#")
        await client.channel.queue_delete(log)
        await asyncio.sleep(SEEN_SECONDS)
        for topic in (TOPIC, Topic(Kind.REPLY, "answers.here")):
            with pytest.raises(BrokerUnavailable, match=r"lifecycle\.log"):
                await broker.publish(topic, make_event())
        await broker.declare()
        await broker.publish(TOPIC, make_event(id="repaired"))
        assert [record.event().get_id() for record in await records(broker, Kind.LIFECYCLE)] == ["repaired"]


async def test_events_confirmed_while_a_node_starts_are_in_the_log(rabbit: Site) -> None:
    taken: list[str] = []

    async def publish_on() -> None:
        number = 0
        while True:
            number += 1
            try:
                await broker.publish(TOPIC, make_event(id=f"n{number}"))
            except BrokerUnavailable:
                await asyncio.sleep(0.01)
            else:
                taken.append(f"n{number}")

    async def connected() -> bool:
        return broker.connected

    async def more(count: int) -> None:
        wanted = len(taken) + count
        async with asyncio.timeout(PATIENCE):
            while len(taken) < wanted:
                await asyncio.sleep(0.02)

    async with (
        rabbitmq.connect(rabbit.server.url, instance=rabbit.instance, options=OPTIONS) as broker,
        amqp.subscribed(rabbit.server.url, rabbit.name("lifecycle"), lambda _: None, queue=rabbit.name("subscriber")),
    ):
        await broker.declare()
        async with asyncio.TaskGroup() as group:
            publishing = group.create_task(publish_on())
            await more(20)
            await rabbit.server.ctl("stop_app")
            await rabbit.server.ctl("start_app")
            await more(20)
            publishing.cancel()
        # The connection that reads may come back after the one that publishes.
        await until(connected)
        stored = {str(record.event().get_id()) for record in await records(broker, Kind.LIFECYCLE)}
    assert set(taken) - stored == set()


async def test_records_that_expired_meanwhile_are_missing_and_nothing_is_repeated(rabbit: Site) -> None:
    log = rabbit.name("lifecycle.log")
    small: dict[str, Any] = {
        "x-queue-type": "stream",
        "x-max-length-bytes": 40_000,
        "x-stream-max-segment-size-bytes": 10_000,
    }
    async with (
        rabbitmq.connect(rabbit.server.url, instance=rabbit.instance, options=OPTIONS) as broker,
        amqp.client(rabbit.server.url) as client,
    ):
        await broker.declare()
        await client.channel.queue_delete(log)
        await client.channel.queue_declare(log, durable=True, arguments=small)
        await client.channel.queue_bind(log, rabbit.name("lifecycle"), "#")
        await broker.publish(TOPIC, make_event(id="first"))
        (first,) = await records(broker, Kind.LIFECYCLE)
        for number in range(200):
            await broker.publish(TOPIC, make_event(id=f"n{number}", data="x" * 2000))

        async def expired() -> bool:
            return (await records(broker, Kind.LIFECYCLE))[0].sequence > first.sequence

        await until(expired)
        left = await records(broker, Kind.LIFECYCLE)
        assert 0 < len(left) < 200
        for follow in (False, True):
            async with (
                asyncio.timeout(PATIENCE),
                broker.history(Kind.LIFECYCLE, follow=follow, after=first.cursor) as history,
            ):
                assert [await anext(history) for _ in left] == left
