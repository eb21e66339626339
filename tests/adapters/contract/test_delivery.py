"""Claims about deliveries that hold on every broker: settled once, counted, delayed, dead-lettered."""

import asyncio
import time

import pytest

from adapters import headers as stamps
from adapters.base import Broker, Kind, Topic
from events.cloudevent.event import InvalidEvent, TooLarge
from tests.adapters.harness import (
    CONTROL,
    DEAD,
    HIGH,
    REQUESTS,
    Harness,
    emptied,
    ids,
    make_event,
    next_delivery,
    nothing_comes,
    publish,
    records,
    take,
    until,
)
from tests.patience import PATIENCE


async def test_published_request_is_delivered_as_it_was_and_gone_once_acknowledged(broker: Broker) -> None:
    event = make_event(subject="grüße", data={"a": [1, None, "ü"]})
    await broker.publish(HIGH, event)
    async with broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription:
        delivery = await next_delivery(subscription)
        assert delivery.event().get_attributes() == event.get_attributes()
        assert delivery.event().get_data() == event.get_data()
        assert (delivery.topic, delivery.attempt) == (HIGH, 1)
        await delivery.ack()
        await emptied(broker, HIGH)


async def test_what_is_larger_than_it_may_be_is_not_read_but_says_who_it_is(broker: Broker) -> None:
    event = make_event(data={"a": "x" * 1000})
    await broker.publish(REQUESTS, event)
    async with broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription:
        delivery = await next_delivery(subscription)
        size = len(delivery.body)
        assert delivery.event(most=size).get_id() == event.get_id()
        with pytest.raises(TooLarge) as caught:
            delivery.event(most=size - 1)
        assert (caught.value.size, caught.value.structured) == (size, True)
        assert caught.value.attributes["id"] == event.get_id()
        await delivery.ack()


async def test_unsettled_delivery_goes_back_when_the_subscription_ends_and_counts_as_an_attempt(broker: Broker) -> None:
    await publish(broker, 1)
    seen = []
    for _ in range(3):
        async with broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription:
            delivery = await next_delivery(subscription)
            seen.append((delivery.message_id, delivery.attempt))
    assert [attempt for _, attempt in seen] == [1, 2, 3]
    assert len({message_id for message_id, _ in seen}) == 1


async def test_settling_after_the_subscription_ended_does_not_affect_the_next_consumer(broker: Broker) -> None:
    await publish(broker, 1)
    async with broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription:
        late = await next_delivery(subscription)
    await late.ack()
    async with broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription:
        assert (await next_delivery(subscription)).attempt == 2


@pytest.mark.parametrize("delay", [0.0, 0.4])
async def test_retry_comes_no_sooner_than_asked_and_counts(harness: Harness, delay: float) -> None:
    await harness.put(REQUESTS, {"X-Own": "kept", "Content-Type": "text/plain"}, b"\x00 any bytes")
    async with harness.broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription:
        first = await next_delivery(subscription)
        asked_at = time.monotonic()
        await first.retry(delay)
        second = await next_delivery(subscription)
        assert time.monotonic() - asked_at >= delay
        assert (second.attempt, second.body) == (2, first.body)
        await second.reject("X", "to look at its headers")
    (dead,) = await records(harness.broker, Kind.DEAD)
    assert dead.headers["X-Own"] == "kept"


async def test_defer_does_not_count_however_often(broker: Broker) -> None:
    await publish(broker, 1)
    async with broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription:
        for delay in (0.2, 0.0, 0.1):
            delivery = await next_delivery(subscription)
            assert delivery.attempt == 1
            asked_at = time.monotonic()
            await delivery.defer(delay)
            async with asyncio.timeout(PATIENCE):
                waiting = await next_delivery(subscription)
            assert time.monotonic() - asked_at >= delay
            assert waiting.attempt == 1
            await waiting.defer(0)


async def test_retries_and_redeliveries_add_up(broker: Broker) -> None:
    await publish(broker, 1)
    async with broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription:
        await (await next_delivery(subscription)).retry(0.1)
        assert (await next_delivery(subscription)).attempt == 2
    async with broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription:
        delivery = await next_delivery(subscription)
        assert delivery.attempt == 3
        await delivery.retry(0)
        assert (await next_delivery(subscription)).attempt == 4


async def test_delayed_request_does_not_hold_up_those_behind_it(broker: Broker) -> None:
    await publish(broker, 2, prefix="slow")
    async with broker.subscribe(Kind.REQUESTS, prefetch=1) as subscription:
        for delay in (300, 0.5):
            await (await next_delivery(subscription)).retry(delay)
        await publish(broker, 3, prefix="quick")
        taken = await take(subscription, 4, ack=True)
    assert sorted(ids(taken)) == ["quick0", "quick1", "quick2", "slow1"]


