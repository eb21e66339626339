"""The broker port on RabbitMQ, over AMQP 0.9.1, put together from the other modules.

RabbitMQ drops no repeats: a message published twice is stored twice, and consumers recognise it by its event.
"""

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from cloudevents.core.v1.event import CloudEvent

from adapters import headers as stamps
from adapters.base import (
    BrokerUnavailable,
    Cursor,
    DeadLetter,
    Depth,
    Kind,
    Mishaps,
    Record,
    Replicas,
    Topic,
    TopicRefused,
)
from adapters.rabbitmq.client import ServerRefused
from adapters.rabbitmq.connection import Connection, connection
from adapters.rabbitmq.consume import Subscription, subscription
from adapters.rabbitmq.dead import dead_letters
from adapters.rabbitmq.declare import Declarer
from adapters.rabbitmq.history import history
from adapters.rabbitmq.hold import Hold
from adapters.rabbitmq.message import properties_of
from adapters.rabbitmq.options import RabbitMQOptions
from adapters.rabbitmq.probe import Probe
from adapters.rabbitmq.publisher import ALARM, Publisher, forbidden, too_large
from adapters.rabbitmq.topology import KEY_LIMIT, QueueNames
from adapters.topics import refusal, require_consumed
from events.cloudevent.binding import to_amqp
from events.names import DEFAULT_INSTANCE


class RabbitMQBroker:
    """One installation on one RabbitMQ server or cluster. Use `connect()`."""

    name = "rabbitmq"

    def __init__(self, url: str, publishing: Connection, consuming: Connection, names: QueueNames) -> None:
        # Two connections: at an alarm the server stops reading from those that publish, and acks have to go on.
        self._publishing = publishing
        self._consuming = consuming
        self._url = url
        self._names = names
        self._publisher = Publisher(publishing)
        self._probe = Probe(publishing, names)
        self._declarer = Declarer(consuming, names)
        self._hold = Hold(consuming.options.hold)
        self._subscriptions: set[Subscription] = set()

    @property
    def connected(self) -> bool:
        """False while one of its two connections is being restored."""
        return self._publishing.connected and self._consuming.connected

    # Publisher

    async def publish(self, topic: Topic, event: CloudEvent, *, message_id: str | None = None) -> None:
        """See the port. `BrokerUnavailable` at once while disconnected or blocked by an alarm: nothing is buffered."""
        if reason := refusal(topic) or _too_long(topic):
            raise TopicRefused(topic, reason)
        content_type, body = to_amqp(event)
        limit = self._publishing.options.max_message_bytes
        if len(body) > limit:
            raise TopicRefused(topic, f"{len(body)} bytes; {limit} are allowed", too_large=True)
        name = stamps.sendable(message_id) if message_id else stamps.message_id(topic.kind, event)
        properties = properties_of(message_id=name[:KEY_LIMIT], content_type=content_type)
        # Subscribers bind queues of their own: without this, their queues alone would make an event routable.
        log = self._names.queue(topic) if topic.kind in (Kind.LIFECYCLE, Kind.REPLY) else None
        try:
            await self._publisher.store(self._names.exchange(topic.kind), topic.key, body, properties, needs=log)
        except ServerRefused as error:
            if too_large(error):
                raise TopicRefused(topic, str(error), too_large=True) from error
            if forbidden(error):
                raise TopicRefused(topic, str(error)) from error
            raise

    # Subscription and log

    @asynccontextmanager
    async def subscribe(self, kind: Kind, *, prefetch: int) -> AsyncIterator[Subscription]:
        """See the port. Raises ValueError for a kind that is not consumed."""
        require_consumed(kind)
        async with subscription(
            self._consuming, self._publisher, self._names, kind, prefetch=prefetch, hold=self._hold
        ) as consumer:
            self._subscriptions.add(consumer)
            try:
                yield consumer
            finally:
                self._subscriptions.discard(consumer)

    def history(
        self,
        kind: Kind,
        *,
        key: str | None = None,
        follow: bool = False,
        new_only: bool = False,
        after: Cursor | None = None,
    ) -> AbstractAsyncContextManager[AsyncIterator[Record]]:
        """See the port. With `follow` it survives lost connections; without, it raises `BrokerUnavailable`."""
        return history(self._consuming, self._names, kind, key=key, follow=follow, new_only=new_only, after=after)

    def dead_letters(self) -> AbstractAsyncContextManager[AsyncIterator[DeadLetter]]:
        """See the port. Raises `BrokerUnavailable` on entry when somebody else works with them."""
        return dead_letters(self._consuming, self._publisher, self._names)

    # Topology

    async def declare(self) -> None:
        """See the port. An alarm is reported too, once all is declared."""
        await self._declarer.declare()
        self._require_no_alarm()

    async def check(self) -> None:
        """See the port. An alarm is reported too."""
        await self._declarer.check()
        self._require_no_alarm()

    def _require_no_alarm(self) -> None:
        if self._publishing.blocked:
            raise BrokerUnavailable(ALARM)

    async def depth(self) -> Mapping[Topic, Depth]:
        """See the port. Messages in the delay queues are not counted."""
        unsettled: Counter[Topic] = Counter()
        for consumer in self._subscriptions:
            unsettled.update(consumer.unsettled)
        return await self._declarer.depth(unsettled)

    async def fill(self) -> Mapping[Kind, float]:
        """See the port. AMQP tells how many messages there are, and not how large."""
        return {}

    async def probe(self) -> None:
        """See the port. It asks for one queue, and of the others knows what became of the last publishes."""
        await self._probe.ask()
        if problem := self._publisher.problem():
            raise BrokerUnavailable(problem)

    async def replicas(self) -> Sequence[Replicas]:
        """See the port. Empty without the management API."""
        options = self._publishing.options
        if options.management_url is None:
            return ()
        # What speaks HTTP takes memory that most installations do not need.
        from adapters.rabbitmq.members import Members

        return await Members(self._url, options, self._names).replicas()

    @property
    def mishaps(self) -> Mishaps:
        """See the port."""
        return Mishaps(redeclared=self._declarer.redeclared, taken_away=self._hold.taken_away)

    async def close(self) -> None:
        """Never raises."""
        await self._publisher.close()


@asynccontextmanager
async def connect(
    url: str, *, instance: str = DEFAULT_INSTANCE, options: RabbitMQOptions | None = None
) -> AsyncIterator[RabbitMQBroker]:
    """A connected broker that reconnects by itself. Raises `BrokerUnavailable` when it cannot be reached in time."""
    options = options or RabbitMQOptions()
    names = QueueNames(instance)
    async with (
        connection(url, options, purpose="publish") as publishing,
        connection(url, options, purpose="consume") as consuming,
    ):
        broker = RabbitMQBroker(url, publishing, consuming, names)
        try:
            yield broker
        finally:
            await broker.close()


def _too_long(topic: Topic) -> str | None:
    return f"longer than {KEY_LIMIT} bytes" if len(topic.key.encode()) > KEY_LIMIT else None
