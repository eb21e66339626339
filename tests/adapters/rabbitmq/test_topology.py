"""Claims about exchanges and queues: which there are, that missing ones are created and none is ever changed."""

import asyncio
from typing import Any

import pytest

from adapters.base import BrokerUnavailable, Kind, TopologyDrift
from adapters.rabbitmq import broker as rabbitmq
from adapters.rabbitmq.connection import connection
from adapters.rabbitmq.topology import DELAYS, QueueNames, delay_for, exchanges, queues
from tests.adapters.brokers import RABBIT, Site
from tests.adapters.harness import REQUESTS, make_event, next_delivery, publish

on_a_node = pytest.mark.asyncio(loop_scope="session")
WORK = {
    "x-queue-type": "quorum",
    "x-delivery-limit": 1_000_000,
    "x-dead-letter-exchange": "jobrelay.dead",
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",
}
QUORUM = {"x-queue-type": "quorum", "x-delivery-limit": 1_000_000}


def test_exchanges_are_those_of_the_stored_format() -> None:
    found = {exchange.name: (exchange.kind, dict(exchange.arguments)) for exchange in exchanges(QueueNames("jobrelay"))}
    assert found == {
        "jobrelay.requests": ("topic", {"alternate-exchange": "jobrelay.requests.other"}),
        "jobrelay.requests.other": ("fanout", {}),
        "jobrelay.control": ("direct", {}),
        "jobrelay.lifecycle": ("topic", {}),
        "jobrelay.dead": ("fanout", {}),
        **{f"jobrelay.delay.{seconds}": ("fanout", {}) for seconds in (1, 5, 30, 300, 3600)},
    }


def test_queues_are_those_of_the_stored_format() -> None:
    found = {
        queue.name: (queue.exchange, queue.keys, dict(queue.arguments)) for queue in queues(QueueNames("jobrelay"))
    }
    delayed = {name: value for name, value in WORK.items() if name != "x-dead-letter-exchange"}
    assert found == {
        "jobrelay.requests": ("jobrelay.requests.other", ("",), WORK),
        "jobrelay.requests.high": ("jobrelay.requests", ("high",), WORK),
        "jobrelay.requests.low": ("jobrelay.requests", ("low",), WORK),
        "jobrelay.control": ("jobrelay.control", ("", "jobrelay.control"), WORK),
        "jobrelay.lifecycle.log": ("jobrelay.lifecycle", ("#",), {"x-queue-type": "stream", "x-max-age": "7D"}),
        "jobrelay.dead": ("jobrelay.dead", ("",), QUORUM),
        **{
            f"jobrelay.delay.{seconds}": (
                f"jobrelay.delay.{seconds}",
                ("",),
                delayed | {"x-message-ttl": seconds * 1000, "x-dead-letter-exchange": "jobrelay.requests"},
            )
            for seconds in DELAYS
        },
        "jobrelay.probe": (
            "jobrelay.control",
            ("jobrelay.probe",),
            {**QUORUM, "x-max-length": 1, "x-overflow": "drop-head"},
        ),
    }


def test_only_the_dead_letters_and_the_log_are_bounded() -> None:
    assert {queue.name: dict(queue.bounds) for queue in queues(QueueNames("jobrelay")) if queue.bounds} == {
        "jobrelay.dead": {"x-max-length-bytes": 256 << 20},
        "jobrelay.lifecycle.log": {"x-max-length-bytes": 1 << 30, "x-stream-max-segment-size-bytes": 64 << 20},
    }


@pytest.mark.broker
@on_a_node
@pytest.mark.parametrize("bounds", [{}, {"x-max-length-bytes": 5000}])
async def test_queues_of_earlier_versions_and_other_bounds_are_no_drift(rabbit: Site, bounds: dict[str, Any]) -> None:
    async with connection(rabbit.server.url, RABBIT, purpose="test") as link:
        async with link.channel() as channel:
            for queue in queues(QueueNames(rabbit.instance)):
                if queue.bounds:
                    arguments: Any = {**queue.arguments, **bounds}
                    await channel.queue_declare(queue.name, durable=True, arguments=arguments)
        await declare(rabbit)
        other = Site(rabbit.server, f"{rabbit.instance}-b")
        async with link.channel() as channel:
            classic: Any = {**bounds, "x-queue-type": "classic"}
            await channel.queue_declare(other.name("delay.1"), durable=True, arguments=classic)
        with pytest.raises(TopologyDrift, match=r"delay\.1"):
            await declare(other)


