"""Declares and compares what `topology` lists, over AMQP alone: no management plugin. It deletes nothing."""

import logging
import re
from collections.abc import Mapping, Sequence

from adapters.base import BrokerUnavailable, Depth, Kind, Topic, TopologyDrift
from adapters.rabbitmq.calls import Calls, calling
from adapters.rabbitmq.client import Channel, ServerRefused
from adapters.rabbitmq.compare import Comparer, Item, called
from adapters.rabbitmq.connection import Connection
from adapters.rabbitmq.policies import commands_of
from adapters.rabbitmq.topology import Exchange, Queue, QueueNames, exchanges, queues
from adapters.topics import lanes_of

logger = logging.getLogger(__name__)

UNCHECKED = (
    "JOBRELAY_RABBITMQ_REPLICAS counts when queues are declared, and as far as nodes have joined by then; how many "
    "members they have cannot be seen without JOBRELAY_RABBITMQ_MANAGEMENT_URL"
)
_FORBIDDEN, _MISSING = 403, 404
_NONE = re.compile(r"\bno (queue|exchange)\b")


class Declarer:
    """Exchanges and queues of one installation. `redeclared` counts those that were there once and had gone."""

    def __init__(self, connection: Connection, names: QueueNames) -> None:
        self._connection = connection
        self._names = names
        self._comparer = Comparer()
        self._established = False
        self.redeclared = 0

    async def declare(self) -> None:
        """See the port."""
        drift: list[str] = []
        async with calling(self._connection) as calls:
            # From the last on: while another process makes them in order, none looks as if it had gone.
            missing = [item for item in reversed(self._items()) if await _lacks(calls, item) == called(item)]
            established = self._established or self._was_whole(missing)
            for item in missing:
                self._comparer.forget(item)
            for item in self._items():
                drift += await self._comparer.differs(calls, item)
                if item in missing:
                    self._created(item, anew=established)
            if not self._established and self._blind:
                logger.warning(UNCHECKED)
            self._established = True
            for queue in self._queues():
                await _bind(calls, queue)
        if drift:
            raise TopologyDrift("; ".join(drift))

    async def check(self) -> None:
        """See the port. A user who may not configure cannot compare, and only learns that everything exists."""
        missing: list[str] = []
        drift: list[str] = []
        spare = {called(queue) for queue in self._queues() if queue.spare}
        async with calling(self._connection) as calls:
            for item in self._items():
                if lacking := await _lacks(calls, item):
                    if lacking not in spare:
                        missing.append(lacking)
                    continue
                try:
                    drift += await self._comparer.differs(calls, item)
                except ServerRefused as error:
                    if error.code != _FORBIDDEN:
                        raise
        if missing:
            raise BrokerUnavailable("; ".join([f"missing on the broker: {', '.join(missing)}", *drift]))
        if drift:
            raise TopologyDrift("; ".join(drift))

    @property
    def _blind(self) -> bool:
        options = self._connection.options
        return (options.replicas or 1) > 1 and options.management_url is None

    def _items(self) -> tuple[Item, ...]:
        return (*exchanges(self._names), *self._queues())

    def _queues(self) -> tuple[Queue, ...]:
        return queues(self._names, self._connection.options.replicas, version=self._connection.version)

    def _was_whole(self, missing: Sequence[Item]) -> bool:
        """Whether a queue had gone before this process came: all is made in order, and a later queue is there.

        Clients may have made an exchange or a queue before us, but not the last exchange.
        """
        there = [queue not in missing for queue in self._queues()]
        return exchanges(self._names)[-1] not in missing and there != sorted(there, reverse=True)

    def _created(self, item: Item, *, anew: bool) -> None:
        if anew:
            self.redeclared += 1
            logger.warning("%s was gone and is declared anew: %s", called(item), self._meaning(item))
        else:
            logger.info("created %s", called(item))

    def _meaning(self, item: Item) -> str:
        if isinstance(item, Exchange):
            return "what others had bound to it is not bound any more"
        commands = " and ".join(commands_of(self._connection.vhost))
        return f"what was in it is lost. It was deleted, or it expired: {commands} show the policies with `expires`"

    async def ready(self, queue: str) -> int | None:
        """How many messages wait in it; None when it does not exist."""
        try:
            async with calling(self._connection) as calls:
                return await _waiting(calls, queue)
        except ServerRefused as error:
            if error.code == _MISSING:
                return None
            raise

    async def depth(self, unsettled: Mapping[Topic, int]) -> Mapping[Topic, Depth]:
        """See the port. AMQP does not say what is delivered: `unsettled` is what this process has.

        From 4.2.6 on RabbitMQ tells of a queue only those who may do something with it: the others are left out.
        """
        depths: dict[Topic, Depth] = {}
        async with calling(self._connection) as calls:
            for topic in (*lanes_of(Kind.REQUESTS), Topic(Kind.CONTROL), Topic(Kind.DEAD)):
                try:
                    ready = await _waiting(calls, self._names.queue(topic))
                except ServerRefused as error:
                    if error.code != _FORBIDDEN:
                        raise
                    continue
                depths[topic] = Depth(ready=ready, unsettled=unsettled.get(topic, 0))
        return depths


async def _waiting(calls: Calls, queue: str) -> int:
    answer = await calls(f"queue {queue}", lambda channel: channel.queue_declare(queue, passive=True))
    return int(answer.message_count or 0)


async def _lacks(calls: Calls, item: Item) -> str:
    """How to call it if it is missing, or down; empty if it is there, or not for this user to know. Creates nothing."""
    try:
        if isinstance(item, Queue):
            await _waiting(calls, item.name)
        else:
            await calls(called(item), lambda channel: channel.exchange_declare(item.name, passive=True))
    except ServerRefused as error:
        if error.code == _MISSING:
            # For a queue without a living leader the server replies with this code too, in other words.
            return called(item) if _NONE.search(error.text) else f"{called(item)} (down)"
        if error.code != _FORBIDDEN:
            raise
    return ""


async def _bind(calls: Calls, queue: Queue) -> None:
    for key in queue.keys:

        async def bound(channel: Channel, key: str = key) -> None:
            await channel.queue_bind(queue.name, queue.exchange, key)

        await calls.change(f"binding {queue.name} to {queue.exchange}", bound)
