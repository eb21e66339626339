"""Claims about publishing and about reading what was published, on every broker."""

import asyncio
from contextlib import suppress

import pytest

from adapters import headers as stamps
from adapters.base import Broker, Kind, Record, Topic, TopicRefused
from adapters.registry import BROKER_NAMES
from events.cloudevent.binding import to_nats
from events.cloudevent.event import encode_structured
from tests.adapters.harness import (
    REQUESTS,
    Harness,
    emptied,
    ids,
    make_event,
    next_delivery,
    publish,
    records,
    take,
)
from tests.patience import PATIENCE


def lifecycle(key: str) -> Topic:
    return Topic(Kind.LIFECYCLE, key)


async def test_connected_broker_has_the_name_of_its_adapter(adapter: tuple[str, str], broker: Broker) -> None:
    assert broker.name == adapter[0]
    assert broker.name in BROKER_NAMES


async def test_repeated_message_id_is_stored_once_where_the_broker_knows_it(harness: Harness) -> None:
    broker = harness.broker
    for message_id in ("one", "one", "a b", "a b", "a\nb", "ä" * 400, "ä" * 400):
        await broker.publish(lifecycle("s.1.created"), make_event(), message_id=message_id)
    assert len(await records(broker, Kind.LIFECYCLE)) == (4 if harness.drops_repeats else 7)


async def test_repeated_event_may_be_dropped_but_not_an_equal_id_of_another_source(harness: Harness) -> None:
    broker = harness.broker
    for source in ("/a", "/a", "/b"):
        await broker.publish(REQUESTS, make_event(id="same", source=source))
    async with broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription:
        taken = await take(subscription, 2 if harness.drops_repeats else 3, ack=True)
        await emptied(broker)
    sources = [str(delivery.event().get_source()) for delivery in taken]
    assert sources == (["/a", "/b"] if harness.drops_repeats else ["/a", "/a", "/b"])


async def test_largest_request_can_be_retried_and_rejected_and_a_larger_request_is_refused(harness: Harness) -> None:
    broker = harness.broker
    event = make_event(data="")
    headers, body = to_nats(event)
    spare = harness.largest - len(body) - stamps.size(headers)
    # The header with the message id is not counted yet: try until the event fits.
    for missing in range(200):
        event = make_event(data="x" * (spare - missing))
        with suppress(TopicRefused):
            await broker.publish(REQUESTS, event)
            break
    assert missing < 199
    with pytest.raises(TopicRefused) as beyond:
        await broker.publish(REQUESTS, make_event(data="x" * (2 * harness.largest)))
    assert beyond.value.too_large
    async with broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription:
        await (await next_delivery(subscription)).retry(0.1)
        delivery = await next_delivery(subscription)
        assert delivery.attempt == 2
        await delivery.reject("TOO_LARGE", "€" * 10_000)
        await emptied(broker)
    (dead,) = await records(broker, Kind.DEAD)
    assert dead.body == encode_structured(event)


@pytest.mark.parametrize(
    "topic",
    [
        Topic(Kind.REPLY, ""),
        Topic(Kind.REPLY, "a..b"),
        Topic(Kind.REPLY, ".a"),
        Topic(Kind.REPLY, "a.*"),
        Topic(Kind.REPLY, "a.>"),
        Topic(Kind.REPLY, "a b"),
        Topic(Kind.REPLY, "a\r\nPUB b 0"),
        Topic(Kind.REPLY, "$JS.API.STREAM.DELETE.JOBRELAY_REQUESTS"),
        Topic(Kind.REPLY, "x" * 5000),
        Topic(Kind.REPLY, "\ud800"),
        Topic(Kind.LIFECYCLE, "a.*.c"),
        Topic(Kind.REQUESTS, "urgent"),
        Topic(Kind.DEAD, "requests"),
    ],
)
async def test_topic_that_never_takes_an_event_is_refused_and_the_next_publish_works(
    broker: Broker, topic: Topic
) -> None:
    with pytest.raises(TopicRefused) as refused:
        await broker.publish(topic, make_event())
    assert not refused.value.too_large
    assert refused.value.topic == topic
    await broker.publish(Topic(Kind.REPLY, "answers.here"), make_event())


