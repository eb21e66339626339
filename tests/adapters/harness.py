"""What the tests of brokers need of each adapter, and short words for what they do. No tests here."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

import pytest
from cloudevents.core.v1.event import CloudEvent

from adapters.base import Broker, BrokerUnavailable, Delivery, Kind, Record, Subscription, Topic, TopicRefused
from events.cloudevent.event import build
from events.names import REQUESTED_TYPE
from tests.patience import PATIENCE

T = TypeVar("T")
REQUESTS = Topic(Kind.REQUESTS)
HIGH = Topic(Kind.REQUESTS, "high")
LOW = Topic(Kind.REQUESTS, "low")
CONTROL = Topic(Kind.CONTROL)
DEAD = Topic(Kind.DEAD)
_numbers = itertools.count(1)

Put = Callable[[Topic, Mapping[str, str], bytes], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Harness:
    """A broker under test, its topology declared."""

    broker: Broker
    put: Put
    """Store any bytes, as a foreign client can."""
    remake: Callable[[], Awaitable[None]]
    """Delete the log of lifecycle events and declare it anew, as an operator can."""
    member: Callable[[], AbstractAsyncContextManager[Broker]]
    """A connection to the same topics, as another process would have."""
    buffers: bool
    """Whether a subscription fetches ahead of the iteration."""
    ack_wait: float
    largest: int
    """Bytes of headers and body of the largest request."""
    drops_repeats: bool
    """Whether the broker drops a message with an id that it has seen."""
    refuses_replies: bool
    """Whether it refuses reply topics only because they were never declared."""


def make_event(**attributes: object) -> CloudEvent:
    number = next(_numbers)
    data = attributes.pop("data", {"number": number})
    fixed = {"specversion": "1.0", "id": f"e{number}", "source": "/tests", "type": REQUESTED_TYPE}
    return build(fixed | attributes, data)


async def publish(broker: Broker, count: int, topic: Topic = REQUESTS, *, prefix: str = "m") -> list[str]:
    """`count` events with ids `<prefix>0`, `<prefix>1`, …"""
    ids = [f"{prefix}{number}" for number in range(count)]
    await asyncio.gather(*(broker.publish(topic, make_event(id=name)) for name in ids))
    return ids


async def take(subscription: Subscription, count: int, *, ack: bool = False) -> list[Delivery]:
    """The next `count` deliveries, before a deadline."""
    taken: list[Delivery] = []
    async with asyncio.timeout(PATIENCE):
        while len(taken) < count:
            taken.append(await anext(aiter(subscription)))
            if ack:
                await taken[-1].ack()
    return taken


async def next_delivery(subscription: Subscription) -> Delivery:
    (delivery,) = await take(subscription, 1)
    return delivery


async def soon(subscription: Subscription, *, within: float = 0.3) -> Delivery | None:
    """The next delivery; None when none comes within that time."""
    try:
        async with asyncio.timeout(within):
            return await anext(aiter(subscription))
    except TimeoutError:
        return None


async def nothing_comes(subscription: Subscription, *, within: float = 0.3) -> bool:
    return await soon(subscription, within=within) is None


async def until(condition: Callable[[], Awaitable[bool]], *, seconds: float = PATIENCE) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.05)


async def emptied(broker: Broker, topic: Topic = REQUESTS) -> None:
    """Wait until no message of the topic waits or is unsettled."""

    async def empty() -> bool:
        depth = (await broker.depth())[topic]
        return depth.ready == 0 and depth.unsettled == 0

    await until(empty)


async def records(broker: Broker, kind: Kind, *, key: str | None = None) -> list[Record]:
    async with asyncio.timeout(PATIENCE), broker.history(kind, key=key) as history:
        return [record async for record in history]


def ids(deliveries: list[Delivery]) -> list[str]:
    return [str(delivery.event().get_id()) for delivery in deliveries]


async def use_everything(broker: Broker) -> None:
    """Do once everything that jobrelay does on a broker."""
    await broker.declare()
    await broker.check()
    await publish(broker, 3)
    async with broker.subscribe(Kind.REQUESTS, prefetch=30) as subscription:
        acked, retried, rejected = await take(subscription, 3)
        await acked.ack()
        await rejected.reject("CODE", "why")
        await retried.retry(0)
        await (await next_delivery(subscription)).ack()
        async with broker.dead_letters() as letters:
            async for letter in letters:
                await letter.replay()
        await (await next_delivery(subscription)).ack()
    await publish(broker, 1, CONTROL)
    async with broker.subscribe(Kind.CONTROL, prefetch=1) as subscription:
        await take(subscription, 1, ack=True)
    await publish(broker, 1, Topic(Kind.LIFECYCLE, "s.1.created"))
    assert len(await records(broker, Kind.LIFECYCLE)) == 1
    await emptied(broker)


async def can_only_read(user: Broker, owner: Broker) -> None:
    """Raises AssertionError unless it can check, and follow the log of lifecycle events, and do nothing else."""
    told = Topic(Kind.LIFECYCLE, "s.1.created")
    await user.check()
    await user.fill()
    await publish(owner, 1, told)
    async with user.history(Kind.LIFECYCLE, follow=True) as found:
        await anext(found)
        await publish(owner, 1, told, prefix="later")
        await anext(found)
    for topic in (REQUESTS, CONTROL, told):
        with pytest.raises((TopicRefused, BrokerUnavailable)):
            await user.publish(topic, make_event())
    assert len(await records(owner, Kind.LIFECYCLE)) == 2


async def can_operate(user: Broker, owner: Broker) -> None:
    """Raises AssertionError unless it can ask for things, read what was told and refused, and do nothing else."""
    told = Topic(Kind.LIFECYCLE, "s.1.created")
    await user.check()
    await user.depth()
    await publish(owner, 1, told)
    for topic in (REQUESTS, HIGH, LOW, CONTROL):
        await user.publish(topic, make_event(id=str(topic)))
        assert await _refused(owner, topic) == str(topic)
    assert len(await records(user, Kind.LIFECYCLE)) == 1
    assert len(await records(user, Kind.DEAD)) == 4
    for topic in (told, Topic(Kind.DEAD, "requests"), Topic(Kind.REPLY, "another.topic")):
        with pytest.raises((TopicRefused, BrokerUnavailable)):
            await user.publish(topic, make_event())
    await user.publish(REQUESTS, make_event(id="left"))
    with pytest.raises((BrokerUnavailable, TimeoutError)):
        async with user.subscribe(Kind.REQUESTS, prefetch=1) as subscription, asyncio.timeout(0.5):
            await anext(aiter(subscription))
    assert await _refused(owner, REQUESTS) == "left"
    assert len(await records(owner, Kind.LIFECYCLE)) == 1


async def _refused(broker: Broker, topic: Topic) -> str:
    """Make a dead letter of the next message of this topic. Returns the id of its event."""
    async with broker.subscribe(topic.kind, prefetch=1) as subscription:
        delivery = await next_delivery(subscription)
        await delivery.reject("X", "poison")
        await emptied(broker, topic)
    return str(delivery.event().get_id())


@asynccontextmanager
async def same(broker: Broker) -> AsyncIterator[Broker]:
    yield broker
