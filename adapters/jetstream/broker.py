"""The broker port on NATS JetStream, put together from the other modules. Here topics become subjects."""

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
    Subscription,
    Topic,
    TopicRefused,
)
from adapters.jetstream.connection import Connection, connection
from adapters.jetstream.dead import dead_letters
from adapters.jetstream.declare import Declarer
from adapters.jetstream.errors import LEADERLESS, ApiError, Forbidden, NoResponders, NotStored, TooLarge
from adapters.jetstream.history import history
from adapters.jetstream.letters import Letters
from adapters.jetstream.options import JetStreamOptions
from adapters.jetstream.pull import subscription
from adapters.jetstream.replicas import Scaling
from adapters.jetstream.stores import STORED, Stores
from adapters.jetstream.topology import StreamNames
from adapters.topics import refusal, require_consumed
from events.cloudevent.binding import to_nats
from events.names import DEFAULT_INSTANCE

_OUR_FAULT = range(400, 500)
_PASSING = (10002, 10120, 10158, 10167)
"""Errors in that range that pass: the account is full or has no limits, the same message is just being stored, or there
are too many at once.
"""


class JetStreamBroker:
    """One installation on one NATS server or cluster. Use `connect()`."""

    name = "nats"

    def __init__(self, link: Connection, names: StreamNames, options: JetStreamOptions) -> None:
        self._link = link
        self._names = names
        self._options = options
        self._scaling = Scaling(link, options)
        self._declarer = Declarer(link, names, options, self._scaling)
        self._stores = Stores(link, names)
        self._letters = Letters(self._stores, names)

    @property
    def connected(self) -> bool:
        """False while it reconnects."""
        return self._link.connected

    # Publisher

    async def publish(self, topic: Topic, event: CloudEvent, *, message_id: str | None = None) -> None:
        """See the port. `BrokerUnavailable` at once while disconnected: nothing is buffered."""
        if reason := refusal(topic):
            raise TopicRefused(topic, reason)
        headers, body = to_nats(event)
        headers["Nats-Msg-Id"] = stamps.sendable(message_id) if message_id else stamps.message_id(topic.kind, event)
        try:
            await self._store(topic, body, headers)
        except TooLarge as error:
            raise TopicRefused(topic, str(error), too_large=True) from error
        except Forbidden as error:
            raise TopicRefused(topic, str(error)) from error

    async def _store(self, topic: Topic, body: bytes, headers: Mapping[str, str]) -> None:
        # A missing stream of our own is missing topology: it will be declared, so that is never final.
        if topic.kind is not Kind.REPLY:
            await self._stores.store(topic, body, headers)
            return
        try:
            await self._link.store(topic.key, body, headers)
        except (TooLarge, Forbidden):
            raise
        except ApiError as error:
            if error.code in _OUR_FAULT and error.err_code not in _PASSING:
                raise TopicRefused(topic, str(error)) from error
            raise
        except BrokerUnavailable as error:
            await self._look_for_a_stream(topic, error)
            raise

    async def _look_for_a_stream(self, topic: Topic, error: BrokerUnavailable) -> None:
        """Raises `TopicRefused` if no stream stores the topic, and `BrokerUnavailable` if one has no leader.

        Without an answer of a stream nothing else is final: its leader is being elected, the server or the way to the
        domain is down, or an ordinary subscriber listens, who will never reply or said something else first.
        """
        try:
            found = (await self._link.api("STREAM.NAMES", {"subject": topic.key})).get("streams")
        except BrokerUnavailable as unknown:
            if isinstance(error, NoResponders):
                raise NoResponders(f"{error}, and whether a stream stores it cannot be known: {unknown}") from error
            return
        if not found:
            raise TopicRefused(topic, str(error) if isinstance(error, NotStored) else f"no stream stores {topic.key}")
        if isinstance(error, NoResponders):
            raise NoResponders(f"stream {', '.join(found)}, which stores {topic.key}, has {LEADERLESS}") from error

    # Subscription and log

    def subscribe(self, kind: Kind, *, prefetch: int) -> AbstractAsyncContextManager[Subscription]:
        """See the port. Raises ValueError for a kind that is not consumed."""
        require_consumed(kind)
        return subscription(self._link, self._letters, self._names, kind, prefetch=prefetch, options=self._options)

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
        return history(self._link, self._names, kind, key=key, follow=follow, new_only=new_only, after=after)

    def dead_letters(self) -> AbstractAsyncContextManager[AsyncIterator[DeadLetter]]:
        """See the port."""
        return dead_letters(self._link, self._stores, self._names)

    # Topology

    async def declare(self) -> None:
        """See the port."""
        await self._declarer.declare()

    async def check(self) -> None:
        """See the port."""
        await self._declarer.check()

    async def depth(self) -> Mapping[Topic, Depth]:
        """See the port. Delayed and returned messages count as unsettled."""
        return await self._declarer.depth()

    async def fill(self) -> Mapping[Kind, float]:
        """See the port."""
        found = await self._declarer.fill()
        self._letters.measured(found.get(Kind.DEAD, 0.0))
        return found

    async def probe(self) -> None:
        """See the port."""
        await self._stores.probe()

    async def replicas(self) -> Sequence[Replicas]:
        """See the port."""
        return await self._scaling.replicas([self._names.stream(kind) for kind in STORED])

    @property
    def mishaps(self) -> Mishaps:
        """See the port. JetStream takes no delivery away: each is extended for as long as it is held."""
        return Mishaps(
            redeclared=self._declarer.redeclared, letters_cut=self._letters.cut, letters_lost=self._letters.lost
        )


@asynccontextmanager
async def connect(
    url: str, *, instance: str = DEFAULT_INSTANCE, options: JetStreamOptions | None = None
) -> AsyncIterator[JetStreamBroker]:
    """A connected broker that reconnects by itself. Raises `BrokerUnavailable` when it cannot be reached in time."""
    options = options or JetStreamOptions()
    names = StreamNames(instance)
    async with connection(url, options) as link:
        yield JetStreamBroker(link, names, options)
