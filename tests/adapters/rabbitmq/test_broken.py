"""Claims about RabbitMQ when things break: the node dies, hangs, loses data, fills up. Nothing of ours is restarted."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial

import pytest

from adapters.base import BrokerUnavailable, Kind, Topic, TopologyDrift
from adapters.rabbitmq import broker as rabbitmq
from adapters.rabbitmq.broker import RabbitMQBroker
from adapters.rabbitmq.client import Channel
from adapters.rabbitmq.connection import connection
from adapters.rabbitmq.options import RabbitMQOptions
from adapters.servers.rabbitmq import RabbitServer
from tests.adapters.brokers import Site
from tests.adapters.harness import (
    CONTROL,
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

pytestmark = [pytest.mark.broker, pytest.mark.asyncio(loop_scope="session")]
OPTIONS = RabbitMQOptions(connect_timeout=PATIENCE, publish_timeout=3)
LOG = "lifecycle.log"


@asynccontextmanager
async def connected(site: Site) -> AsyncIterator[RabbitMQBroker]:
    async with rabbitmq.connect(site.server.url, instance=site.instance, options=OPTIONS) as broker:
        await broker.declare()
        yield broker


async def restart(server: RabbitServer) -> None:
    # A node that dies within half a second of creating its first stream forgets the stream.
    await asyncio.sleep(1)
    await server.kill()
    await server.start()


async def restart_application(server: RabbitServer) -> None:
    await server.ctl("stop_app")
    await server.ctl("start_app")


async def close_connections(server: RabbitServer) -> None:
    await server.ctl("close_all_connections", "bye")


@pytest.mark.parametrize(
    "breaking", [restart, pytest.param(restart_application, marks=pytest.mark.long), close_connections]
)
async def test_broken_under_load_loses_nothing_and_everything_resumes(
    rabbit: Site, breaking: Callable[[RabbitServer], Awaitable[None]]
) -> None:
    async with connected(rabbit) as broker:
        await broken_under_load(broker, partial(breaking, rabbit.server), count=900)


@pytest.mark.stricter
async def test_publish_fails_at_once_while_the_node_is_away_and_works_when_it_is_back(rabbit: Site) -> None:
    async with connected(rabbit) as broker:
        await rabbit.server.stop()

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
        await rabbit.server.start()
        async with asyncio.timeout(PATIENCE):
            await publish_surely(broker, REQUESTS, "back")
        async with broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription:
            assert ids(await take(subscription, 1)) == ["back"]


@pytest.mark.stricter
async def test_waiting_subscription_gets_its_next_message_soon_after_a_restart(rabbit: Site) -> None:
    async with connected(rabbit) as broker, broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription:
        await publish(broker, 1, prefix="before")
        await (await next_delivery(subscription)).ack()
        held = None
        for breaking in (restart, restart_application, close_connections):
            await publish_surely(broker, HIGH, "held")
            held = await next_delivery(subscription)
            await breaking(rabbit.server)
            began = time.monotonic()
            await publish_surely(broker, HIGH, "after")
            again = await take(subscription, 2)
            assert set(ids(again)) == {"held", "after"}
            assert time.monotonic() - began < within(5)
            # The channel of this delivery is gone: its ack only frees its place.
            await held.ack()
            # The node may hand it to a connection that it closes next: then it has counted once more.
            attempts = {str(delivery.event().get_id()): delivery.attempt for delivery in again}
            assert attempts["held"] > attempts["after"]
            for delivery in again:
                await delivery.ack()


async def is_given_up(broker: RabbitMQBroker, seconds: float) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while broker.connected:
                await asyncio.sleep(0.05)
    return not broker.connected


@pytest.mark.stricter
async def test_hanging_node_is_unavailable_and_works_when_it_continues(rabbit: Site) -> None:
    impatient = RabbitMQOptions(publish_timeout=0.5, silence=2)
    async with (
        connected(rabbit) as broker,
        rabbitmq.connect(rabbit.server.url, instance=rabbit.instance, options=impatient) as publisher,
    ):
        assert rabbit.server.pid is not None
        os.killpg(rabbit.server.pid, signal.SIGSTOP)
        try:
            with pytest.raises(BrokerUnavailable):
                # Its many threads stop one after the other.
                while True:
                    await publisher.publish(REQUESTS, make_event(id="lost?"))
            with pytest.raises(BrokerUnavailable):
                await publisher.publish(REQUESTS, make_event(id="lost?"))
            assert await is_given_up(publisher, within(4))
        finally:
            os.killpg(rabbit.server.pid, signal.SIGCONT)
        async with asyncio.timeout(PATIENCE):
            await publish_surely(publisher, REQUESTS, "lost?")
        async with broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription:
            assert set(ids([await next_delivery(subscription)])) == {"lost?"}


@pytest.mark.stricter
async def test_memory_alarm_is_reported_at_once_and_passes_by_itself(rabbit: Site) -> None:
    async with connected(rabbit) as broker, broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription:
        await publish(broker, 2, prefix="before")
        await rabbit.server.ctl("set_vm_memory_high_watermark", "absolute", "1")
        with pytest.raises(BrokerUnavailable, match="alarm"):
            async with asyncio.timeout(PATIENCE):
                while True:
                    await broker.publish(REQUESTS, make_event(id="into the alarm"))
        began = time.monotonic()
        for _ in range(100):
            with pytest.raises(BrokerUnavailable, match="alarm"):
                await broker.publish(Topic(Kind.LIFECYCLE, "s.1.created"), make_event())
        assert time.monotonic() - began < within(1)
        for looking in (broker.check, broker.declare):
            with pytest.raises(BrokerUnavailable, match="alarm"):
                await looking()
        # Consuming continues.
        assert broker.connected
        held, other = await take(subscription, 2)
        await held.ack()
        with pytest.raises(BrokerUnavailable, match="alarm"):
            await other.reject("X", "no room")
        await rabbit.server.ctl("set_vm_memory_high_watermark", "0.4")
        async with asyncio.timeout(PATIENCE):
            await publish_surely(broker, REQUESTS, "after")
            await other.reject("X", "room again")
            while "after" not in ids([delivery := await next_delivery(subscription)]):
                await delivery.ack()
            await delivery.ack()
        await emptied(broker)
        await broker.check()
        assert len(await records(broker, Kind.DEAD)) == 1


@pytest.mark.stricter
async def test_connection_that_an_alarm_blocks_can_be_closed(rabbit: Site) -> None:
    async with connected(rabbit) as broker:
        await rabbit.server.ctl("set_vm_memory_high_watermark", "absolute", "1")
        with pytest.raises(BrokerUnavailable, match="alarm"):
            async with asyncio.timeout(PATIENCE):
                while True:
                    await broker.publish(REQUESTS, make_event())
        began = time.monotonic()
    assert time.monotonic() - began < within(10)
    await rabbit.server.ctl("set_vm_memory_high_watermark", "0.4")


async def test_channel_that_the_server_closes_comes_back_with_its_deliveries(rabbit: Site) -> None:
    # Of a smaller prefetch, a lane that was idle gets less than three until something is settled.
    async with connected(rabbit) as broker, broker.subscribe(Kind.REQUESTS, prefetch=30) as subscription:
        await publish(broker, 3)
        held = await take(subscription, 3)
        inlet = subscription._inlet
        assert inlet is not None
        inlet.ack(4711)
        again = await take(subscription, 2)
        assert {delivery.attempt for delivery in again} == {2}
        for delivery in (*held, *again):
            await delivery.ack()
        await (await next_delivery(subscription)).ack()
        await emptied(broker)


@pytest.mark.parametrize("arguments", [None, {"x-queue-type": "classic"}])
async def test_subscription_resumes_when_its_queue_is_declared_again_whatever_its_type(
    rabbit: Site, arguments: dict[str, object] | None
) -> None:
    async with (
        connected(rabbit) as broker,
        connection(rabbit.server.url, OPTIONS, purpose="test") as link,
        broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription,
    ):
        await publish(broker, 2, prefix="before")
        held, _ = await take(subscription, 2)
        async with link.channel() as channel:
            await channel.queue_delete(rabbit.name("requests"))
        with pytest.raises(BrokerUnavailable, match=r"missing.*\.requests"):
            await broker.check()
        with pytest.raises(BrokerUnavailable):
            await broker.publish(REQUESTS, make_event())
        async with link.channel() as channel:
            if arguments:
                await channel.queue_declare(rabbit.name("requests"), durable=True, arguments=arguments)  # type: ignore[arg-type]
                await channel.queue_bind(rabbit.name("requests"), rabbit.name("requests.other"))
        if arguments:
            with pytest.raises(TopologyDrift, match=r"queue \S+\.requests: .*x-"):
                await broker.check()
            with pytest.raises(TopologyDrift, match=r"queue \S+\.requests: "):
                await broker.declare()
        else:
            await broker.declare()
        await publish(broker, 1, prefix="after")
        delivery = await next_delivery(subscription)
        assert ids([delivery]) == ["after0"]
        await held.ack()
        await delivery.retry(0)
        assert (await next_delivery(subscription)).attempt == 2


async def test_queue_that_is_deleted_right_after_the_answer_is_consumed_again(
    rabbit: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    lane, cancelled = rabbit.name("requests"), asyncio.Event()
    original = Channel.basic_consume

    async with connected(rabbit) as broker, connection(rabbit.server.url, OPTIONS, purpose="test") as link:

        async def consumed(self: Channel, queue: str, *arguments: object, **options: object) -> object:
            answer = await original(self, queue, *arguments, **options)  # type: ignore[arg-type]
            if queue == lane and not cancelled.is_set():
                self.on_consumer_cancel_callbacks.add(lambda _: cancelled.set())
                async with link.channel() as channel:
                    await channel.queue_delete(lane)
                await cancelled.wait()
            return answer

        monkeypatch.setattr(Channel, "basic_consume", consumed)
        async with broker.subscribe(Kind.REQUESTS, prefetch=1) as subscription:
            await cancelled.wait()
            await broker.declare()
            await publish(broker, 1)
            await (await next_delivery(subscription)).ack()


async def test_redelivery_counts_on_a_queue_that_does_not_count_deliveries(rabbit: Site) -> None:
    async with connected(rabbit) as broker, connection(rabbit.server.url, OPTIONS, purpose="test") as link:
        async with link.channel() as channel:
            await channel.queue_delete(rabbit.name("control"))
            await channel.queue_declare(rabbit.name("control"), durable=True)
            await channel.queue_bind(rabbit.name("control"), rabbit.name("control"))
        await publish(broker, 1, CONTROL)
        for attempt in (1, 2):
            async with broker.subscribe(Kind.CONTROL, prefetch=1) as subscription:
                assert (await next_delivery(subscription)).attempt == attempt


@pytest.mark.parametrize("topic", [Topic(Kind.LIFECYCLE, "s.1.created"), Topic(Kind.REPLY, "answers.here")])
async def test_missing_log_is_unavailable_not_refused(rabbit: Site, topic: Topic) -> None:
    async with connected(rabbit) as broker, connection(rabbit.server.url, OPTIONS, purpose="test") as link:
        async with link.channel() as channel:
            await channel.queue_delete(rabbit.name(LOG))
        outcomes = await asyncio.gather(
            *(broker.publish(topic, make_event(id="same")) for _ in range(20)), return_exceptions=True
        )
        assert {type(outcome) for outcome in outcomes} <= {BrokerUnavailable, *BrokerUnavailable.__subclasses__()}
        with pytest.raises(BrokerUnavailable):
            await records(broker, Kind.LIFECYCLE)
        async with link.channel() as channel:
            await channel.exchange_delete(rabbit.name("lifecycle"))
        with pytest.raises(BrokerUnavailable):
            await broker.publish(topic, make_event())
        await broker.declare()
        await broker.publish(topic, make_event())
        assert [record.topic.key for record in await records(broker, Kind.LIFECYCLE)] == [topic.key]


async def test_missing_topology_is_unavailable_until_it_is_declared(rabbit: Site) -> None:
    async with rabbitmq.connect(rabbit.server.url, instance=rabbit.instance, options=OPTIONS) as broker:
        for topic in (REQUESTS, CONTROL, Topic(Kind.LIFECYCLE, "a.b.created")):
            with pytest.raises(BrokerUnavailable):
                await broker.publish(topic, make_event())
        for kind in (Kind.LIFECYCLE, Kind.DEAD):
            with pytest.raises(BrokerUnavailable):
                await records(broker, kind)
        async with broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription:
            await broker.declare()
            await publish(broker, 1)
            assert ids(await take(subscription, 1)) == ["m0"]


async def test_followed_history_has_no_gap_and_no_repeat_over_restarts(rabbit: Site) -> None:
    async with connected(rabbit) as broker:
        breakings = [partial(breaking, rabbit.server) for breaking in (restart, restart_application)]
        await followed_while_broken(broker, *breakings)


async def test_followed_history_of_a_log_declared_again_starts_at_its_beginning(rabbit: Site) -> None:
    async with connected(rabbit) as broker, connection(rabbit.server.url, OPTIONS, purpose="test") as link:

        async def delete() -> None:
            async with link.channel() as channel:
                await channel.queue_delete(rabbit.name(LOG))

        await followed_while_made_anew(broker, delete)


SHORT = 15.0
"""Seconds. By then even a slow rabbitmqctl has reported that the original is acknowledged."""


async def test_short_delay_is_kept_behind_a_long_delay_and_over_a_restart(rabbit: Site) -> None:
    async with connected(rabbit) as broker, broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription:
        await publish(broker, 1, prefix="long")
        await (await next_delivery(subscription)).retry(300)
        await publish(broker, 1, HIGH, prefix="short")
        delivery = await next_delivery(subscription)
        asked_at = time.monotonic()
        await delivery.retry(SHORT)

        async def acked() -> bool:
            return rabbit.name("requests.high\t0") in await rabbit.server.ctl("list_queues", "name", "messages")

        # Otherwise the original would be delivered again as well.
        await until(acked)
        await restart(rabbit.server)
        async with asyncio.timeout(PATIENCE):
            again = await anext(aiter(subscription))
        assert time.monotonic() - asked_at >= SHORT
        # It may have been on its way to us when the node died.
        assert (ids([again]), again.topic, again.attempt >= 2) == (["short0"], HIGH, True)


async def test_nothing_is_published_after_the_block(rabbit: Site) -> None:
    async with connected(rabbit) as broker:
        assert broker.connected
    assert not broker.connected
    with pytest.raises(BrokerUnavailable):
        await broker.publish(REQUESTS, make_event())


async def test_connection_survives_subscriptions_that_end_amid_deliveries(rabbit: Site) -> None:
    async with connected(rabbit) as broker:
        client = broker._consuming._client
        await publish(broker, 300)
        for _ in range(10):
            async with broker.subscribe(Kind.REQUESTS, prefetch=40) as subscription:
                await take(subscription, 15, ack=True)
                for delivery in await take(subscription, 10):
                    if delivery.attempt % 2:
                        await delivery.ack()
        assert broker._consuming._client is client
        assert broker.connected


async def test_task_that_is_cancelled_while_it_calls_the_broker_ends(rabbit: Site) -> None:
    async def calls(broker: RabbitMQBroker) -> None:
        while True:
            with suppress(BrokerUnavailable):
                await broker.depth()
            await asyncio.sleep(0)

    async with connected(rabbit) as broker:
        for number in range(40):
            task = asyncio.create_task(calls(broker))
            await asyncio.sleep(number * 0.0015)
            task.cancel()
            # To await a task that goes on would take for ever.
            _, pending = await asyncio.wait({task}, timeout=PATIENCE)
            assert not pending
            assert task.cancelled()
