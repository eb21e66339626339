"""Declares and compares what `topology` lists, over AMQP alone: no management plugin. It deletes nothing."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from adapters.base import BrokerUnavailable, Depth, Kind, Topic, TopologyDrift
from adapters.rabbitmq.client import Channel, ServerRefused
from adapters.rabbitmq.connection import Connection
from adapters.rabbitmq.topology import Exchange, Queue, QueueNames, exchanges, queues
from adapters.topics import lanes_of

logger = logging.getLogger(__name__)

_FORBIDDEN, _MISSING, _DIFFERENT = 403, 404, 406

Call = Callable[[Channel], Awaitable[Any]]


class Declarer:
    """Calls each method on a channel of its own, since a refusal closes the channel."""

    def __init__(self, connection: Connection, names: QueueNames) -> None:
        self._connection = connection
        self._names = names

    async def declare(self) -> None:
        """See the port."""
        drift: list[str] = []
        for exchange in exchanges(self._names):
            drift += await self._differs(exchange)
        for queue in queues(self._names):
            drift += await self._differs(queue)
        for queue in queues(self._names):
            await self._bind(queue)
        if drift:
            raise TopologyDrift("; ".join(drift))

    async def check(self) -> None:
        """See the port. A user who may not configure cannot compare, and only learns that everything exists."""
        missing: list[str] = []
        drift: list[str] = []
        items: list[Exchange | Queue] = [*exchanges(self._names), *queues(self._names)]
        for item in items:
            if lacking := await self._lacks(item):
                missing.append(lacking)
                continue
            try:
                drift += await self._differs(item)
            except ServerRefused as error:
                if error.code != _FORBIDDEN:
                    raise
        if missing:
            raise BrokerUnavailable(f"missing on the broker: {', '.join(missing)}")
        if drift:
            raise TopologyDrift("; ".join(drift))

    async def ready(self, queue: str) -> int | None:
        """How many messages wait in it; None when it does not exist."""
        try:
            return await self._ready(queue)
        except ServerRefused as error:
            if error.code == _MISSING:
                return None
            raise

    async def depth(self, unsettled: Mapping[Topic, int]) -> Mapping[Topic, Depth]:
        """See the port. AMQP does not say what is delivered: `unsettled` is what this process has."""
        depths: dict[Topic, Depth] = {}
        for topic in (*lanes_of(Kind.REQUESTS), Topic(Kind.CONTROL), Topic(Kind.DEAD)):
            ready = await self._ready(self._names.queue(topic))
            depths[topic] = Depth(ready=ready, unsettled=unsettled.get(topic, 0))
        return depths

    async def _ready(self, queue: str) -> int:
        answer = await self._call(f"queue {queue}", lambda channel: channel.queue_declare(queue, passive=True))
        return int(answer.message_count or 0)

    async def _lacks(self, item: Exchange | Queue) -> str:
        try:
            if isinstance(item, Queue):
                await self._ready(item.name)
            else:
                await self._call(_called(item), lambda channel: channel.exchange_declare(item.name, passive=True))
        except ServerRefused as error:
            if error.code == _MISSING:
                # For a queue without a living leader the server replies with this code too, in other words.
                return f"{_called(item)} (down)" if "is down" in error.text else _called(item)
            raise
        return ""

    async def _differs(self, item: Exchange | Queue) -> list[str]:
        """Create it if it is missing. The result says how an existing item differs, in the server's words."""
        arguments: dict[str, Any] = dict(item.arguments)

        async def declared(channel: Channel) -> None:
            if isinstance(item, Queue):
                await channel.queue_declare(item.name, durable=True, arguments=arguments)
            else:
                await channel.exchange_declare(
                    item.name, exchange_type=item.kind, durable=True, arguments=arguments or None
                )

        try:
            await self._call(_called(item), declared)
        except ServerRefused as error:
            if error.code != _DIFFERENT:
                raise
            return [f"{_called(item)}: {error.text}"]
        return []

    async def _bind(self, queue: Queue) -> None:
        for key in queue.keys:

            async def bound(channel: Channel, key: str = key) -> None:
                await channel.queue_bind(queue.name, queue.exchange, key)

            await self._call(f"binding {queue.name} to {queue.exchange}", bound)

    async def _call(self, what: str, call: Call) -> Any:
        async with self._connection.channel() as channel, self._connection.answered(what):
            return await call(channel)


def _called(item: Exchange | Queue) -> str:
    return f"{'queue' if isinstance(item, Queue) else 'exchange'} {item.name}"
