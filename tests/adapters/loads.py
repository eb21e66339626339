"""Publishing and consuming while a broker breaks, for any broker."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from adapters.base import Broker, BrokerUnavailable, Kind, Topic
from tests.adapters.harness import REQUESTS, make_event, until
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
