"""Calls of AMQP methods on a channel that a refusal may close."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from adapters.base import BrokerUnavailable
from adapters.rabbitmq.client import Channel, Unanswered, closing
from adapters.rabbitmq.connection import Connection, close_channel

Call = Callable[[Channel], Awaitable[Any]]


class Calls:
    """Calls methods on one channel, and after a refusal, which closes the channel, on another. Use `calling()`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._channel: Channel | None = None

    async def __call__(self, what: str, call: Call) -> Any:
        channel = self._channel
        if channel is None or closing(channel):
            channel = self._channel = await self._connection.open_channel()
        async with self._connection.answered(what):
            return await call(channel)

    async def change(self, what: str, call: Call) -> Any:
        """The same of what a majority of the nodes has to agree to."""
        try:
            return await self(what, call)
        except Unanswered as error:
            # RabbitMQ waits for a majority without a word. One node can open a channel.
            async with self._connection.channel():
                pass
            raise BrokerUnavailable(f"{what}: the broker answers, but has no quorum to do it") from error

    async def close(self) -> None:
        """Never raises."""
        if self._channel is not None:
            await close_channel(self._channel)


@asynccontextmanager
async def calling(connection: Connection) -> AsyncIterator[Calls]:
    """For the length of the block."""
    calls = Calls(connection)
    try:
        yield calls
    finally:
        await calls.close()
