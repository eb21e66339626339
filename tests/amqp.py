"""A RabbitMQ client like a user's own: plain aiormq, which knows nothing of jobrelay. Support for tests."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiormq
from aiormq.abc import DeliveredMessage
from aiormq.exceptions import AMQPError

from k8s.background import beside

Take = Callable[[DeliveredMessage], None]
PERSISTENT = 2


class Client:
    """A connection and a channel with confirms, made by `client()`."""

    def __init__(self, channel: aiormq.abc.AbstractChannel) -> None:
        self.channel = channel

    async def publish(
        self, exchange: str, key: str, body: bytes, *, headers: Mapping[str, Any] | None = None, **properties: Any
    ) -> None:
        """Return once the broker has the message. Raises what aiormq raises, also if no queue takes the message."""
        chosen = aiormq.spec.Basic.Properties(headers=dict(headers or {}), delivery_mode=PERSISTENT, **properties)
        await self.channel.basic_publish(body, exchange=exchange, routing_key=key, properties=chosen, mandatory=True)

    async def ready(self, queue: str) -> int:
        """How many messages wait in the queue."""
        answer = await self.channel.queue_declare(queue, passive=True)
        return int(answer.message_count or 0)


@asynccontextmanager
async def client(url: str) -> AsyncIterator[Client]:
    """Connected until the block ends."""
    connection = await aiormq.connect(url)
    try:
        yield Client(await connection.channel(on_return_raises=True))
    finally:
        await connection.close()


@asynccontextmanager
async def subscribed(
    url: str, exchange: str, take: Take, *, queue: str, key: str = "#", kind: str = "topic"
) -> AsyncIterator[None]:
    """Call `take` with every message that the exchange gets from now on, until the block ends.

    The queue is durable: nothing is missed while the server, or the connection to it, is away.
    """
    begun = asyncio.Event()

    async def consume() -> None:
        while True:
            with suppress(AMQPError, OSError, RuntimeError):
                await _consume(url, (exchange, kind, key), take, queue=queue, begun=begun)
            await asyncio.sleep(0.1)

    async with beside(consume()):
        await begun.wait()
        yield


async def _consume(url: str, source: tuple[str, str, str], take: Take, *, queue: str, begun: asyncio.Event) -> None:
    exchange, kind, key = source
    connection = await aiormq.connect(url)
    try:
        channel = await connection.channel()

        async def on_message(message: DeliveredMessage) -> None:
            take(message)
            await channel.basic_ack(message.delivery_tag or 0, wait=False)

        # Declared as its owner declares it: whichever comes first creates it.
        await channel.exchange_declare(exchange, exchange_type=kind, durable=True)
        await channel.queue_declare(queue, durable=True)
        await channel.queue_bind(queue, exchange, key)
        await channel.basic_qos(prefetch_count=200)
        await channel.basic_consume(queue, on_message)
        begun.set()
        await asyncio.wait({channel.closing})
    finally:
        with suppress(AMQPError, OSError, RuntimeError):
            await connection.close()