@pytest.mark.parametrize(("asked", "given"), [(0.1, 1), (1, 1), (1.1, 5), (5, 5), (31, 300), (3600, 3600), (9e9, 3600)])
def test_delays_are_rounded_up_to_one_of_the_queues(asked: float, given: int) -> None:
    assert delay_for(asked) == given


async def declare(site: Site) -> None:
    async with rabbitmq.connect(site.server.url, instance=site.instance, options=RABBIT) as broker:
        await broker.declare()
        await broker.check()
        assert broker.mishaps.redeclared == 0


@pytest.mark.broker
@on_a_node
async def test_many_may_declare_at_once(rabbit: Site) -> None:
    await asyncio.gather(*(declare(rabbit) for _ in range(4)))


@pytest.mark.broker
@on_a_node
async def test_missing_exchanges_and_queues_are_named(rabbit: Site) -> None:
    async with rabbitmq.connect(rabbit.server.url, instance=rabbit.instance, options=RABBIT) as broker:
        with pytest.raises(
            BrokerUnavailable, match=r"exchange .*\.dead.*queue .*\.lifecycle\.log.*queue .*\.delay\.3600"
        ):
            await broker.check()
        with pytest.raises(BrokerUnavailable, match=r"\.requests\.high"):
            await broker.depth()


@pytest.mark.broker
@on_a_node
async def test_drift_is_reported_with_both_values_and_left_alone(rabbit: Site) -> None:
    async with connection(rabbit.server.url, RABBIT, purpose="test") as link:
        theirs = {**QUORUM, "x-message-ttl": 2000}
        async with link.channel() as channel:
            await channel.queue_declare(rabbit.name("delay.1"), durable=True, arguments=theirs)  # type: ignore[arg-type]
            await channel.exchange_declare(rabbit.name("control"), exchange_type="topic", durable=True)
        async with rabbitmq.connect(rabbit.server.url, instance=rabbit.instance, options=RABBIT) as broker:
            with pytest.raises(TopologyDrift) as drift:
                await broker.declare()
            for text in (
                r"queue \S*delay\.1: ",
                "inequivalent arg 'x-",
                r"exchange \S*control: ",
                "'type'",
                "'direct'",
            ):
                assert drift.match(text)
            # What was missing was still created and bound.
            await publish(broker, 1)
            with pytest.raises(TopologyDrift, match=r"delay\.1"):
                await broker.check()
        async with link.channel() as channel:
            await channel.queue_declare(rabbit.name("delay.1"), durable=True, arguments=theirs)  # type: ignore[arg-type]


@pytest.mark.broker
@on_a_node
async def test_two_installations_on_one_node_share_no_messages(rabbit: Site) -> None:
    other = Site(rabbit.server, f"{rabbit.instance}-b")
    await declare(rabbit)
    await declare(other)
    async with (
        rabbitmq.connect(rabbit.server.url, instance=other.instance, options=RABBIT) as theirs,
        rabbitmq.connect(rabbit.server.url, instance=rabbit.instance, options=RABBIT) as ours,
        ours.subscribe(Kind.REQUESTS, prefetch=5) as subscription,
    ):
        await theirs.publish(REQUESTS, make_event(id="theirs"))
        await publish(ours, 1)
        assert (await next_delivery(subscription)).event().get_id() == "m0"


@pytest.mark.parametrize("instance", ["", "Team", "a.b", "a b", "a*", "-a", "a-", "ä"])
def test_invalid_instance_name_is_refused(instance: str) -> None:
    with pytest.raises(ValueError, match="instance"):
        QueueNames(instance)
