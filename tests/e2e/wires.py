"""How a plain client talks to an installation on each broker, with nats-py or aiormq."""

import sys
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol

import nats
from aiormq.abc import DeliveredMessage
from aiormq.exceptions import AMQPError
from nats.aio.client import Client as NatsClient
from nats.aio.msg import Msg
from nats.js.errors import NotFoundError

from adapters.rabbitmq.topology import QueueNames, exchanges, queues
from tests import amqp

LANES = ("", "high", "low")
NEXT = 100
"""How many messages at the front of a queue are looked at: more than a handler takes at a time."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter."""

    headers: Mapping[str, str]
    body: bytes


class Wire(Protocol):
    """A connection to the broker of an installation."""

    async def publish(self, to: str, body: bytes, headers: Mapping[str, str], *, message_id: str | None) -> None:
        """`to` is `requests` or `control`. Returns once the broker has the message."""
        ...

    async def dead_letters(self) -> list[Letter]:
        """All dead letters, read without consuming them."""
        ...

    async def waiting(self) -> int:
        """How many requests are in the broker; on RabbitMQ, without those that are delivered."""
        ...

    async def repeated(self) -> int:
        """How many deliveries were not the first of their request; on RabbitMQ, only for the front of the queue."""
        ...

    async def remove(self) -> None:
        """Delete everything that the installation has on the broker."""
        ...


def wire(url: str, instance: str, take: Callable[[bytes], None]) -> AbstractAsyncContextManager[Wire]:
    """A connection that passes every lifecycle event from now on to `take`."""
    return _nats(url, instance, take) if url.startswith(("nats:", "tls:")) else _rabbitmq(url, instance, take)


class _Nats:
    def __init__(self, client: NatsClient, instance: str) -> None:
        self._stream = client.jetstream()
        self._instance = instance

    async def publish(self, to: str, body: bytes, headers: Mapping[str, str], *, message_id: str | None) -> None:
        given = dict(headers) | ({"Nats-Msg-Id": message_id} if message_id else {})
        await self._stream.publish(f"{self._instance}.{to}", body, headers=given, timeout=10)

    async def dead_letters(self) -> list[Letter]:
        stream = f"{self._instance.upper()}_DEAD"
        try:
            last = (await self._stream.stream_info(stream)).state.last_seq
        except NotFoundError:
            return []
        found: list[Any] = [await self._stream.get_msg(stream, number) for number in range(1, last + 1)]
        return [Letter(message.headers, message.data) for message in found]

    async def waiting(self) -> int:
        return int((await self._stream.stream_info(f"{self._instance.upper()}_REQUESTS")).state.messages)

    async def repeated(self) -> int:
        stream = f"{self._instance.upper()}_REQUESTS"
        stored = (await self._stream.stream_info(stream)).state.last_seq
        lanes = [f"{self._instance}-{lane or 'normal'}" for lane in LANES]
        consumers = [await self._stream.consumer_info(stream, name) for name in lanes]
        never = sum(consumer.num_pending or 0 for consumer in consumers)
        delivered = sum(consumer.delivered.consumer_seq if consumer.delivered else 0 for consumer in consumers)
        return delivered - (stored - never)

    async def remove(self) -> None:
        for kind in ("REQUESTS", "CONTROL", "LIFECYCLE", "DEAD"):
            with suppress(NotFoundError):
                await self._stream.delete_stream(f"{self._instance.upper()}_{kind}")


@asynccontextmanager
async def _nats(url: str, instance: str, take: Callable[[bytes], None]) -> AsyncIterator[_Nats]:
    async def on_message(message: Msg) -> None:
        take(message.data)

    client = await nats.connect(url)
    try:
        await client.subscribe(f"{instance}.lifecycle.>", cb=on_message)
        await client.flush()
        yield _Nats(client, instance)
    finally:
        await client.close()


class _RabbitMQ:
    def __init__(self, client: amqp.Client, instance: str) -> None:
        self._client = client
        self._instance = instance

    async def publish(self, to: str, body: bytes, headers: Mapping[str, str], *, message_id: str | None) -> None:
        others = {name: value for name, value in headers.items() if name != "Content-Type"}
        content_type = headers.get("Content-Type")
        exchange = f"{self._instance}.{to}"
        await self._client.publish(exchange, "", body, headers=others, content_type=content_type, message_id=message_id)

    async def dead_letters(self) -> list[Letter]:
        return [Letter(_headers(message), message.body) for message in await self._first("dead")]

    async def _first(self, queue: str, *, most: int = sys.maxsize) -> list[DeliveredMessage]:
        """The first messages of a queue, which are put back."""
        found: list[DeliveredMessage] = []
        while len(found) < most:
            message = await self._client.channel.basic_get(f"{self._instance}.{queue}")
            if message.delivery_tag is None:
                break
            found.append(message)
        for message in found:
            await self._client.channel.basic_nack(message.delivery_tag or 0, requeue=True)
        return found

    async def waiting(self) -> int:
        names = (".".join(filter(None, (self._instance, "requests", lane))) for lane in LANES)
        return sum([await self._client.ready(name) for name in names])

    async def repeated(self) -> int:
        # The messages go back to the front, and RabbitMQ counts that as a delivery: a second look would count this one.
        found = [_headers(message) for message in await self._first("requests", most=NEXT)]
        return sum(int(headers.get("x-delivery-count", 0)) for headers in found)

    async def remove(self) -> None:
        names = QueueNames(self._instance)
        for queue in queues(names):
            await self._client.channel.queue_delete(queue.name)
        for exchange in exchanges(names):
            await self._client.channel.exchange_delete(exchange.name)


@asynccontextmanager
async def _rabbitmq(url: str, instance: str, take: Callable[[bytes], None]) -> AsyncIterator[_RabbitMQ]:
    def on_message(message: DeliveredMessage) -> None:
        take(message.body)

    # Each sees all events: of two on one queue, each would see some.
    mine = f"{instance}.observer.{uuid.uuid4().hex[:8]}"
    async with amqp.client(url) as client:
        try:
            async with amqp.subscribed(url, f"{instance}.lifecycle", on_message, queue=mine):
                yield _RabbitMQ(client, instance)
        finally:
            with suppress(AMQPError, OSError, RuntimeError):
                await client.channel.queue_delete(mine)


def _headers(message: DeliveredMessage) -> dict[str, str]:
    return {name: str(value) for name, value in (message.header.properties.headers or {}).items()}