async def test_rejected_delivery_becomes_a_dead_letter_with_its_bytes_headers_code_and_reason(harness: Harness) -> None:
    body = bytes(range(256))
    await harness.put(HIGH, {"Content-Type": "application/octet-stream", "ce-id": "50%25"}, body)
    async with harness.broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription:
        delivery = await next_delivery(subscription)
        await delivery.reject("INVALID_EVENT", "kein Ereignis: ä\r\nInjected: yes 100%")
        await emptied(harness.broker, HIGH)
    (record,) = await records(harness.broker, Kind.DEAD)
    assert (record.body, record.topic) == (body, Topic(Kind.DEAD, "requests.high"))
    assert record.headers["ce-id"] == "50%25"
    assert record.headers[stamps.CODE] == "INVALID_EVENT"
    assert stamps.reason_of(record.headers) == "kein Ereignis: ä\r\nInjected: yes 100%"
    assert record.headers[stamps.ORIGIN] == delivery.message_id
    assert "Injected" not in record.headers
    assert (await harness.broker.depth())[DEAD].ready == 1


async def test_very_long_reason_is_cut(broker: Broker) -> None:
    await publish(broker, 1)
    async with broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription:
        await (await next_delivery(subscription)).reject("X", "ä" * 100_000)
    (record,) = await records(broker, Kind.DEAD)
    assert 8000 < len(record.headers[stamps.REASON]) <= stamps.REASON_LIMIT
    assert set(stamps.reason_of(record.headers)) == {"ä"}


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[]", b'{"specversion":"9.9"}'])
async def test_bytes_that_are_no_event_are_delivered_whole_and_refused_when_decoded(
    harness: Harness, body: bytes
) -> None:
    await harness.put(REQUESTS, {"Content-Type": "application/cloudevents+json"}, body)
    async with harness.broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription:
        delivery = await next_delivery(subscription)
        with pytest.raises(InvalidEvent):
            delivery.event()
        assert delivery.body == body
        await delivery.reject("INVALID_EVENT", "no event")
        await emptied(harness.broker)


@pytest.mark.parametrize(
    "forged",
    [
        {"Status": "503"},
        {"Status": "404", "Description": "No Messages"},
        {stamps.ATTEMPTS: "-1", stamps.NOT_BEFORE: "soon"},
        {stamps.ATTEMPTS: "9" * 5000, stamps.NOT_BEFORE: "9" * 5000},
        {stamps.ATTEMPTS: "²", stamps.NOT_BEFORE: "1.5e3"},
        {stamps.NOT_BEFORE: "253402300799000"},
        {stamps.REPLAYS: "9999999", stamps.CODE: "X", stamps.REASON: "%" * 9000, stamps.ORIGIN: "control"},
        {"Nats-Expected-Stream": ""},
    ],
)
async def test_forged_headers_neither_stop_the_message_nor_those_behind_it(
    harness: Harness, forged: dict[str, str]
) -> None:
    await harness.put(REQUESTS, forged, b"")
    await publish(harness.broker, 1)
    async with harness.broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription:
        delivery = await next_delivery(subscription)
        assert delivery.attempt == 1
        await delivery.retry(0)
        rest = await take(subscription, 2)
        assert sorted(len(delivery.body) > 0 for delivery in rest) == [False, True]
        for delivery in rest:
            await delivery.reject("X", "enough")
        await emptied(harness.broker)


async def test_control_commands_are_apart_from_requests(broker: Broker) -> None:
    await publish(broker, 1, CONTROL, prefix="command")
    await publish(broker, 1, prefix="request")
    async with (
        broker.subscribe(Kind.CONTROL, prefetch=5) as control,
        broker.subscribe(Kind.REQUESTS, prefetch=5) as requests,
    ):
        command = await next_delivery(control)
        assert (ids([command]), command.topic) == (["command0"], CONTROL)
        assert ids(await take(requests, 1)) == ["request0"]
        await command.retry(0)
        again = await next_delivery(control)
        assert again.attempt == 2
        await again.reject("X", "unknown")
        assert await nothing_comes(control)
    assert [record.topic.key for record in await records(broker, Kind.DEAD)] == ["control"]


async def test_settling_twice_changes_nothing(broker: Broker) -> None:
    await publish(broker, 2)
    async with broker.subscribe(Kind.REQUESTS, prefetch=2) as subscription:
        first, second = await take(subscription, 2)
        await first.ack()
        await asyncio.gather(first.ack(), first.retry(0), first.reject("X", "no"), first.defer(0))
        assert await nothing_comes(subscription)
        await second.ack()
        await emptied(broker)
    assert await records(broker, Kind.DEAD) == []


async def test_consumer_slower_than_the_ack_wait_keeps_its_deliveries(harness: Harness) -> None:
    await publish(harness.broker, 3)

    async def all_taken() -> bool:
        return (await harness.broker.depth())[REQUESTS].unsettled == 3

    async with harness.broker.subscribe(Kind.REQUESTS, prefetch=3) as slow:
        # All are handed out, or wait in the buffer of the same consumer.
        held = await take(slow, 1 if harness.buffers else 3)
        await until(all_taken)
        async with harness.member() as other, other.subscribe(Kind.REQUESTS, prefetch=3) as waiting:
            assert await nothing_comes(waiting, within=2.5 * harness.ack_wait)
        assert [delivery.attempt for delivery in held + await take(slow, 3 - len(held))] == [1, 1, 1]
