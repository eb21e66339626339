"""Declares and compares what `topology` lists, over AMQP alone: no management plugin. It deletes nothing."""

import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from adapters.base import BrokerUnavailable, Depth, Kind, Topic, TopologyDrift
from adapters.rabbitmq.client import Channel, ServerRefused, closing
from adapters.rabbitmq.connection import Connection, close_channel
from adapters.rabbitmq.policies import commands_of
from adapters.rabbitmq.topology import Exchange, Queue, QueueNames, exchanges, queues
from adapters.topics import lanes_of

logger = logging.getLogger(__name__)

_FORBIDDEN, _MISSING, _DIFFERENT = 403, 404, 406
_NONE = re.compile(r"\bno (queue|exchange)\b")

Item = Exchange | Queue
Call = Callable[[Channel], Awaitable[Any]]


class Declarer:
    """Exchanges and queues of one installation. `redeclared` counts those that were there once and had gone."""

    def __init__(self, connection: Connection, names: QueueNames) -> None:
        self._connection = connection
        self._names = names
        self._established = False
        self.redeclared = 0

    async def declare(self) -> None:
        """See the port."""
        drift: list[str] = []
        async with _calls(self._connection) as calls:
            # From the last on: while another process makes them in order, none looks as if it had gone.
            missing = [item for item in reversed(self._items()) if await _lacks(calls, item) == _called(item)]
            established = self._established or self._was_whole(missing)
            for item in self._items():
                drift += await _differs(calls, item)
                if item in missing:
                    self._created(item, anew=established)
            self._established = True
            for queue in queues(self._names):
                await _bind(calls, queue)
        if drift:
            raise TopologyDrift("; ".join(drift))

    async def check(self) -> None:
        """See the port. A user who may not configure cannot compare, and only learns that everything exists."""
        missing: list[str] = []
        drift: list[str] = []
        async with _calls(self._connection) as calls:
            for item in self._items():
                if lacking := await _lacks(calls, item):
                    missing.append(lacking)
                    continue
                try:
                    drift += await _differs(calls, item)
                except ServerRefused as error:
                    if error.code != _FORBIDDEN:
                        raise
        if missing:
            raise BrokerUnavailable("; ".join([f"missing on the broker: {', '.join(missing)}", *drift]))
        if drift:
            raise TopologyDrift("; ".join(drift))

    def _items(self) -> tuple[Item, ...]:
        return (*exchanges(self._names), *queues(self._names))

    def _was_whole(self, missing: Sequence[Item]) -> bool:
        """Whether a queue had gone before this process came: all is made in order, and a later queue is there.

        Clients may have made an exchange or a queue before us, but not the last exchange.
        """
        there = [queue not in missing for queue in queues(self._names)]
        return exchanges(self._names)[-1] not in missing and there != sorted(there, reverse=True)

    def _created(self, item: Item, *, anew: bool) -> None:
        if anew:
            self.redeclared += 1
            logger.warning("%s was gone and is declared anew: %s", _called(item), self._meaning(item))
        else:
            logger.info("created %s", _called(item))

    def _meaning(self, item: Item) -> str:
        if isinstance(item, Exchange):
            return "what others had bound to it is not bound any more"
        commands = " and ".join(commands_of(self._connection.vhost))
        return f"what was in it is lost. It was deleted, or it expired: {commands} show the policies with `expires`"

    async def ready(self, queue: str) -> int | None:
        """How many messages wait in it; None when it does not exist."""
        try:
            async with _calls(self._connection) as calls:
                return await _waiting(calls, queue)
        except ServerRefused as error:
            if error.code == _MISSING:
                return None
            raise

    async def depth(self, unsettled: Mapping[Topic, int]) -> Mapping[Topic, Depth]:
        """See the port. AMQP does not say what is delivered: `unsettled` is what this process has."""
        depths: dict[Topic, Depth] = {}
        async with _calls(self._connection) as calls:
            for topic in (*lanes_of(Kind.REQUESTS), Topic(Kind.CONTROL), Topic(Kind.DEAD)):
                ready = await _waiting(calls, self._names.queue(topic))
                depths[topic] = Depth(ready=ready, unsettled=unsettled.get(topic, 0))
        return depths


class _Calls:
    """Calls methods on one channel, and after a refusal, which closes the channel, on another."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._channel: Channel | None = None

    async def __call__(self, what: str, call: Call) -> Any:
        channel = self._channel
        if channel is None or closing(channel):
            channel = self._channel = await self._connection.open_channel()
        async with self._connection.answered(what):
            return await call(channel)

    async def close(self) -> None:
        """Never raises."""
        if self._channel is not None:
            await close_channel(self._channel)


@asynccontextmanager
async def _calls(connection: Connection) -> AsyncIterator[_Calls]:
    calls = _Calls(connection)
    try:
        yield calls
    finally:
        await calls.close()


async def _waiting(calls: _Calls, queue: str) -> int:
    answer = await calls(f"queue {queue}", lambda channel: channel.queue_declare(queue, passive=True))
    return int(answer.message_count or 0)


async def _lacks(calls: _Calls, item: Item) -> str:
    """How to call it if it is missing, or down; empty if it is there. Creates nothing."""
    try:
        if isinstance(item, Queue):
            await _waiting(calls, item.name)
        else:
            await calls(_called(item), lambda channel: channel.exchange_declare(item.name, passive=True))
    except ServerRefused as error:
        if error.code == _MISSING:
            # For a queue without a living leader the server replies with this code too, in other words.
            return _called(item) if _NONE.search(error.text) else f"{_called(item)} (down)"
        raise
    return ""


async def _differs(calls: _Calls, item: Item) -> list[str]:
    """Create it if it is missing. The result says how an existing item differs, in the server's words."""
    if isinstance(item, Queue) and item.bounds:
        differs = await _compared(calls, item, {**item.arguments, **item.bounds})
        if not _names(item.bounds, differs):
            return differs
        # It is there, with other bounds or none, and that is its owner's affair. What else differs?
        differs = await _compared(calls, item, item.arguments)
        return [] if _names(item.bounds, differs) else differs
    return await _compared(calls, item, item.arguments)


def _names(arguments: Mapping[str, object], differs: Sequence[str]) -> bool:
    """Whether the server said that one of these differs. It says of one only."""
    return any(f"'{name}'" in text for name in arguments for text in differs)


async def _compared(calls: _Calls, item: Item, wanted: Mapping[str, object]) -> list[str]:
    arguments: dict[str, Any] = dict(wanted)

    async def declared(channel: Channel) -> None:
        if isinstance(item, Queue):
            await channel.queue_declare(item.name, durable=True, arguments=arguments)
        else:
            await channel.exchange_declare(
                item.name, exchange_type=item.kind, durable=True, arguments=arguments or None
            )

    try:
        await calls(_called(item), declared)
    except ServerRefused as error:
        if error.code != _DIFFERENT:
            raise
        return [f"{_called(item)}: {error.text}"]
    return []


async def _bind(calls: _Calls, queue: Queue) -> None:
    for key in queue.keys:

        async def bound(channel: Channel, key: str = key) -> None:
            await channel.queue_bind(queue.name, queue.exchange, key)

        await calls(f"binding {queue.name} to {queue.exchange}", bound)


def _called(item: Item) -> str:
    return f"{'queue' if isinstance(item, Queue) else 'exchange'} {item.name}"
