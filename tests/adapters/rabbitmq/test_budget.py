"""Claims about the bytes that a subscription on RabbitMQ holds, whatever comes."""

import pytest
from hypothesis import given, strategies as st

from adapters.base import Kind
from adapters.rabbitmq.budget import ASIDE_SECONDS, WINDOW_SECONDS, Aside, Budget
from adapters.rabbitmq.options import RabbitMQOptions
from tests.adapters.brokers import MAX_MESSAGE, installation, send
from tests.adapters.harness import HIGH, REQUESTS, emptied, publish, soon, take
from tests.patience import PATIENCE

MIB = 1 << 20
steps = st.lists(st.tuples(st.sampled_from(["high", "", "low"]), st.integers(0, 300), st.booleans()), max_size=60)


def aside(size: int, *, lane: str = "", since: float = 0.0) -> Aside:
    return Aside(inlet=None, lane=lane, consumer="c", tag=1, size=size, since=since)  # type: ignore[arg-type]


@given(steps)
def test_no_more_is_held_than_the_budget_and_one_message_of_each_lane(
    steps: list[tuple[str, int, bool]],
) -> None:
    budget = Budget(100)
    held: list[tuple[str, int]] = []
    for now, (lane, size, settles) in enumerate(steps):
        if settles and held:
            budget.settled(*held.pop())
        elif budget.admits(lane, size, now=float(now)):
            held.append((lane, size))
        else:
            budget.put_aside(aside(size, lane=lane, since=float(now)))
        assert sum(min(size, 50) for _, size in held) <= 100 + 2 * 50
    while held:
        budget.settled(*held.pop())
    returned = list(budget.returning(float(len(steps))))
    assert returned or not budget.waits


def test_what_was_put_aside_returns_in_its_order_as_far_as_there_is_room() -> None:
    budget = Budget(100)
    assert budget.admits("", 50, now=0)
    assert budget.admits("", 40, now=0)
    assert not budget.admits("", 20, now=0)
    for size in (20, 30, 45):
        budget.put_aside(aside(size))
    assert list(budget.returning(1)) == []
    budget.settled("", 50)
    assert [message.size for message in budget.returning(1)] == [20, 30]
    assert [message.size for message in budget.returning(ASIDE_SECONDS + 1)] == [45]
    assert not budget.waits


def test_the_number_of_messages_follows_the_sizes_that_were_seen() -> None:
    budget = Budget(64 * MIB)
    assert budget.messages >= 4096
    budget.admits("", 1000, now=0)
    assert budget.messages >= 4096
    budget.admits("", 5 * MIB, now=1)
    assert budget.messages == 8
    budget.admits("", 1000, now=WINDOW_SECONDS + 1.1)
    assert budget.messages == 8, "it counts for another window"
    budget.admits("", 1000, now=2 * WINDOW_SECONDS + 2)
    assert budget.messages >= 4096


@pytest.mark.broker
async def test_large_messages_come_as_far_as_they_fit_and_others_pass(rabbit_url: str) -> None:
    options = RabbitMQOptions(
        connect_timeout=PATIENCE, publish_timeout=PATIENCE, max_message_bytes=MAX_MESSAGE, max_bytes=2 * MIB
    )
    large = b"x" * (MAX_MESSAGE - 1000)
    async with installation(rabbit_url, options) as made:
        for _ in range(8):
            await send(made.link, made.names.exchange(Kind.REQUESTS), "", {}, large)
        async with made.broker.subscribe(Kind.REQUESTS, prefetch=16) as subscription:
            held = await take(subscription, 2)
            assert await soon(subscription) is None, "two fill the budget"
            await publish(made.broker, 1, HIGH)
            (quick,) = await take(subscription, 1)
            assert quick.topic == HIGH
            await quick.ack()
            bodies = [delivery.body for delivery in held]
            for delivery in held:
                await delivery.ack()
            for _ in range(6):
                (delivery,) = await take(subscription, 1)
                assert (delivery.attempt, delivery.topic) == (1, REQUESTS)
                bodies.append(delivery.body)
                await delivery.ack()
            assert bodies == [large] * 8
            await emptied(made.broker)
