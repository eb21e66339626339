"""Claims about RabbitMQ's consumer_timeout: it is noticed, and what it took back is not counted as an attempt."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio

from adapters.base import Kind, Subscription, Topic
from adapters.rabbitmq import broker as rabbitmq, consume
from adapters.rabbitmq.broker import RabbitMQBroker
from adapters.rabbitmq.hold import HOLD_AGAIN_SECONDS, Hold
from tests.adapters.brokers import RABBIT, Site, take_back
from tests.adapters.harness import CONTROL, REQUESTS, next_delivery, publish, take, until

TIMEOUT_MS = 3000
"""Half of it is left to a slow machine, which would otherwise have messages taken back twice."""
on_a_node = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def impatient(rabbit: Site, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    """A node that takes back what is unsettled for over three seconds, on channels opened from now on."""

    # RabbitMQ 3.12 and later do as the consumer says.
    monkeypatch.setattr(consume, "TIMEOUT_MS", TIMEOUT_MS)
    await take_back(rabbit.server, after=TIMEOUT_MS, looking_every=200)
    yield rabbit
    await take_back(rabbit.server, after=1_800_000, looking_every=60_000)


@pytest_asyncio.fixture(loop_scope="session")
async def members(impatient: Site) -> AsyncIterator[list[RabbitMQBroker]]:
    """Two processes of one installation."""
    async with AsyncExitStack() as stack:
        connections = (
            rabbitmq.connect(impatient.server.url, instance=impatient.instance, options=RABBIT) for _ in range(2)
        )
        made = [await stack.enter_async_context(connection) for connection in connections]
        await made[0].declare()
        yield made


@pytest.mark.broker
@on_a_node
@pytest.mark.parametrize("topic", [REQUESTS, CONTROL])
async def test_what_was_taken_back_while_it_waited_is_no_attempt_and_is_taken_back_only_once(
    members: list[RabbitMQBroker], topic: Topic, caplog: pytest.LogCaptureFixture
) -> None:
    broker, _ = members
    await publish(broker, 2, topic)
    async with broker.subscribe(topic.kind, prefetch=30) as subscription:
        for _ in range(5):
            # All that comes is left waiting, as while the API server is away.
            assert {delivery.attempt for delivery in await take(subscription, 2)} == {1}
        assert broker.mishaps.taken_away == 2
    (warning,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "took back 2 message(s): its consumer_timeout of 3 s is over" in warning.message
    assert "Set consumer_timeout" in warning.message


@pytest.mark.broker
@on_a_node
async def test_a_lost_connection_counts_beside_what_was_taken_back(
    members: list[RabbitMQBroker], impatient: Site
) -> None:
    broker, other = members
    await publish(broker, 1)
    async with broker.subscribe(Kind.REQUESTS, prefetch=30) as subscription:
        await next_delivery(subscription)
        await next_delivery(subscription)
        assert broker.mishaps.taken_away == 1
        await impatient.server.ctl("close_all_connections", "as if the process had died")
        assert (await next_delivery(subscription)).attempt == 2
    # Whoever was not there counts all: the message may have killed that process.
    async with other.subscribe(Kind.REQUESTS, prefetch=30) as subscription:
        assert (await next_delivery(subscription)).attempt > 2


@pytest.mark.broker
@on_a_node
async def test_message_that_wanders_from_process_to_process_is_taken_back_once_by_each(
    members: list[RabbitMQBroker],
) -> None:
    one, two = members
    await publish(one, 1)
    attempts: list[int] = []
    async with (
        one.subscribe(Kind.REQUESTS, prefetch=30) as first,
        two.subscribe(Kind.REQUESTS, prefetch=30) as second,
        asyncio.TaskGroup() as group,
    ):

        async def wait_with_all(subscription: Subscription) -> None:
            while True:
                attempts.append((await next_delivery(subscription)).attempt)

        tasks = [group.create_task(wait_with_all(subscription)) for subscription in (first, second)]

        async def wandered() -> bool:
            return len(attempts) >= 8

        await until(wandered)
        for task in tasks:
            task.cancel()
    assert max(attempts) <= 3
    assert one.mishaps.taken_away <= 1
    assert two.mishaps.taken_away <= 1


def test_what_was_delivered_before_is_held_for_less_than_any_timeout_that_rabbitmq_supports() -> None:
    hold = Hold(300.0)
    assert (hold.of(1), hold.of(2)) == (300.0, HOLD_AGAIN_SECONDS)
    assert HOLD_AGAIN_SECONDS < 60
    hold.took_back(["q/1"], timeout=40.0, oldest=50.0)
    assert (hold.of(1), hold.of(2)) == (20.0, 20.0)
    hold.took_back(["q/1", "q/2"], timeout=None, oldest=12.0)
    assert hold.of(1) == 6.0
    assert [hold.forgiven(name) for name in ("q/1", "q/2", "q/3")] == [2, 1, 0]
    hold.settled("q/1")
    assert hold.forgiven("q/1") == 0
    hold.took_back([f"n/{number}" for number in range(20_000)], timeout=60.0, oldest=60.0)
    assert (hold.forgiven("q/2"), hold.taken_away) == (0, 20_003)