async def test_reply_topic_that_was_never_declared_is_refused_where_replies_need_it(harness: Harness) -> None:
    topic = Topic(Kind.REPLY, "nobody.stores.this")
    if harness.refuses_replies:
        with pytest.raises(TopicRefused):
            await harness.broker.publish(topic, make_event())
    else:
        await harness.broker.publish(topic, make_event(id="kept"))
        (record,) = await records(harness.broker, Kind.LIFECYCLE, key=topic.key)
        assert record.event().get_id() == "kept"


async def test_history_replays_in_order_with_keys_headers_and_bodies(broker: Broker) -> None:
    events = [make_event(id=f"h{number}") for number in range(450)]
    for event in events:
        await broker.publish(lifecycle(f"s.{event.get_id()}.created"), event)
    read = await records(broker, Kind.LIFECYCLE)
    assert [record.topic.key for record in read] == [f"s.{event.get_id()}.created" for event in events]
    assert [record.event().get_id() for record in read] == [e.get_id() for e in events]
    assert sorted({record.sequence for record in read}) == [record.sequence for record in read]
    assert read[0].time <= read[-1].time


async def test_dead_letters_listed_a_hundred_times_are_all_still_there(broker: Broker) -> None:
    await publish(broker, 5)
    async with broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription:
        for delivery in await take(subscription, 5):
            await delivery.reject("X", "poison")
    for _ in range(100):
        assert len(await records(broker, Kind.DEAD)) == 5


async def test_followed_history_continues_with_new_records(broker: Broker) -> None:
    await broker.publish(lifecycle("s.1.created"), make_event(id="before"))
    async with asyncio.timeout(PATIENCE), broker.history(Kind.LIFECYCLE, follow=True) as history:
        seen = [await anext(history)]
        for number in range(20):
            await broker.publish(lifecycle("s.1.started"), make_event(id=f"after{number}"))
            seen.append(await anext(history))
    assert names(seen) == ["before", *(f"after{number}" for number in range(20))]


async def test_new_only_skips_earlier_records(broker: Broker) -> None:
    await broker.publish(lifecycle("s.1.created"), make_event(id="before"))
    async with (
        asyncio.timeout(PATIENCE),
        broker.history(Kind.LIFECYCLE, follow=True, new_only=True) as history,
        broker.history(Kind.LIFECYCLE, new_only=True) as ended,
    ):
        await broker.publish(lifecycle("s.1.started"), make_event(id="after"))
        assert names([await anext(history)]) == ["after"]
        assert [record async for record in ended] == []


async def test_history_ends_with_what_was_stored_on_entry(broker: Broker) -> None:
    for number in range(5):
        await broker.publish(lifecycle("s.1.progress"), make_event(id=f"n{number}"))
    async with asyncio.timeout(PATIENCE), broker.history(Kind.LIFECYCLE) as history:
        await broker.publish(lifecycle("s.1.progress"), make_event(id="later"))
        assert names([record async for record in history]) == [f"n{number}" for number in range(5)]


@pytest.mark.parametrize(
    ("pattern", "selected"),
    [
        (None, {"a.1.created", "a.1.failed", "b.1.created", "b.2.created"}),
        ("#", {"a.1.created", "a.1.failed", "b.1.created", "b.2.created"}),
        ("a.#", {"a.1.created", "a.1.failed"}),
        ("*.1.*", {"a.1.created", "a.1.failed", "b.1.created"}),
        ("b.2.created", {"b.2.created"}),
        ("b.2", set()),
        ("c.#", set()),
    ],
)
async def test_key_selects_from_history(broker: Broker, pattern: str | None, selected: set[str]) -> None:
    for key in ("a.1.created", "a.1.failed", "b.1.created", "b.2.created"):
        await broker.publish(lifecycle(key), make_event())
    assert {record.topic.key for record in await records(broker, Kind.LIFECYCLE, key=pattern)} == selected


async def test_topology_that_was_declared_passes_the_check(broker: Broker) -> None:
    await broker.declare()
    await broker.check()


async def test_many_publishes_at_once_are_all_stored(broker: Broker) -> None:
    published = await publish(broker, 2000)
    async with broker.subscribe(Kind.REQUESTS, prefetch=100) as subscription:
        assert sorted(ids(await take(subscription, 2000, ack=True))) == sorted(published)


def names(seen: list[Record]) -> list[str]:
    return [str(record.event().get_id()) for record in seen]
