"""The broker port on NATS JetStream, put together from the other modules. Here topics become subjects."""

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from cloudevents.core.v1.event import CloudEvent

from adapters import headers as stamps
from adapters.base import (
    BrokerUnavailable,
    DeadLetter,
    Depth,
    Kind,
    Record,
    Subscription,
    Topic,
    TopicRefused,
    TopologyDrift,
)
from adapters.jetstream.connection import ApiError, Connection, Forbidden, NoResponders, NotStored, TooLarge, connection
from adapters.jetstream.dead import dead_letters
from adapters.jetstream.history import history
from adapters.jetstream.options import JetStreamOptions
from adapters.jetstream.pull import subscription
from adapters.jetstream.topology import Consumer, Stream, StreamNames, consumer_drift, stream_drift, streams
from adapters.topics import lanes_of, refusal, require_consumed
from events.cloudevent.binding import to_nats
from events.names import DEFAULT_INSTANCE

logger = logging.getLogger(__name__)

_NO_SPACE = (10023, 10047)
_GONE = 404
_OUR_FAULT = range(400, 500)


class JetStreamBroker:
    """One installation on one NATS server or cluster. Use `connect()`."""

    name = "nats"

    def __init__(self, link: Connection, names: StreamNames, options: JetStreamOptions) -> None:
        self._link = link
        self._names = names
        self._options = options
        self._found_doubles: list[str] | None = None

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
        return subscription(self._link, self._names, kind, prefetch=prefetch, options=self._options)

    def history(
        self, kind: Kind, *, key: str | None = None, follow: bool = False, new_only: bool = False
    ) -> AbstractAsyncContextManager[AsyncIterator[Record]]:
        """See the port. With `follow` it survives lost connections; without, it raises `BrokerUnavailable`."""
        return history(self._link, self._names, kind, key=key, follow=follow, new_only=new_only)

    def dead_letters(self) -> AbstractAsyncContextManager[AsyncIterator[DeadLetter]]:
        """See the port."""
        return dead_letters(self._link, self._names)

    # Topology

    async def declare(self) -> None:
        """See the port."""
        drift = await self._doubles()
        for stream in self._streams():
            found = await self._info(f"STREAM.INFO.{stream.name}")
            if found is None:
                found = await self._create_stream(stream)
            drift += stream_drift(stream, found["config"])
            for consumer in stream.consumers:
                drift += await self._declare_consumer(stream, consumer)
        if drift:
            raise TopologyDrift("; ".join(drift))

    async def check(self) -> None:
        """See the port."""
        missing: list[str] = []
        drift = await self._doubles()
        for stream in self._streams():
            found = await self._info(f"STREAM.INFO.{stream.name}")
            if found is None:
                missing.append(f"stream {stream.name}")
                continue
            drift += stream_drift(stream, found["config"])
            for consumer in stream.consumers:
                found = await self._info(f"CONSUMER.INFO.{stream.name}.{consumer.name}")
                if found is None:
                    missing.append(f"consumer {consumer.name} of {stream.name}")
                else:
                    drift += consumer_drift(stream, consumer, found["config"])
        if missing:
            raise BrokerUnavailable(f"missing on the broker: {', '.join(missing)}")
        if drift:
            raise TopologyDrift("; ".join(drift))

    def _streams(self) -> tuple[Stream, ...]:
        return streams(self._names, max_payload=self._link.max_payload, options=self._options)

    async def _info(self, call: str) -> dict[str, Any] | None:
        try:
            return await self._link.api(call)
        except ApiError as error:
            if error.code == _GONE:
                return None
            raise

    async def _doubles(self) -> list[str]:
        """A sentence if our server has such an installation too, beside that of the domain. Asked once."""
        if self._options.domain and self._found_doubles is None:
            name = self._names.stream(Kind.REQUESTS)
            found = await self._link.own_stream(name)
            domain = found.get("domain") or "of this server"
            self._found_doubles = (
                [f"stream {name} is in the domain {domain}, too: each would settle the other's messages"]
                if found and domain != self._options.domain
                else []
            )
        return list(self._found_doubles or ())

    async def _create_stream(self, stream: Stream) -> dict[str, Any]:
        try:
            created = await self._link.api(f"STREAM.CREATE.{stream.name}", stream.config)
        except ApiError as error:
            if error.err_code in _NO_SPACE:
                size = f" of {stream.config['max_bytes']} bytes" if "max_bytes" in stream.config else ""
                raise BrokerUnavailable(
                    f"JetStream has no room for {stream.name}{size}: raise the server's max_file_store, "
                    f"or lower JOBRELAY_NATS_MAX_BYTES ({error.description})"
                ) from error
            # Another process created it first, with other arguments.
            found = await self._info(f"STREAM.INFO.{stream.name}")
            if found is None:
                raise
            return found
        logger.info("created stream %s", stream.name)
        return created

    async def _declare_consumer(self, stream: Stream, consumer: Consumer) -> list[str]:
        found = await self._info(f"CONSUMER.INFO.{stream.name}.{consumer.name}")
        if found is None:
            # "create" does not change a consumer that another process created meanwhile.
            request = {"stream_name": stream.name, "action": "create", "config": consumer.config}
            subject = consumer.config["filter_subject"]
            found = await self._link.api(f"CONSUMER.CREATE.{stream.name}.{consumer.name}.{subject}", request)
            logger.info("created consumer %s of %s", consumer.name, stream.name)
        return list(consumer_drift(stream, consumer, found["config"]))

    async def depth(self) -> Mapping[Topic, Depth]:
        """See the port. Delayed and returned messages count as unsettled."""
        depths: dict[Topic, Depth] = {}
        for kind in (Kind.REQUESTS, Kind.CONTROL):
            for topic in lanes_of(kind):
                call = f"CONSUMER.INFO.{self._names.stream(kind)}.{self._names.consumer(topic)}"
                info = await self._link.api(call)
                depths[topic] = Depth(ready=int(info["num_pending"]), unsettled=int(info["num_ack_pending"]))
        dead = await self._link.api(f"STREAM.INFO.{self._names.stream(Kind.DEAD)}")
        depths[Topic(Kind.DEAD)] = Depth(ready=int(dead["state"]["messages"]), unsettled=0)
        return depths


@asynccontextmanager
async def connect(
    url: str, *, instance: str = DEFAULT_INSTANCE, options: JetStreamOptions | None = None
) -> AsyncIterator[JetStreamBroker]:
    """A connected broker that reconnects by itself. Raises `BrokerUnavailable` when it cannot be reached in time."""
    options = options or JetStreamOptions()
    names = StreamNames(instance)
    async with connection(url, options) as link:
        yield JetStreamBroker(link, names, options)
