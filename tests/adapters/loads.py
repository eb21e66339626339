"""Publishing and consuming while a broker breaks, for any broker."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from adapters.base import Broker, BrokerUnavailable, Kind, Topic
from tests.adapters.harness import REQUESTS, make_event, publish, records, until
from tests.patience import PATIENCE


async def publish_surely(broker: Broker, topic: Topic, name: str) -> None:
    """Publish again and again until the broker has the event."""
    event = make_event(id=name)
    while True:
        try:
            await broker.publish(topic, event)
        except BrokerUnavailable:
            await asyncio.sleep(0.05)
        else:
            return


async def broken_under_load(broker: Broker, breaking: Callable[[], Awaitable[None]], *, count: int) -> None:
    """Break the broker twice while `count` requests are published and consumed: all of them arrive."""
    wanted = {f"n{number}" for number in range(count)}
    seen: set[str] = set()
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        group.create_task(_consume(broker, wanted, seen))
        for start in range(10):
            group.create_task(_produce(broker, sorted(wanted)[start::10]))
        for share in (0.2, 0.5):

            async def reached(share: float = share) -> bool:
                return len(seen) > share * len(wanted)

            await until(reached)
            await breaking()
    assert seen == wanted


async def followed_while_broken(
    broker: Broker, before_it_is_read: Callable[[], Awaitable[None]], later: Callable[[], Awaitable[None]]
) -> None:
    """Break the broker twice while its log grows and is followed: there is no gap in it and nothing comes again."""
    breaking = {0: before_it_is_read, 40: later}
    async with asyncio.timeout(PATIENCE):
        await publish(broker, 1, Topic(Kind.LIFECYCLE, "s.before.created"))
        (before,) = await records(broker, Kind.LIFECYCLE)
        async with broker.history(Kind.LIFECYCLE, follow=True, after=before.cursor) as history:
            seen = []
            for number in range(60):
                await publish_surely(broker, Topic(Kind.LIFECYCLE, f"s.{number}.created"), f"l{number}")
                if number in breaking:
                    await breaking[number]()
                if number % 3 == 0:
                    seen.append((await anext(history)).topic.key)
            while len(seen) < 60:
                seen.append((await anext(history)).topic.key)
    assert seen == [f"s.{number}.created" for number in range(60)]


async def followed_while_made_anew(broker: Broker, delete: Callable[[], Awaitable[None]]) -> None:
    """Delete the log while it is followed, and declare it again: it is followed from its beginning."""
    await publish(broker, 3, Topic(Kind.LIFECYCLE, "s.1.created"), prefix="old")
    async with broker.history(Kind.LIFECYCLE, follow=True) as history, asyncio.timeout(PATIENCE):
        for _ in range(3):
            await anext(history)
        await delete()
        await broker.declare()
        await publish(broker, 1, Topic(Kind.LIFECYCLE, "s.2.created"), prefix="new")
        assert (await anext(history)).topic.key == "s.2.created"


async def _consume(broker: Broker, wanted: set[str], seen: set[str]) -> None:
    async with broker.subscribe(Kind.REQUESTS, prefetch=50) as subscription:
        async for delivery in subscription:
            seen.add(str(delivery.event().get_id()))
            await delivery.ack()
            await asyncio.sleep(0.001)
            if seen == wanted:
                return


async def _produce(broker: Broker, names: Sequence[str]) -> None:
    for name in names:
        await publish_surely(broker, REQUESTS, name)
