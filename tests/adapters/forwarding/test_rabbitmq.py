"""Claims about bindings and shovels, which bring messages to our exchange from others."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
import pytest_asyncio

from adapters.base import Delivery, Kind, Subscription
from adapters.rabbitmq import broker as rabbitmq
from adapters.rabbitmq.broker import RabbitMQBroker
from adapters.rabbitmq.connection import Connection, connection
from adapters.servers.process import running
from adapters.servers.rabbitmq import RabbitServer
from tests.adapters.brokers import RABBIT, send
from tests.adapters.conftest import need_rabbit
from tests.adapters.forwarding.shown import BODY, binary, document, expected, read, structured
from tests.adapters.harness import next_delivery, nothing_comes, until

pytestmark = [pytest.mark.broker, pytest.mark.asyncio(loop_scope="session")]
STRUCTURED = {"Content-Type": "application/cloudevents+json"}
OUTBOX = {"x-queue-type": "quorum"}


class Shovelling(RabbitServer):
    """A node on which `rabbitmq-plugins enable rabbitmq_shovel` was run."""

    def _write_files(self) -> None:
        super()._write_files()
        (self.directory / "enabled_plugins").write_text("[rabbitmq_shovel].\n")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RabbitServer]:
    need_rabbit()
    async with running(Shovelling(tmp_path_factory.mktemp("shovelling"))) as server:
        async with rabbitmq.connect(server.url, options=RABBIT) as broker, connect(server.url) as link:
            await broker.declare()
            async with link.channel() as channel:
                await channel.exchange_declare("shop.events", exchange_type="topic", durable=True)
                await channel.queue_declare("shop.outbox", durable=True, arguments=OUTBOX)  # type: ignore[arg-type]
        yield server


def connect(url: str) -> AbstractAsyncContextManager[Connection]:
    return connection(url, RABBIT, purpose="test")


async def imported(node: RabbitServer, directory: Path, **other: str) -> None:
    """The definitions of the page, with other values in the binding."""
    (binding,) = document("bindings")["bindings"]
    file = directory / "bindings.json"
    file.write_text(json.dumps({"bindings": [binding | other]}))
    await node.ctl("import_definitions", str(file))


async def publish(link: Connection, key: str, number: str, *, exchange: str = "shop.events") -> None:
    await send(link, exchange, key, binary(number), BODY)


async def settle(subscription: Subscription) -> Delivery:
    delivery = await next_delivery(subscription)
    await delivery.ack()
    return delivery


@pytest.mark.long
async def test_events_of_a_bound_exchange_arrive_whole_and_once(node: RabbitServer, tmp_path: Path) -> None:
    await imported(node, tmp_path)
    async with rabbitmq.connect(node.url, options=RABBIT) as broker, connect(node.url) as link:
        await broker.check()
        await broker.declare()
        async with broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription:
            await publish(link, "shop.images.uploaded", "1")
            again = await retried(subscription, "1")
            await again.ack()
            await send(link, "shop.events", "shop.images.uploaded", STRUCTURED, structured("2"))
            assert read(await settle(subscription)) == expected("2")
    await node.stop()
    await node.start()
    async with (
        rabbitmq.connect(node.url, options=RABBIT) as broker,
        connect(node.url) as link,
        broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription,
    ):
        assert await nothing_comes(subscription)
        await publish(link, "shop.images.uploaded", "3")
        assert read(await settle(subscription)) == expected("3")


async def retried(subscription: Subscription, event_id: str) -> Delivery:
    """The second delivery of an event that is tried again, both of them whole."""
    first = await next_delivery(subscription)
    assert read(first) == expected(event_id)
    await first.retry(0)
    again = await next_delivery(subscription)
    assert (again.attempt, read(again)) == (2, expected(event_id))
    return again


@pytest.mark.long
async def test_key_or_queue_chooses_the_lane(node: RabbitServer, tmp_path: Path) -> None:
    await imported(node, tmp_path, routing_key="high")
    await imported(
        node, tmp_path, routing_key="shop.urgent.*", destination="jobrelay.requests.high", destination_type="queue"
    )
    async with (
        rabbitmq.connect(node.url, options=RABBIT) as broker,
        connect(node.url) as link,
        broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription,
    ):
        await broker.check()
        for number, key in enumerate(("high", "shop.urgent.uploaded")):
            await publish(link, key, str(number))
            delivery = await next_delivery(subscription)
            assert read(delivery) == expected(number, lane="high")
            await delivery.retry(0)
            assert read(await settle(subscription)) == expected(number, lane="high")


@pytest.mark.long
async def test_fanout_with_an_empty_key(node: RabbitServer, tmp_path: Path) -> None:
    async with connect(node.url) as link:
        async with link.channel() as channel:
            await channel.exchange_declare("uploads", exchange_type="fanout", durable=True)
        await imported(node, tmp_path, source="uploads", routing_key="")
        async with (
            rabbitmq.connect(node.url, options=RABBIT) as broker,
            broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription,
        ):
            await publish(link, "", "1", exchange="uploads")
            assert read(await settle(subscription)) == expected("1")


@pytest.mark.long
@pytest.mark.parametrize(
    "more", [pytest.param({}, marks=pytest.mark.long), {"add-forward-headers": True, "add-timestamp-header": True}]
)
async def test_shovelled_events_arrive_whole_and_once(node: RabbitServer, more: Mapping[str, object]) -> None:
    await shovel(node, {**document("src-queue"), **more})
    async with rabbitmq.connect(node.url, options=RABBIT) as broker, connect(node.url) as link:
        await broker.check()
        async with broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription:
            await publish(link, "shop.outbox", "1", exchange="")
            again = await retried(subscription, "1")
            await again.reject("CODE", "why")
            await until(lambda: dead_letters(broker, 1))
            async with broker.dead_letters() as letters:
                async for letter in letters:
                    assert ("x-shovelled" in letter.record.headers) == bool(more)
                    await letter.replay()
            assert read(await settle(subscription)) == expected("1")
            await send(link, "", "shop.outbox", STRUCTURED, structured("2"))
            assert read(await settle(subscription)) == expected("2")
    await node.stop()
    await node.start()
    async with (
        rabbitmq.connect(node.url, options=RABBIT) as broker,
        connect(node.url) as link,
        broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription,
    ):
        await publish(link, "shop.outbox", "3", exchange="")
        assert read(await settle(subscription)) == expected("3")
        assert await nothing_comes(subscription)
    await node.ctl("clear_parameter", "shovel", "shop-to-jobrelay")


@pytest.mark.long
async def test_shovel_without_a_key_keeps_the_lane(node: RabbitServer) -> None:
    await shovel(node, {name: value for name, value in document("src-queue").items() if name != "dest-exchange-key"})
    async with rabbitmq.connect(node.url, options=RABBIT) as broker, connect(node.url) as link:
        async with link.channel() as channel:
            await channel.queue_bind("shop.outbox", "shop.events", "low")
        async with broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription:
            await publish(link, "low", "1")
            assert read(await settle(subscription)) == expected("1", lane="low")
    await node.ctl("clear_parameter", "shovel", "shop-to-jobrelay")


async def dead_letters(broker: RabbitMQBroker, count: int) -> bool:
    return sum(depth.ready for topic, depth in (await broker.depth()).items() if topic.kind is Kind.DEAD) == count


async def shovel(node: RabbitServer, value: Mapping[str, object]) -> None:
    await node.ctl("set_parameter", "shovel", "shop-to-jobrelay", json.dumps(value))


@pytest.mark.long
async def test_permissions_of_a_shovel_and_of_who_binds(node: RabbitServer) -> None:
    await node.ctl("add_user", "bridge", "pw")
    await node.ctl("set_permissions", "bridge", "^$", r"^jobrelay\.requests$", r"^shop\.(outbox|events)$")
    url = f"amqp://bridge:pw@127.0.0.1:{node.port}"
    async with connect(url) as link, link.channel() as channel:
        await channel.exchange_bind("jobrelay.requests", "shop.events", "shop.videos.#")
    await shovel(node, document("src-queue") | {"src-uri": url, "dest-uri": url})
    async with (
        rabbitmq.connect(node.url, options=RABBIT) as broker,
        connect(node.url) as link,
        broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription,
    ):
        await publish(link, "shop.outbox", "1", exchange="")
        assert read(await settle(subscription)) == expected("1")
        await publish(link, "shop.videos.uploaded", "2")
        assert read(await settle(subscription)) == expected("2")
    await node.ctl("clear_parameter", "shovel", "shop-to-jobrelay")
