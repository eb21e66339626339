"""Claims about dead letters that hold on every broker: each can be replayed or dropped, and none is lost."""

from collections.abc import Mapping

import pytest

from adapters import headers as stamps
from adapters.base import Broker, DeadLetter, Delivery, Kind, Topic, TopicRefused
from tests.adapters.harness import (
    CONTROL,
    HIGH,
    LOW,
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
)

ANY_BYTES = b"\x00\xff any bytes"


async def bury(harness: Harness, topic: Topic, headers: Mapping[str, str], body: bytes) -> Delivery:
    """Make a dead letter from a foreign client's message."""
    await harness.put(topic, headers, body)
    async with harness.broker.subscribe(topic.kind, prefetch=5) as subscription:
        delivery = await next_delivery(subscription)
        await delivery.reject("X", "poison")
        await emptied(harness.broker, topic)
    return delivery


async def bury_events(broker: Broker, count: int, topic: Topic = REQUESTS) -> None:
    await publish(broker, count, topic)
    async with broker.subscribe(topic.kind, prefetch=count) as subscription:
        for delivery in await take(subscription, count):
            await delivery.reject("X", "poison")
        await emptied(broker, topic)


async def letters_of(broker: Broker) -> list[str]:
    return [record.event().get_id() for record in await records(broker, Kind.DEAD)]


async def replay_all(broker: Broker) -> None:
    async with broker.dead_letters() as letters:
        async for letter in letters:
            await letter.replay()


@pytest.mark.parametrize("topic", [REQUESTS, HIGH, LOW, CONTROL], ids=str)
async def test_a_replayed_letter_comes_back_on_its_topic_as_a_new_message_with_its_bytes_and_headers(
    harness: Harness, topic: Topic
) -> None:
    first = await bury(harness, topic, {"Content-Type": "text/plain", "X-Own": "kept"}, ANY_BYTES)
    await replay_all(harness.broker)
    assert await records(harness.broker, Kind.DEAD) == []
    async with harness.broker.subscribe(topic.kind, prefetch=5) as subscription:
        again = await next_delivery(subscription)
        assert (again.topic, again.body, again.attempt, again.replays) == (topic, ANY_BYTES, 1, 1)
        assert again.message_id != first.message_id
        assert await nothing_comes(subscription)
        await again.reject("Y", "still")
    (record,) = await records(harness.broker, Kind.DEAD)
    assert (record.headers["X-Own"], record.headers["Content-Type"]) == ("kept", "text/plain")
    assert record.headers[stamps.CODE] == "Y"


async def test_replays_are_counted_and_attempts_start_again(broker: Broker) -> None:
    await publish(broker, 1)
    seen = []
    for _ in range(3):
        async with broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription:
            await (await next_delivery(subscription)).retry(0)
            delivery = await next_delivery(subscription)
            seen.append((delivery.replays, delivery.attempt))
            await delivery.reject("X", "poison")
            await emptied(broker)
        await replay_all(broker)
    assert seen == [(0, 2), (1, 2), (2, 2)]


async def test_a_replayed_message_does_not_say_why_it_was_dead(harness: Harness) -> None:
    await bury(harness, REQUESTS, {stamps.REPLAYS: "junk"}, ANY_BYTES)
    (letter,) = await records(harness.broker, Kind.DEAD)
    assert {stamps.CODE, stamps.REASON, stamps.ORIGIN, stamps.ATTEMPTS} <= set(letter.headers)
    await replay_all(harness.broker)
    async with harness.broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription:
        await (await next_delivery(subscription)).defer(0)
        again = await next_delivery(subscription)
        assert (again.attempt, again.replays) == (1, 1)
        await again.reject("Y", "")
    (letter,) = await records(harness.broker, Kind.DEAD)
    assert letter.headers[stamps.CODE] == "Y"
    assert not stamps.reason_of(letter.headers)


async def test_only_what_was_dropped_or_replayed_is_gone_and_the_rest_keeps_its_order(broker: Broker) -> None:
    await bury_events(broker, 6)
    before = await letters_of(broker)
    async with broker.dead_letters() as letters:
        number = 0
        async for letter in letters:
            if number == 1:
                await letter.drop()
            if number == 4:
                await letter.replay()
            number += 1
    left = [name for number, name in enumerate(before) if number not in (1, 4)]
    assert await letters_of(broker) == left
    async with broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription:
        assert ids([await next_delivery(subscription)]) == [before[4]]
        assert await nothing_comes(subscription)


