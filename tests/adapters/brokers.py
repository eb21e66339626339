"""Harnesses for each adapter: in memory, on our own server, or on that of `NATS_URL` or `RABBITMQ_URL`."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from adapters import memory
from adapters.base import BrokerUnavailable, Kind, Topic
from adapters.headers import RESERVE
from adapters.jetstream import broker as jetstream
from adapters.jetstream.connection import Connection, connection
from adapters.jetstream.options import JetStreamOptions
from adapters.jetstream.topology import StreamNames
from adapters.rabbitmq import broker as rabbitmq, topology as amqp
from adapters.rabbitmq.connection import Connection as Link, connection as link_to
from adapters.rabbitmq.options import RabbitMQOptions
from adapters.rabbitmq.wire.properties import Properties
from adapters.servers import nats as natsserver
from adapters.servers.free_port import free_port
from adapters.servers.nats import NatsServer
from adapters.servers.rabbitmq import RabbitServer
from tests.adapters.harness import Harness, same
from tests.patience import PATIENCE

ACK_WAIT = 3.0
MAX_MESSAGE = 1 << 20
RABBIT = RabbitMQOptions(connect_timeout=PATIENCE, publish_timeout=PATIENCE, max_message_bytes=MAX_MESSAGE)
OPTIONS = JetStreamOptions(
    ack_wait=ACK_WAIT, requests_max_bytes=64 << 20, connect_timeout=PATIENCE, publish_timeout=PATIENCE
)


@dataclass(frozen=True)
class Site:
    """A RabbitMQ node that a test may break, and an instance name that was never used on it."""

    server: RabbitServer
    instance: str

    def name(self, rest: str) -> str:
        return f"{self.instance}.{rest}"


@asynccontextmanager
async def memory_harness() -> AsyncIterator[Harness]:
    async with memory.connect(reply_topics=["answers.here"]) as broker:

        async def put(topic: Topic, headers: Mapping[str, str], body: bytes) -> None:
            broker.put(topic, headers, body)

        async def remake() -> None:
            broker.wipe(Kind.LIFECYCLE)

        yield Harness(
            broker=broker,
            put=put,
            remake=remake,
            member=lambda: same(broker),
            buffers=False,
            ack_wait=ACK_WAIT,
            largest=broker.max_payload - RESERVE,
            drops_repeats=True,
            refuses_replies=True,
        )


@asynccontextmanager
async def nats_harness(url: str, options: JetStreamOptions = OPTIONS) -> AsyncIterator[Harness]:
    """A harness with its own installation on that server, removed afterwards."""
    instance = f"test-{uuid.uuid4().hex[:8]}"
    names = StreamNames(instance)
    async with connection(url, options) as link, jetstream.connect(url, instance=instance, options=options) as broker:
        await broker.declare()
        answers = instance.upper() + "_ANSWERS"
        await link.api(f"STREAM.CREATE.{answers}", {"name": answers, "subjects": ["answers.here"], "storage": "memory"})

        async def put(topic: Topic, headers: Mapping[str, str], body: bytes) -> None:
            await link.store(names.subject(topic), body, dict(headers))

        async def remake() -> None:
            await link.api(f"STREAM.DELETE.{names.stream(Kind.LIFECYCLE)}")
            await broker.declare()

        try:
            yield Harness(
                broker=broker,
                put=put,
                remake=remake,
                member=lambda: jetstream.connect(url, instance=instance, options=options),
                buffers=True,
                ack_wait=ACK_WAIT,
                largest=link.max_payload - RESERVE,
                drops_repeats=True,
                refuses_replies=True,
            )
        finally:
            await remove(link, names)
            await link.api(f"STREAM.DELETE.{answers}")


async def remove(link: Connection, names: StreamNames) -> None:
    for kind in (Kind.REQUESTS, Kind.CONTROL, Kind.LIFECYCLE, Kind.DEAD):
        await link.api(f"STREAM.DELETE.{names.stream(kind)}")


HUB, LEAF = "hub", "leaf"


@asynccontextmanager
async def leaf_node(
    directory: Path, *, extra: Mapping[str, str] = MappingProxyType({}), credentials: str = ""
) -> AsyncIterator[tuple[NatsServer, NatsServer]]:
    """A hub and a leaf node of it, each with a JetStream domain of its own, joined: what either stores, both can use.

    `extra`: further configuration, by domain. `credentials`: with which the leaf node logs in to the hub.
    """
    port = free_port()
    listens = f'server_name: hub\nleafnodes {{ listen: "127.0.0.1:{port}" }}\n'
    joins = f'server_name: leaf\nleafnodes {{ remotes: [ {{ url: "nats://{credentials}127.0.0.1:{port}" }} ] }}\n'
    async with (
        natsserver.run(directory / HUB, domain=HUB, extra=listens + extra.get(HUB, "")) as hub,
        natsserver.run(directory / LEAF, domain=LEAF, extra=joins + extra.get(LEAF, "")) as leaf,
    ):
        yield hub, leaf


async def joined(url: str, options: JetStreamOptions) -> None:
    """Wait until the JetStream of the options can be reached from that server."""
    async with connection(url, options) as link, asyncio.timeout(PATIENCE):
        while True:
            try:
                await link.api("INFO")
            except BrokerUnavailable:
                await asyncio.sleep(0.05)
            else:
                return


@asynccontextmanager
async def some_nats(directory: Path) -> AsyncIterator[str]:
    """The URL of the server that `NATS_URL` names, else of our own."""
    if url := os.environ.get("NATS_URL"):
        yield url
        return
    async with natsserver.run(directory) as server:
        yield server.url


@asynccontextmanager
async def rabbit_harness(url: str) -> AsyncIterator[Harness]:
    """A harness with its own installation on that server, removed afterwards."""
    instance = f"test-{uuid.uuid4().hex[:8]}"
    names = amqp.QueueNames(instance)
    async with (
        link_to(url, RABBIT, purpose="test") as link,
        rabbitmq.connect(url, instance=instance, options=RABBIT) as broker,
    ):
        await broker.declare()

        async def put(topic: Topic, headers: Mapping[str, str], body: bytes) -> None:
            await send(link, names.exchange(topic.kind), topic.key, headers, body)

        async def remake() -> None:
            async with link.channel() as channel:
                await channel.queue_delete(names.queue(Topic(Kind.LIFECYCLE)))
            await broker.declare()

        try:
            yield Harness(
                broker=broker,
                put=put,
                remake=remake,
                member=lambda: rabbitmq.connect(url, instance=instance, options=RABBIT),
                buffers=True,
                ack_wait=ACK_WAIT,
                largest=MAX_MESSAGE,
                drops_repeats=False,
                refuses_replies=False,
            )
        finally:
            await remove_rabbit(link, names)


async def take_back(server: RabbitServer, *, after: int, looking_every: int) -> None:
    """Have it take back what is unsettled for so many milliseconds, on channels opened from now on."""
    calls = {"consumer_timeout": after, "channel_tick_interval": looking_every}
    await server.ctl(
        "eval", ", ".join(f"application:set_env(rabbit, {name}, {value})" for name, value in calls.items()) + "."
    )


async def send(link: Link, exchange: str, key: str, headers: Mapping[str, object], body: bytes) -> None:
    """Publish like a foreign client; the content type is a property, everything else is a header."""
    others = {name: value for name, value in headers.items() if name != "Content-Type"}
    properties = Properties(content_type=headers.get("Content-Type"), headers=others, delivery_mode=2)  # type: ignore[arg-type]
    async with link.channel(confirms=True) as channel:
        await channel.basic_publish(body, exchange=exchange, routing_key=key, properties=properties, mandatory=True)


async def remove_rabbit(link: Link, names: amqp.QueueNames) -> None:
    async with link.channel() as channel:
        for queue in amqp.queues(names):
            await channel.queue_delete(queue.name)
        for exchange in amqp.exchanges(names):
            await channel.exchange_delete(exchange.name)


@dataclass(frozen=True, kw_only=True)
class Installation:
    """An installation on a RabbitMQ node that no test breaks, and a connection for what a foreign client does."""

    url: str
    broker: rabbitmq.RabbitMQBroker
    link: Link
    names: amqp.QueueNames


@asynccontextmanager
async def installation(url: str, options: RabbitMQOptions = RABBIT) -> AsyncIterator[Installation]:
    """A new installation, removed afterwards."""
    names = amqp.QueueNames(f"test-{uuid.uuid4().hex[:8]}")
    async with (
        link_to(url, options, purpose="test") as link,
        rabbitmq.connect(url, instance=names.instance, options=options) as broker,
    ):
        await broker.declare()
        try:
            yield Installation(url=url, broker=broker, link=link, names=names)
        finally:
            await remove_rabbit(link, names)
