"""Claims about which consumer gets which deliveries, on every broker: lanes, prefetch, sharing, closing."""

import asyncio
from collections import Counter

import pytest

from adapters.base import Broker, Delivery, Depth, Kind, Subscription
from tests.adapters.harness import (
    CONTROL,
    DEAD,
    HIGH,
    LOW,
    REQUESTS,
    Harness,
    emptied,
    ids,
    next_delivery,
    nothing_comes,
    publish,
    soon,
    take,
    until,
)
from tests.patience import PATIENCE


async def test_high_is_preferred_and_low_does_not_starve(broker: Broker) -> None:
    for topic in (LOW, REQUESTS, HIGH):
        await publish(broker, 300, topic, prefix=f"{topic}-")
    async with broker.subscribe(Kind.REQUESTS, prefetch=20) as subscription:
        # Which lane answers first is chance.
        await take(subscription, 60, ack=True)
        taken = Counter(delivery.topic for delivery in await take(subscription, 200, ack=True))
    assert taken[HIGH] > taken[REQUESTS] > taken[LOW] >= 10


async def test_urgent_request_passes_a_long_queue(broker: Broker) -> None:
    await publish(broker, 300)
    async with broker.subscribe(Kind.REQUESTS, prefetch=30) as subscription:
        await take(subscription, 50, ack=True)
        await publish(broker, 1, HIGH, prefix="urgent")
        async with asyncio.timeout(PATIENCE):
            passed = 0
            while (await next_acked(subscription)).topic != HIGH:
                passed += 1
    assert passed < 100


async def next_acked(subscription: Subscription) -> Delivery:
    delivery = await next_delivery(subscription)
    await delivery.ack()
    # Every real consumer waits for something, too.
    await asyncio.sleep(0.001)
    return delivery


async def test_no_more_than_the_prefetch_is_handed_out(broker: Broker) -> None:
    for topic in (LOW, REQUESTS, HIGH):
        await publish(broker, 4, topic, prefix=f"{topic}-")
    for prefetch in (1, 2, 5):
        async with broker.subscribe(Kind.REQUESTS, prefetch=prefetch) as subscription:
            held = await take(subscription, prefetch)
            assert await nothing_comes(subscription)
            await held[0].ack()
            assert ids([await next_delivery(subscription)])
            assert await nothing_comes(subscription)


async def test_the_next_message_comes_while_one_is_worked_on_whatever_its_lane(broker: Broker) -> None:
    async with broker.subscribe(Kind.REQUESTS, prefetch=2) as subscription:
        for number, topic in enumerate((LOW, REQUESTS, HIGH, REQUESTS, LOW)):
            await publish(broker, 2, topic, prefix=f"{topic}-{number}-")
            held = await next_delivery(subscription)
            ready = await next_delivery(subscription)
            assert await nothing_comes(subscription, within=0.05)
            await held.ack()
            await ready.ack()


async def test_paused_subscription_takes_no_more_settles_what_it_has_and_continues_when_resumed(broker: Broker) -> None:
    await publish(broker, 40)
    async with broker.subscribe(Kind.REQUESTS, prefetch=10) as subscription:
        first = await take(subscription, 5)
        subscription.pause()
        had = []
        while (delivery := await soon(subscription)) is not None:
            had.append(delivery)
        assert len(had) <= 10  # Those that were here or on their way.
        for delivery in [*first, *had]:
            await delivery.ack()
        assert await nothing_comes(subscription)
        subscription.resume()
        rest = await take(subscription, 40 - len(first) - len(had), ack=True)
        assert [delivery.attempt for delivery in rest] == [1] * len(rest)
        assert await nothing_comes(subscription)


async def test_paused_subscription_takes_at_most_one_message_that_comes_to_an_empty_lane(broker: Broker) -> None:
    async with broker.subscribe(Kind.REQUESTS, prefetch=10) as subscription:
        assert await nothing_comes(subscription)  # It has asked the broker.
        subscription.pause()
        assert await nothing_comes(subscription)
        await publish(broker, 5, HIGH)
        early = [] if (delivery := await soon(subscription)) is None else [delivery]
        assert await nothing_comes(subscription)
        subscription.resume()
        came = [*early, *await take(subscription, 5 - len(early), ack=True)]
    assert Counter(ids(came)) == Counter(f"m{number}" for number in range(5))
    assert {delivery.attempt for delivery in came} == {1}


async def test_subscription_that_is_paused_again_and_again_gets_everything_once(broker: Broker) -> None:
    published = await publish(broker, 300)
    came: list[Delivery] = []
    async with broker.subscribe(Kind.REQUESTS, prefetch=10) as subscription:
        while len(came) < len(published):
            delivery = await next_acked(subscription)
            came.append(delivery)
            if len(came) % 10 == 0:
                subscription.pause()
                while (late := await soon(subscription, within=0.02)) is not None:
                    await late.ack()
                    came.append(late)
                subscription.resume()
        assert await nothing_comes(subscription)
    assert sorted(ids(came)) == sorted(published)
    # RabbitMQ takes back what is on its way to a cancelled consumer, and counts that as an attempt.
    assert broker.name == "rabbitmq" or {delivery.attempt for delivery in came} == {1}


