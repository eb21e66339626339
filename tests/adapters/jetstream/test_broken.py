"""Claims about NATS JetStream when things break: the server dies, hangs, loses data. Nothing of ours is restarted."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from adapters.base import BrokerUnavailable, Delivery, Kind, Topic, TopicRefused
from adapters.jetstream import broker as jetstream, pull
from adapters.jetstream.broker import JetStreamBroker
from adapters.jetstream.client import SafeClient
from adapters.jetstream.connection import connection
from adapters.jetstream.options import RULES, JetStreamOptions
from adapters.servers.nats import NatsServer
from adapters.urls import parse
from tests.adapters.harness import (
    HIGH,
    REQUESTS,
    emptied,
    ids,
    make_event,
    next_delivery,
    publish,
    records,
    take,
    until,
)
from tests.adapters.loads import broken_under_load, followed_while_broken, followed_while_made_anew, publish_surely
from tests.patience import PATIENCE, within

pytestmark = pytest.mark.broker
OPTIONS = JetStreamOptions(ack_wait=2.0, requests_max_bytes=64 << 20, connect_timeout=PATIENCE, publish_timeout=3)


@asynccontextmanager
async def connected(server: NatsServer, options: JetStreamOptions = OPTIONS) -> AsyncIterator[JetStreamBroker]:
    async with jetstream.connect(server.url, options=options) as broker:
        await broker.declare()
        yield broker


async def test_server_killed_under_load_loses_nothing_and_everything_resumes(server: NatsServer) -> None:
    async def restart() -> None:
        await server.kill()
        await server.start()

    async with connected(server) as broker:
        await broken_under_load(broker, restart, count=1500)


@pytest.mark.stricter
async def test_publish_fails_at_once_while_the_server_is_away_and_works_when_it_is_back(server: NatsServer) -> None:
    async with connected(server) as broker:
        await server.stop()

        async def noticed() -> bool:
            return not broker.connected

        await until(noticed)
        began = time.monotonic()
        for _ in range(100):
            with pytest.raises(BrokerUnavailable):
                await broker.publish(REQUESTS, make_event())
        assert time.monotonic() - began < within(1)
        with pytest.raises(BrokerUnavailable):
            await broker.check()
        await asyncio.sleep(2)
        await server.start()
        async with asyncio.timeout(PATIENCE):
            await publish_surely(broker, REQUESTS, "back")
        async with broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription:
            assert ids(await take(subscription, 1)) == ["back"]


@pytest.mark.stricter
async def test_waiting_subscription_gets_its_next_message_soon_after_a_restart(server: NatsServer) -> None:
    async with connected(server) as broker, broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription:
        await publish(broker, 1, prefix="before")
        await (await next_delivery(subscription)).ack()
        await server.kill()
        await server.start()
        began = time.monotonic()
        await publish_surely(broker, HIGH, "after")
        # A server that is killed may forget the last acks.
        while ids(await take(subscription, 1)) != ["after"]:
            pass
        assert time.monotonic() - began < within(3)


async def test_deliveries_acknowledged_while_the_server_was_away_are_settled_when_it_is_back(
    server: NatsServer,
) -> None:
    async with connected(server) as broker, broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription:
        await publish(broker, 3)
        held = await take(subscription, 3)
        await server.stop()
        for delivery in held:
            await delivery.ack()
        await server.start()
        async with asyncio.timeout(PATIENCE):
            await publish_surely(broker, REQUESTS, "next")
            # Had the acks been lost, the three would come first, or within the ack_wait.
            delivery = await next_delivery(subscription)
            assert ids([delivery]) == ["next"]
            await delivery.ack()
        await emptied(broker)


async def test_hanging_server_is_unavailable_and_works_when_it_continues(server: NatsServer) -> None:
    impatient = JetStreamOptions(publish_timeout=0.5)
    async with connected(server) as broker, jetstream.connect(server.url, options=impatient) as publisher:
        assert server.pid is not None
        os.kill(server.pid, signal.SIGSTOP)
        try:
            # The server's threads stop one by one: the first publishes may succeed.
            with pytest.raises(BrokerUnavailable):
                for _ in range(1000):
                    await publisher.publish(REQUESTS, make_event(id="lost?"))
        finally:
            os.kill(server.pid, signal.SIGCONT)
        await publish_surely(publisher, REQUESTS, "lost?")
        async with broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription:
            await (await next_delivery(subscription)).ack()
            await emptied(broker)


@pytest.mark.parametrize(
    "gone", ["STREAM.DELETE.JOBRELAY_REQUESTS", "CONSUMER.DELETE.JOBRELAY_REQUESTS.jobrelay-normal"]
)
async def test_subscription_resumes_when_what_was_deleted_is_declared_again(server: NatsServer, gone: str) -> None:
    async with (
        connected(server) as broker,
        connection(server.url, OPTIONS) as link,
        broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription,
    ):
        await publish(broker, 1, prefix="before")
        await (await next_delivery(subscription)).ack()
        await emptied(broker)
        await link.api(gone)
        with pytest.raises(BrokerUnavailable, match="missing"):
            await broker.check()
        await asyncio.sleep(0.5)
        await broker.declare()
        await publish(broker, 1, prefix="after")
        assert ids(await take(subscription, 1)) == ["after0"]


async def test_requests_that_went_to_nobody_are_soon_made_again(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pull, "SILENT_SECONDS", 4 * PATIENCE)
    asked = asyncio.Event()
    async with (
        connected(server) as broker,
        connection(server.url, OPTIONS) as link,
        broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription,
    ):
        await publish(broker, 1, prefix="before")
        await (await next_delivery(subscription)).ack()
        await emptied(broker)
        # As a node that led the consumer: it has subscribed, as far as others know, and does not answer.
        await link.interest("$JS.API.CONSUMER.MSG.NEXT.JOBRELAY_REQUESTS", lambda message: asked.set())
        await link.flush()
        asked.clear()
        await link.api("CONSUMER.DELETE.JOBRELAY_REQUESTS.jobrelay-normal")
        await asyncio.wait_for(asked.wait(), PATIENCE)
        await broker.declare()
        await publish(broker, 1, prefix="after")
        assert ids(await take(subscription, 1)) == ["after0"]


async def test_missing_streams_are_unavailable_not_refused(server: NatsServer) -> None:
    async with jetstream.connect(server.url, options=OPTIONS) as broker:
        for topic in (REQUESTS, Topic(Kind.CONTROL), Topic(Kind.LIFECYCLE, "a.b.created")):
            with pytest.raises(BrokerUnavailable):
                await broker.publish(topic, make_event())
        with pytest.raises(BrokerUnavailable):
            await records(broker, Kind.LIFECYCLE)
        async with broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription:
            await broker.declare()
            await publish(broker, 1)
            assert ids(await take(subscription, 1)) == ["m0"]


async def test_followed_history_has_no_gap_and_no_repeat_over_a_restart(server: NatsServer) -> None:
    async def restart() -> None:
        await server.kill()
        await server.start()

    async with connected(server) as broker:
        await followed_while_broken(broker, restart, restart)


async def test_followed_history_of_a_stream_created_again_starts_at_its_beginning(server: NatsServer) -> None:
    async with connected(server) as broker, connection(server.url, OPTIONS) as link:

        async def delete() -> None:
            await link.api("STREAM.DELETE.JOBRELAY_LIFECYCLE")

        await followed_while_made_anew(broker, delete)


@pytest.mark.parametrize(
    "header", [b"XX", b"NATS/1.0", b"NATS/1.0 \xff\xff\r\n\r\n", b"NATS/1.0 503\r\n\r\n", b"\x00" * 40]
)
async def test_malformed_header_block_stops_nothing(server: NatsServer, header: bytes) -> None:
    async with connected(server) as broker, broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        await reader.readline()
        writer.write(b'CONNECT {"headers":true,"verbose":false}\r\n')
        writer.write(b"HPUB jobrelay.requests %d %d\r\n%sbody\r\nPING\r\n" % (len(header), len(header) + 4, header))
        await reader.readline()
        writer.close()
        await writer.wait_closed()
        delivery = await next_delivery(subscription)
        assert delivery.body == b"body"
        await delivery.retry(0)
        await (await next_delivery(subscription)).reject("INVALID_EVENT", "no event")
        await publish(broker, 1)
        assert ids(await take(subscription, 1, ack=True)) == ["m0"]


async def test_cancelled_and_late_flushes_do_not_deafen_the_connection(server: NatsServer) -> None:
    async with connected(server) as broker, connection(server.url, OPTIONS) as link:
        for patience in (0, 0.0001, 0.0002):
            flushing = asyncio.create_task(link.flush())
            await asyncio.sleep(patience)
            flushing.cancel()
            await asyncio.gather(flushing, return_exceptions=True)
        async with asyncio.timeout(PATIENCE):
            assert await link.api("STREAM.NAMES")
        assert broker.connected


async def test_client_that_closed_for_good_is_replaced(server: NatsServer) -> None:
    async with connection(server.url, OPTIONS) as link, connected(server) as broker:
        async with broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription:
            await publish(broker, 1, prefix="before")
            await (await next_delivery(subscription)).ack()
            # The client does this itself on most errors that the server reports.
            await broker._link._client.close()
            async with asyncio.timeout(PATIENCE):
                await publish_surely(broker, REQUESTS, "after")
                assert ids(await take(subscription, 1)) == ["after"]
        assert link.connected


async def test_event_that_fits_only_without_its_headers_is_refused_and_the_connection_stays(server: NatsServer) -> None:
    async with connected(server) as broker:
        client = broker._link._client
        topic = Topic(Kind.LIFECYCLE, "s.1.created")
        for size in range((1 << 20) - 400, (1 << 20) + 50, 50):
            with suppress(TopicRefused):
                await broker.publish(topic, make_event(data="x" * size))
        assert broker.connected
        assert client is broker._link._client
        assert await records(broker, Kind.LIFECYCLE)


async def test_full_store_is_unavailable_and_a_failed_retry_keeps_the_delivery(server: NatsServer) -> None:
    async with connected(server, JetStreamOptions(requests_max_bytes=100_000, ack_wait=1)) as broker:
        with pytest.raises(BrokerUnavailable):
            for _ in range(100):
                await broker.publish(REQUESTS, make_event(data="x" * 5000))
        async with broker.subscribe(Kind.REQUESTS, prefetch=2) as subscription:
            first, second = await take(subscription, 2)
            with pytest.raises(BrokerUnavailable):
                await first.retry(0.1)
            with pytest.raises(BrokerUnavailable):
                await first.defer(0.1)
            # The ack makes room a moment later, and the first delivery is still ours.
            await second.ack()
            async with asyncio.timeout(PATIENCE):
                while not await stored(first):
                    await asyncio.sleep(0.01)


async def stored(delivery: Delivery) -> bool:
    try:
        await delivery.retry(0)
    except BrokerUnavailable:
        return False
    return True


@pytest.mark.stricter
async def test_message_on_an_idle_lane_arrives_at_once(server: NatsServer) -> None:
    waits = []
    async with connected(server) as broker, broker.subscribe(Kind.REQUESTS, prefetch=20) as subscription:
        for number in range(60):
            began = time.monotonic()
            await broker.publish((HIGH, REQUESTS, Topic(Kind.REQUESTS, "low"))[number % 3], make_event())
            await (await next_delivery(subscription)).ack()
            waits.append(time.monotonic() - began)
    assert sorted(waits)[len(waits) // 2] < within(0.05)


async def test_unreachable_server_is_reported_in_time_without_the_password(tmp_path: Path) -> None:
    with pytest.raises(BrokerUnavailable) as error:
        async with jetstream.connect(
            "nats://user:secret@127.0.0.1:1,127.0.0.1:2", options=JetStreamOptions(connect_timeout=1)
        ):
            pass
    assert "127.0.0.1:1" in str(error.value)
    assert "secret" not in str(error.value)


async def test_nothing_is_published_after_the_block(server: NatsServer) -> None:
    async with connected(server) as broker:
        assert broker.connected
    assert not broker.connected
    with pytest.raises(BrokerUnavailable):
        await broker.publish(REQUESTS, make_event())


async def test_an_abandoned_connection_does_not_reconnect_though_its_cancellation_was_lost(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    trying, lost = asyncio.Event(), asyncio.Event()

    async def losing(*_: object) -> None:
        # `wait_for` loses a cancellation if the attempt fails in the same moment.
        try:
            trying.set()
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            if lost.is_set():
                raise
            lost.set()
        raise ConnectionRefusedError

    client = SafeClient()
    await client.begin(parse(server.url, RULES), OPTIONS, {})
    monkeypatch.setattr(SafeClient, "_connect_to_server", losing)
    await server.kill()

    await asyncio.wait_for(trying.wait(), PATIENCE)
    await client.abandon()
    assert lost.is_set()
    assert client._reconnection_task is not None
    assert client._reconnection_task.done()
