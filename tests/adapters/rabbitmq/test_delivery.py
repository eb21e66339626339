"""Claims about deliveries that only concern RabbitMQ: foreign clients, long processing, delays, dead letters."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
from pamqp.commands import Basic

from adapters import headers as stamps
from adapters.base import BrokerUnavailable, Kind, Record, Topic, TopicRefused
from adapters.rabbitmq import broker as rabbitmq, consume, message as messages
from adapters.rabbitmq.declare import Declarer
from adapters.rabbitmq.options import RabbitMQOptions
from adapters.rabbitmq.wire.properties import Properties
from events.cloudevent.event import InvalidEvent
from tests.adapters.brokers import MAX_MESSAGE, RABBIT, Installation, Site, installation, send
from tests.adapters.harness import (
    CONTROL,
    DEAD,
    HIGH,
    LOW,
    REQUESTS,
    emptied,
    ids,
    make_event,
    next_delivery,
    nothing_comes,
    publish,
    records,
    take,
)
from tests.patience import PATIENCE, within

pytestmark = pytest.mark.broker
ATTRIBUTES = {"specversion": "1.0", "id": "e1", "source": "/tests", "type": "com.example.made"}


@pytest.fixture
async def installed(rabbit_url: str) -> AsyncIterator[Installation]:
    async with installation(rabbit_url) as made:
        yield made


@pytest.mark.parametrize("prefix", ["ce-", "cloudEvents:", "cloudEvents_"])
async def test_binary_event_of_a_foreign_client_is_understood_and_whole_as_a_dead_letter(
    installed: Installation, prefix: str
) -> None:
    noon = datetime(2026, 11, 21, 12, tzinfo=UTC)
    headers = {prefix + name: value for name, value in ATTRIBUTES.items()} | {
        f"{prefix}time": noon, f"{prefix}number": 5, "own": {"a": [1, None, True]}, "Content-Type": "application/json"
    }  # fmt: skip
    exchange = installed.names.exchange(Kind.REQUESTS)
    await send(installed.link, exchange, "some.other.key", headers, b'{"a":1}')
    async with installed.broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription:
        delivery = await next_delivery(subscription)
        event = delivery.event()
        assert (event.get_id(), event.get_time(), event.get_extension("number")) == ("e1", noon, 5)
        assert (event.get_data(), delivery.topic) == ({"a": 1}, REQUESTS)
        await delivery.retry(0)
        again = await next_delivery(subscription)
        assert again.event().get_attributes() == event.get_attributes()
        await again.reject("X", "to look at it")
    (dead,) = await records(installed.broker, Kind.DEAD)
    assert dead.event().get_attributes() == event.get_attributes()
    assert (dead.headers["own"], dead.headers[f"{prefix}number"]) == ("{'a': [1, None, True]}", "5")
    assert dead.headers[stamps.ATTEMPTS] == "2"


class Published:
    """A message with these properties, as far as its headers are concerned."""

    body = b"body"

    def __init__(self, properties: Properties) -> None:
        self.properties = properties


class Raw(Basic.Properties):
    """Properties that no well-behaved client sends."""

    def __init__(self, flags: int, encoded: bytes) -> None:
        super().__init__()
        self.raw = flags.to_bytes(2) + encoded

    def marshal(self) -> bytes:
        return self.raw


HEADERS, TIMESTAMP, MESSAGE_ID = 1 << 13, 1 << 6, 1 << 7
POISON = {
    "a header's name is not UTF-8": (HEADERS, b"\x00\x00\x00\x07\x01\xffS\x00\x00\x00\x00"),
    "a timestamp beyond time": (TIMESTAMP, b"\x7f" * 8),
    "a message id is not UTF-8": (MESSAGE_ID, b"\x02\xff\xfe"),
}


@pytest.mark.parametrize("poison", POISON)
async def test_message_that_the_client_library_cannot_decode_does_not_end_the_connection(
    installed: Installation, poison: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Raw, "message_id", "x", raising=False)
    exchange = installed.names.exchange(Kind.REQUESTS)
    async with installed.link.channel() as channel:
        await channel.basic_publish(b"body", exchange=exchange, properties=Raw(*POISON[poison]))
    await publish(installed.broker, 1)
    client = installed.broker._consuming._client
    async with installed.broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription:
        bad, good = await take(subscription, 2)
        assert (bad.body, ids([good])) == (b"body", ["m0"])
        with pytest.raises(InvalidEvent):
            bad.event()
        await bad.retry(0)
        await (await next_delivery(subscription)).reject("INVALID_EVENT", "no event")
        await good.ack()
        await emptied(installed.broker)
    assert installed.broker._consuming._client is client
    assert [record.body for record in await records(installed.broker, Kind.DEAD)] == [b"body"]


async def test_routing_key_that_is_no_text_does_not_end_the_connection(installed: Installation) -> None:
    class Key(str):
        def encode(self, *args: object) -> bytes:
            return b"\xff\xfe"

    async with installed.link.channel() as channel:
        await channel.basic_publish(b"body", exchange=installed.names.exchange(Kind.REQUESTS), routing_key=Key("xx"))
    client = installed.broker._consuming._client
    async with installed.broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription:
        delivery = await next_delivery(subscription)
        assert delivery.body == b"body"
        await delivery.ack()
    assert installed.broker._consuming._client is client


async def test_message_with_headers_as_large_as_a_frame_can_be_retried_and_rejected(installed: Installation) -> None:
    headers = {"large": "x" * 90_000, "small": "kept", **{f"h{number}": "y" * 900 for number in range(35)}}
    await send(installed.link, installed.names.exchange(Kind.REQUESTS), "", headers, b"body")
    async with installed.broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription:
        await (await next_delivery(subscription)).retry(0)
        delivery = await next_delivery(subscription)
        assert delivery.attempt == 2
        await delivery.reject("X", "ä" * 100_000)
    (dead,) = await records(installed.broker, Kind.DEAD)
    assert (dead.headers["small"], dead.headers[stamps.CODE]) == ("kept", "X")
    assert "large" not in dead.headers


async def test_expiration_and_user_of_the_original_do_not_stop_a_copy(installed: Installation) -> None:
    properties = Properties(user_id=urlsplit(installed.url).username, expiration="60000", priority=3, delivery_mode=2)
    async with installed.link.channel(confirms=True) as channel:
        await channel.basic_publish(b"body", exchange=installed.names.exchange(Kind.REQUESTS), properties=properties)
    async with installed.broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription:
        await (await next_delivery(subscription)).retry(0)
        assert (await next_delivery(subscription)).attempt == 2


async def test_headers_that_the_broker_acts_on_do_not_multiply_a_message(installed: Installation) -> None:
    headers = {"CC": ["low"], "BCC": ["low"], "x-opt-x": 1, "x-stream-filter-value": "a", "cc": "kept"}
    await send(installed.link, installed.names.exchange(Kind.REQUESTS), "high", headers, b"body")
    async with installed.broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription:
        for delay in (0, 0.1, 0):
            for delivery in await take(subscription, 2):
                await delivery.retry(delay)
        for delivery in await take(subscription, 2):
            await delivery.reject("X", "to look at it")
        await emptied(installed.broker)
    letters = await records(installed.broker, Kind.DEAD)
    assert sorted(letter.topic.key for letter in letters) == ["requests.high", "requests.low"]
    for letter in letters:
        assert {name for name in letter.headers if "jobrelay" not in name} - {"x-delivery-count"} == {"cc"}


async def test_a_reply_that_nobody_waits_for_does_not_stop_a_copy(installed: Installation) -> None:
    message = Published(Properties(reply_to="amq.rabbitmq.reply-to", correlation_id="kept"))
    copy = messages.again(message, attempts=1, until=None)  # type: ignore[arg-type]
    assert (copy.reply_to, copy.correlation_id) == (None, "kept")
    kept = messages.again(Published(Properties(reply_to="answers")), attempts=1, until=None)  # type: ignore[arg-type]
    assert kept.reply_to == "answers"


async def test_a_dead_letter_that_the_broker_made_is_what_the_broker_says_not_its_publisher(
    installed: Installation,
) -> None:
    """A replay must not take a request to the commands, nor may it pass for another dead letter."""
    forged: dict[str, Any] = {
        stamps.CODE: "FORBIDDEN",
        stamps.REASON: "x",
        stamps.ORIGIN: "control/1",
        messages.NUMBER: "1700000000000000",
    }
    properties = Properties(expiration="1", delivery_mode=2, headers=forged)
    async with installed.link.channel(confirms=True) as channel:
        exchange = installed.names.exchange(Kind.REQUESTS)
        await channel.basic_publish(b"late", exchange=exchange, routing_key="control", properties=properties)
    found: list[Record] = []
    async with asyncio.timeout(PATIENCE):
        while not found:
            found = await records(installed.broker, Kind.DEAD)
    assert (found[0].topic.key, found[0].headers[stamps.CODE]) == ("requests", "EXPIRED")
    assert found[0].sequence < 1 << 40


async def test_commands_that_want_to_wait_hold_up_no_others(
    installed: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consume, "PARKED_LIMIT", 10)
    headers = {stamps.NOT_BEFORE: str(int((time.time() + 3000) * 1000))}
    for _ in range(20):
        await send(installed.link, installed.names.exchange(Kind.CONTROL), "", headers, b"later")
    async with installed.broker.subscribe(Kind.CONTROL, prefetch=2) as subscription:
        early = await take(subscription, 10, ack=True)
        await publish(installed.broker, 1, CONTROL, prefix="new")
        assert {delivery.body for delivery in early} == {b"later"}
        assert ids(await take(subscription, 1, ack=True)) == ["new0"]


async def test_requests_that_come_too_early_all_wait_and_come_however_many_there_are(rabbit_url: str) -> None:
    async with installation(rabbit_url, RabbitMQOptions(hold=10_000, connect_timeout=PATIENCE)) as made:
        async with made.broker.subscribe(Kind.REQUESTS, prefetch=10) as subscription:
            headers = {stamps.NOT_BEFORE: str(int((time.time() + 0.9) * 1000))}
            sent = [str(number).encode() for number in range(60)]
            exchange = made.names.exchange(Kind.REQUESTS)
            await asyncio.gather(*(send(made.link, exchange, "", headers, body) for body in sent))
            found = await take(subscription, len(sent), ack=True)
        assert sorted(delivery.body for delivery in found) == sorted(sent)


async def test_expired_message_is_a_dead_letter_that_says_so(installed: Installation) -> None:
    properties = Properties(expiration="50", delivery_mode=2)
    async with installed.link.channel(confirms=True) as channel:
        exchange = installed.names.exchange(Kind.REQUESTS)
        await channel.basic_publish(b"late", exchange=exchange, routing_key="high", properties=properties)
    found: list[Record] = []
    async with asyncio.timeout(PATIENCE):
        while not found:
            found = await records(installed.broker, Kind.DEAD)
    assert (found[0].topic.key, found[0].body) == ("requests.high", b"late")
    assert found[0].headers[stamps.CODE] == "EXPIRED"


async def test_overdue_delivery_is_stored_again_without_counting_and_keeps_its_place(rabbit_url: str) -> None:
    options = RabbitMQOptions(hold=0.5, connect_timeout=PATIENCE)
    async with installation(rabbit_url, options) as made:
        await publish(made.broker, 1)
        async with made.broker.subscribe(Kind.REQUESTS, prefetch=1) as subscription:
            held = await next_delivery(subscription)
            assert await nothing_comes(subscription, within=1.2)
            await held.ack()
            copy = await next_delivery(subscription)
            assert (copy.attempt, copy.body, copy.message_id != held.message_id) == (1, held.body, True)
            await copy.ack()
            await emptied(made.broker)


@pytest.mark.parametrize("topic", [REQUESTS, CONTROL])
async def test_delayed_message_is_not_handed_out_early(installed: Installation, topic: Topic) -> None:
    due, much_later = time.time() + 0.9, time.time() + 3000
    for at, body in ((due, b"later"), (much_later, b"much later")):
        headers = {stamps.NOT_BEFORE: str(int(at * 1000)), stamps.ATTEMPTS: "4"}
        await send(installed.link, installed.names.exchange(topic.kind), topic.key, headers, body)
    async with installed.broker.subscribe(topic.kind, prefetch=1) as subscription:
        await publish(installed.broker, 3, topic)
        found = {}
        for _ in range(4):
            delivery = await next_delivery(subscription)
            found[delivery.body] = (delivery.attempt, time.time())
            await delivery.ack()
    attempt, at = found.pop(b"later")
    assert (attempt, at >= due - 0.001) == (5, True)
    assert {attempt for attempt, _ in found.values()} == {1}
    assert len(found) == 3


@pytest.mark.stricter
async def test_delayed_commands_wait_without_using_up_the_prefetch(installed: Installation) -> None:
    await publish(installed.broker, 5, CONTROL, prefix="early")
    async with installed.broker.subscribe(Kind.CONTROL, prefetch=1) as subscription:
        asked_at = time.monotonic()
        for _ in range(5):
            await (await next_delivery(subscription)).retry(2)
        await publish(installed.broker, 1, CONTROL, prefix="new")
        assert ids(await take(subscription, 1, ack=True)) == ["new0"]
        assert time.monotonic() - asked_at < within(2)
        assert {delivery.attempt for delivery in await take(subscription, 5, ack=True)} == {2}
        assert time.monotonic() - asked_at >= 2


async def test_delays_keep_the_lane(installed: Installation) -> None:
    for topic in (HIGH, REQUESTS, LOW):
        await publish(installed.broker, 1, topic, prefix=str(topic))
    async with installed.broker.subscribe(Kind.REQUESTS, prefetch=3) as subscription:
        for delivery in await take(subscription, 3):
            await delivery.retry(1)
        again = await take(subscription, 3, ack=True)
    assert {(delivery.topic, ids([delivery])[0]) for delivery in again} == {
        (topic, f"{topic}0") for topic in (HIGH, REQUESTS, LOW)
    }


async def test_lone_busy_lane_gets_the_whole_prefetch_and_gives_it_back(installed: Installation) -> None:
    async with installed.broker.subscribe(Kind.REQUESTS, prefetch=40) as subscription:
        await publish(installed.broker, 60, LOW)
        held = await take(subscription, 40)
        await publish(installed.broker, 60, HIGH)
        for delivery in held:
            await delivery.ack()
        lanes = [delivery.topic for delivery in await take(subscription, 70, ack=True)]
    assert lanes.count(HIGH) > lanes.count(LOW)


async def test_queue_that_cannot_be_consumed_holds_up_no_other_and_is_told_once(
    installed: Installation, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "adapters.rabbitmq.consume")
    away = {installed.names.queue(HIGH), installed.names.queue(LOW)}
    tries: list[float] = []
    ready = Declarer.ready

    async def asked(self: Declarer, queue: str) -> int | None:
        if queue in away:
            tries.append(time.monotonic())
            raise BrokerUnavailable(f"queue {queue}: no answer in time")
        return await ready(self, queue)

    monkeypatch.setattr(Declarer, "ready", asked)
    for topic in (HIGH, REQUESTS):
        await publish(installed.broker, 1, topic, prefix=topic.key or "normal")
    async with installed.broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription:
        assert ids(await take(subscription, 1)) == ["normal0"]
        async with asyncio.timeout(PATIENCE):
            while len(tries) < 8:
                await asyncio.sleep(0.01)
        # Four tries of each lane come after pauses of 0.1, 0.2 and 0.4 s at least.
        assert tries[-1] - tries[0] >= 0.7
        away.clear()
        assert ids(await take(subscription, 1)) == ["high0"]
        async with asyncio.timeout(PATIENCE):
            while len(lines := [record.message for record in caplog.records]) < 2:
                await asyncio.sleep(0.01)
    assert ["cannot be consumed" in lines[0], "consumed again" in lines[1], len(lines)] == [True, True, 2]


async def test_dead_letters_keep_their_order_and_numbers_and_two_may_read_at_once(installed: Installation) -> None:
    await publish(installed.broker, 20)
    async with installed.broker.subscribe(Kind.REQUESTS, prefetch=20) as subscription:
        for delivery in await take(subscription, 20):
            await delivery.reject("X", "poison")
    async with rabbitmq.connect(installed.url, instance=installed.names.instance, options=RABBIT) as other:
        listings = [await records(installed.broker, Kind.DEAD)]
        listings += await asyncio.gather(*(records(reader, Kind.DEAD) for reader in (installed.broker, other) * 3))
    numbers = [[record.sequence for record in listing] for listing in listings]
    assert len(set(numbers[0])) == 20
    assert numbers[0] == sorted(numbers[0])
    assert all(listing == numbers[0] for listing in numbers)
    assert abs(listings[0][0].time.timestamp() - time.time()) < 60
    assert (await installed.broker.depth())[DEAD].ready == 20


async def test_reader_that_stops_early_leaves_all_dead_letters(installed: Installation) -> None:
    for number in range(3):
        await send(installed.link, installed.names.exchange(Kind.DEAD), "", {}, b"%d" % number)
    async with installed.broker.history(Kind.DEAD) as history:
        first = await anext(history)
    assert [record.body for record in await records(installed.broker, Kind.DEAD)] == [b"0", b"1", b"2"]
    assert first.sequence == (await records(installed.broker, Kind.DEAD))[0].sequence
    assert await records(installed.broker, Kind.DEAD, key="requests") == []


async def test_followed_dead_letters_continue_with_new_letters(installed: Installation) -> None:
    exchange = installed.names.exchange(Kind.DEAD)
    await send(installed.link, exchange, "requests", {}, b"before")
    async with (
        asyncio.timeout(PATIENCE),
        installed.broker.history(Kind.DEAD, follow=True) as history,
        installed.broker.history(Kind.DEAD, follow=True, new_only=True) as new,
        installed.broker.history(Kind.DEAD, new_only=True) as nothing,
    ):
        assert (await anext(history)).body == b"before"
        for number in range(3):
            await send(installed.link, exchange, "requests", {}, b"%d" % number)
            assert (await anext(history)).body == (await anext(new)).body == b"%d" % number
        assert [record async for record in nothing] == []
        assert (await installed.broker.depth())[DEAD].ready == 4


@pytest.mark.asyncio(loop_scope="session")
async def test_event_over_the_servers_limit_is_refused_and_others_are_not(rabbit: Site) -> None:
    options = RabbitMQOptions(max_message_bytes=64 << 20)
    async with rabbitmq.connect(rabbit.server.url, instance=rabbit.instance, options=options) as broker:
        await broker.declare()
        topic = Topic(Kind.LIFECYCLE, "s.1.created")
        large = [broker.publish(topic, make_event(data="x" * (2 * MAX_MESSAGE))) for _ in range(2)]
        small = [broker.publish(topic, make_event()) for _ in range(50)]
        outcomes = await asyncio.gather(*small[:25], *large, *small[25:], return_exceptions=True)
        refused = [outcome for outcome in outcomes if outcome is not None]
        assert len(refused) == 2
        for outcome in refused:
            assert isinstance(outcome, TopicRefused)
            assert outcome.too_large
        assert len(await records(broker, Kind.LIFECYCLE)) >= 50


async def test_key_that_is_too_long_is_refused_and_the_longest_is_accepted(installed: Installation) -> None:
    for key in ("x" * 256, "ü" * 128):
        with pytest.raises(TopicRefused, match="255"):
            await installed.broker.publish(Topic(Kind.REPLY, key), make_event())
    await installed.broker.publish(Topic(Kind.REPLY, "x" * 255), make_event())


def test_forged_number_of_a_dead_letter_is_replaced() -> None:
    message = Published(Properties(headers={messages.NUMBER: "9" * 400}))
    assert 0 < messages.number_of(message) < 1 << 40  # type: ignore[arg-type]


@pytest.mark.long
async def test_server_that_sends_nothing_but_deliveries_is_not_given_up(rabbit_url: str) -> None:
    """While it has something to send it sends no heartbeats."""
    options = replace(RABBIT, silence=2)
    async with installation(rabbit_url, options) as made:
        client = made.broker._consuming._client
        async with made.broker.subscribe(Kind.REQUESTS, prefetch=1) as subscription:
            until = time.monotonic() + 10
            await publish(made.broker, 1)
            while time.monotonic() < until:
                await (await next_delivery(subscription)).retry(0)
        assert made.broker._consuming._client is client