async def test_consumer_that_does_not_iterate_keeps_no_more_than_its_prefetch_from_others(harness: Harness) -> None:
    await publish(harness.broker, 50)
    async with harness.broker.subscribe(Kind.REQUESTS, prefetch=10) as busy:
        await next_delivery(busy)
        async with harness.member() as other, other.subscribe(Kind.REQUESTS, prefetch=10) as free:
            await take(free, 40, ack=True)


async def test_two_members_share_the_requests_without_duplicates(harness: Harness) -> None:
    published = await publish(harness.broker, 300)
    seen: list[str] = []

    async def work(broker: Broker) -> None:
        async with broker.subscribe(Kind.REQUESTS, prefetch=10) as subscription:
            async for delivery in subscription:
                seen.append(str(delivery.event().get_id()))
                await delivery.ack()
                await asyncio.sleep(0)
                if len(seen) >= len(published):
                    break

    async with harness.member() as other, asyncio.timeout(PATIENCE):
        workers = [asyncio.create_task(work(member)) for member in (harness.broker, other)]
        await asyncio.wait(workers, return_when=asyncio.FIRST_COMPLETED)
        await emptied(harness.broker)
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    assert sorted(seen) == sorted(published)


async def test_closed_subscription_ends_and_its_deliveries_can_still_be_settled(broker: Broker) -> None:
    await publish(broker, 3)
    async with broker.subscribe(Kind.REQUESTS, prefetch=2) as subscription:
        first, second = await take(subscription, 2)
        subscription.close()
        assert [delivery async for delivery in subscription] == []
        await first.ack()
        await second.retry(0)
        async with broker.subscribe(Kind.REQUESTS, prefetch=5) as successor:
            rest = await take(successor, 2, ack=True)
    assert sorted(ids(rest)) == sorted({"m0", "m1", "m2"} - {ids([first])[0]})


async def test_closing_ends_an_iteration_that_waits(broker: Broker) -> None:
    async with broker.subscribe(Kind.REQUESTS, prefetch=2) as subscription:
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
            waiting = group.create_task(collect(subscription))
            await asyncio.sleep(0)
            subscription.close()
        assert waiting.result() == []


async def collect(subscription: Subscription) -> list[Delivery]:
    return [delivery async for delivery in subscription]


async def test_closed_subscription_gives_back_at_once_what_was_not_handed_out(harness: Harness) -> None:
    await publish(harness.broker, 20)
    async with harness.broker.subscribe(Kind.REQUESTS, prefetch=10) as subscription:
        held = await next_delivery(subscription)
        subscription.close()
        async with harness.member() as other, other.subscribe(Kind.REQUESTS, prefetch=30) as free:
            await take(free, 19, ack=True)
        await held.ack()
        await emptied(harness.broker)


async def test_cancelled_wait_for_a_delivery_loses_none(broker: Broker) -> None:
    async with broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription:
        for number in range(20):
            waiting = asyncio.create_task(next_delivery(subscription))
            await asyncio.sleep(0.002)
            publishing = asyncio.create_task(publish(broker, 1, prefix=f"n{number}-"))
            await asyncio.sleep(0.0002 * number)
            waiting.cancel()
            try:
                await (await waiting).ack()
            except asyncio.CancelledError:
                await publishing
                await (await next_delivery(subscription)).ack()
            await publishing
        await emptied(broker)


async def test_depth_counts_waiting_and_unsettled_messages(broker: Broker) -> None:
    await publish(broker, 5, LOW, prefix="low")
    await publish(broker, 2, CONTROL)

    async def counted() -> bool:
        depth = await broker.depth()
        return depth == {
            HIGH: Depth(ready=0, unsettled=0),
            REQUESTS: Depth(ready=0, unsettled=0),
            LOW: Depth(ready=5, unsettled=0),
            CONTROL: Depth(ready=2, unsettled=0),
            DEAD: Depth(ready=0, unsettled=0),
        }

    await until(counted)
    async with broker.subscribe(Kind.CONTROL, prefetch=1) as subscription:
        await next_delivery(subscription)

        async def held() -> bool:
            return (await broker.depth())[CONTROL] == Depth(ready=1, unsettled=1)

        await until(held)


async def test_kinds_are_either_consumed_or_read(broker: Broker) -> None:
    for kind in (Kind.LIFECYCLE, Kind.DEAD, Kind.REPLY):
        with pytest.raises(ValueError, match=kind):
            async with broker.subscribe(kind, prefetch=1):
                pass
    for kind in (Kind.REQUESTS, Kind.CONTROL, Kind.REPLY):
        with pytest.raises(ValueError, match=kind):
            async with broker.history(kind):
                pass
