"""Claims about the broker in memory alone; those that hold on every broker are in contract/."""

import pytest

from adapters import memory
from adapters.base import BrokerUnavailable, Kind
from adapters.connect import connect
from tests.adapters.harness import REQUESTS, make_event, next_delivery


async def test_memory_needs_no_server() -> None:
    async with connect("memory://") as broker, broker.subscribe(Kind.REQUESTS, prefetch=1) as subscription:
        assert broker.name == "memory"
        await broker.publish(REQUESTS, make_event())
        await next_delivery(subscription)


async def test_nothing_is_published_in_memory_after_the_block() -> None:
    async with memory.connect() as broker:
        await broker.publish(REQUESTS, make_event())
        async with broker.subscribe(Kind.REQUESTS, prefetch=1) as subscription:
            await (await next_delivery(subscription)).retry(60)
    with pytest.raises(BrokerUnavailable):
        await broker.publish(REQUESTS, make_event())
    with pytest.raises(BrokerUnavailable):
        await broker.check()
