"""Publishes events into an installation's queue and counts what is stored, with the plain client of each broker."""

from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

import nats
from nats.aio.client import Client as NatsClient

from events.phases import Phase
from tests import amqp
from tests.bench.load.events import IN_FLIGHT, many
from tests.bench.load.looking import all_done
from tests.e2e.observer import STRUCTURED
from tests.e2e.site import NATS, Site

REQUESTS, LIFECYCLE = "requests", "lifecycle"
_STALLED = f"*.*.{Phase.STALLED}"


class Feed(Protocol):
    """A connection to the broker of one installation."""

    async def publish(self, events: Iterable[bytes]) -> None:
        """Return once the broker has all of them."""
        ...

    async def stored(self, kind: str) -> int:
        """How many events are stored: requests that wait, or all lifecycle events."""
        ...

    async def stalled(self) -> int:
        """How many of the lifecycle events are `stalled`. Costs the broker more than `stored`."""
        ...


async def holds(feed: Feed, kind: str, count: int, *, seconds: float) -> None:
    """Return once exactly `count` are stored. `stalled` does not count: only how busy the cluster is causes it here."""

    async def missing() -> int:
        stored = await feed.stored(kind)
        if kind == LIFECYCLE and stored >= count:
            stored -= await feed.stalled()
        return abs(count - stored)

    await all_done(missing, seconds=seconds)


def feeding(site: Site, instance: str) -> AbstractAsyncContextManager[Feed]:
    """A feed of this installation, whose topology is declared already."""
    return _nats(site.source, instance) if site.broker == NATS else _rabbitmq(site.source, instance)


class _Nats:
    def __init__(self, client: NatsClient, instance: str) -> None:
        self._stream = client.jetstream()
        self._instance = instance

    async def publish(self, events: Iterable[bytes]) -> None:
        headers = {"Content-Type": STRUCTURED}
        subject = f"{self._instance}.requests"
        await many(lambda body: self._stream.publish(subject, body, headers=headers), events, in_flight=IN_FLIGHT)

    async def stored(self, kind: str) -> int:
        info = await self._stream.stream_info(f"{self._instance}_{kind}".upper())
        return int(info.state.messages)

    async def stalled(self) -> int:
        filter_ = f"{self._instance}.{LIFECYCLE}.{_STALLED}"
        info = await self._stream.stream_info(f"{self._instance}_{LIFECYCLE}".upper(), subjects_filter=filter_)
        return sum((info.state.subjects or {}).values())


@asynccontextmanager
async def _nats(url: str, instance: str) -> AsyncIterator[_Nats]:
    client = await nats.connect(url)
    try:
        yield _Nats(client, instance)
    finally:
        await client.close()


class _RabbitMQ:
    def __init__(self, client: amqp.Client, instance: str) -> None:
        self._client = client
        self._instance = instance

    async def publish(self, events: Iterable[bytes]) -> None:
        exchange = f"{self._instance}.requests"
        await many(
            lambda body: self._client.publish(exchange, "", body, content_type=STRUCTURED), events, in_flight=IN_FLIGHT
        )

    async def stored(self, kind: str) -> int:
        return await self._client.ready(_counter(self._instance) if kind == LIFECYCLE else f"{self._instance}.{kind}")

    async def stalled(self) -> int:
        return await self._client.ready(_stalled_counter(self._instance))


@asynccontextmanager
async def _rabbitmq(url: str, instance: str) -> AsyncIterator[_RabbitMQ]:
    """AMQP does not report how many messages a stream has: extra queues that nobody consumes count them instead."""
    async with amqp.client(url) as client:
        await client.channel.exchange_declare(f"{instance}.lifecycle", exchange_type="topic", durable=True)
        for counter, keys in ((_counter(instance), "#"), (_stalled_counter(instance), _STALLED)):
            await client.channel.queue_declare(counter, exclusive=True)
            await client.channel.queue_bind(counter, f"{instance}.lifecycle", keys)
        yield _RabbitMQ(client, instance)


def _counter(instance: str) -> str:
    return f"{instance}.counter"


def _stalled_counter(instance: str) -> str:
    return f"{instance}.counter.stalled"
