"""A claim about deliveries that holds on every broker: they know for how long they have been put back."""

import time

import pytest

from adapters.base import Broker, Kind, Topic
from tests.adapters.harness import CONTROL, REQUESTS, make_event, next_delivery


@pytest.mark.parametrize("topic", [REQUESTS, CONTROL])
async def test_a_delivery_knows_since_when_it_is_put_back_however_often(broker: Broker, topic: Topic) -> None:
    await broker.publish(topic, make_event(id=f"waits-{topic}"))
    async with broker.subscribe(Kind(topic.kind), prefetch=5) as subscription:
        first = await next_delivery(subscription)
        assert first.waited == 0
        begun = time.time()
        await first.defer(0.2)
        await (second := await next_delivery(subscription)).retry(0.1)
        third = await next_delivery(subscription)
        # Stored in whole milliseconds.
        assert 0.199 <= second.waited < third.waited <= time.time() - begun + 0.002
        await third.ack()
