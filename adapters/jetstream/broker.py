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
from adapters.jetstream.connection import ApiError, Connection, Forbidden, NoResponders, NotStored, TooLarge, connection
from adapters.jetstream.dead import dead_letters
from adapters.jetstream.declare import Declarer
from adapters.jetstream.history import history
from adapters.jetstream.letters import Letters
from adapters.jetstream.options import JetStreamOptions
from adapters.jetstream.pull import subscription
from adapters.jetstream.replicas import Scaling
from adapters.jetstream.topology import StreamNames
from adapters.topics import refusal, require_consumed
from events.cloudevent.binding import to_nats
from events.names import DEFAULT_INSTANCE

_OUR_FAULT = range(400, 500)


class JetStreamBroker:
    """One installation on one NATS server or cluster. Use `connect()`."""

    name = "nats"

    def __init__(self, link: Connection, names: StreamNames, options: JetStreamOptions) -> None:
        self._link = link
        self._names = names
        self._options = options
        self._scaling = Scaling(link, options)
        self._declarer = Declarer(link, names, options, self._scaling)
        self._letters = Letters(link, names)

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
        subject = self._names.subject(topic)
        try:
            await self._link.store(subject, body, headers)
        except TooLarge as error:
            raise TopicRefused(topic, str(error), too_large=True) from error
        except Forbidden as error:
            raise TopicRefused(topic, str(error)) from error
        except BrokerUnavailable as error:
            # A missing stream of our own is missing topology: it will be declared, so that is not final.
            if topic.kind is Kind.REPLY and (reason := await self._final(subject, error)):
                raise TopicRefused(topic, reason) from error
            raise

    async def _final(self, subject: str, error: BrokerUnavailable) -> str | None:
        """Why no retry can succeed; None when a retry may."""
        if isinstance(error, NoResponders | NotStored) and not self._options.remote:
            return str(error)
        if isinstance(error, ApiError):
            return str(error) if error.code in _OUR_FAULT else None
        # No reply: the server or the way to the domain is down, or only an ordinary subscriber listens, which will
        # never reply.
        try:
            found = await self._link.api("STREAM.NAMES", {"subject": subject})
        except BrokerUnavailable:
            return None
        return None if found.get("streams") else f"no stream stores {subject}"

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
        return dead_letters(self._link, self._names)

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
        await self.check()

    async def replicas(self) -> Sequence[Replicas]:
        """See the port."""
        kinds = (Kind.REQUESTS, Kind.CONTROL, Kind.LIFECYCLE, Kind.DEAD)
        return await self._scaling.replicas([self._names.stream(kind) for kind in kinds])

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