async def test_dropping_the_last_letter_keeps_those_before_it(broker: Broker) -> None:
    await bury_events(broker, 3)
    before = await letters_of(broker)
    async with broker.dead_letters() as letters:
        found = [letter async for letter in letters]
        await found[-1].drop()
    assert await letters_of(broker) == before[:-1]
    async with broker.dead_letters() as letters:
        async for letter in letters:
            await letter.drop()
    assert await letters_of(broker) == []


async def test_dropping_and_replaying_again_does_nothing(broker: Broker) -> None:
    await bury_events(broker, 2)
    async with broker.dead_letters() as letters:
        first, second = [letter async for letter in letters]
        await first.drop()
        await first.drop()
        await first.replay()
        await second.replay()
        await second.replay()
        await second.drop()
    async with broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription:
        await take(subscription, 1, ack=True)
        assert await nothing_comes(subscription)


async def test_reading_dead_letters_a_hundred_times_and_stopping_in_the_middle_loses_none(broker: Broker) -> None:
    await bury_events(broker, 5)
    before = await letters_of(broker)
    for number in range(100):
        async with broker.dead_letters() as letters:
            for _ in range(number % 6):
                await anext(letters)
    assert await letters_of(broker) == before


async def test_letters_that_arrive_meanwhile_are_not_read(broker: Broker) -> None:
    await bury_events(broker, 1)
    seen = 0
    async with broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription, broker.dead_letters() as letters:
        async for letter in letters:
            seen += 1
            await letter.replay()
            await (await next_delivery(subscription)).reject("X", "again")
            await emptied(broker)
    assert seen == 1
    assert len(await letters_of(broker)) == 1


async def test_a_crash_between_storing_and_removing_repeats_and_loses_nothing(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Crash(Exception):
        pass

    async def crash(letter: DeadLetter) -> None:
        raise Crash

    await bury_events(harness.broker, 1)
    with pytest.raises(Crash):
        async with harness.member() as other, other.dead_letters() as letters:
            letter = await anext(letters)
            monkeypatch.setattr(type(letter), "drop", crash)
            await letter.replay()
    monkeypatch.undo()
    # The letters can be read once the broker knows that the other connection is gone.
    await replay_all(harness.broker)
    assert await letters_of(harness.broker) == []
    async with harness.broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription:
        (delivery,) = await take(subscription, 1, ack=True)
        assert (ids([delivery]), delivery.replays) == (["m0"], 1)
        # Where the broker drops repeats, the request is not even delivered twice.
        assert not harness.drops_repeats or harness.broker.name == "memory" or await nothing_comes(subscription)


async def test_largest_request_can_be_replayed(harness: Harness) -> None:
    body = b"x" * (harness.largest - 200)
    await bury(harness, REQUESTS, {"Content-Type": "text/plain"}, body)
    await replay_all(harness.broker)
    async with harness.broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription:
        assert (await next_delivery(subscription)).body == body


async def test_a_dead_letter_of_a_foreign_topic_can_be_dropped_but_not_replayed(harness: Harness) -> None:
    await harness.put(Topic(Kind.DEAD, "elsewhere"), {}, ANY_BYTES)
    async with harness.broker.dead_letters() as letters:
        letter = await anext(letters)
        with pytest.raises(TopicRefused):
            await letter.replay()
    assert len(await records(harness.broker, Kind.DEAD)) == 1
    async with harness.broker.dead_letters() as letters:
        await (await anext(letters)).drop()
    assert await records(harness.broker, Kind.DEAD) == []


async def test_there_may_be_no_dead_letters(broker: Broker) -> None:
    async with broker.dead_letters() as letters:
        assert [letter async for letter in letters] == []


async def test_a_forged_number_of_replays_is_ignored(harness: Harness) -> None:
    await harness.put(REQUESTS, {stamps.REPLAYS: "-1"}, make_event().get_id().encode())
    async with harness.broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription:
        assert (await next_delivery(subscription)).replays == 0
