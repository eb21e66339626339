"""Claims about policies of RabbitMQ: what they do to our queues is noticed where it can be, and said where not."""

import json
import logging
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
import pytest_asyncio

from adapters.base import BrokerUnavailable, Kind, Topic
from adapters.headers import CODE, reason_of
from adapters.rabbitmq import broker as rabbitmq
from adapters.rabbitmq.broker import RabbitMQBroker
from adapters.rabbitmq.connection import connection
from adapters.rabbitmq.descriptor import ADAPTER
from adapters.servers.process import ServerFailed
from tests.adapters.brokers import RABBIT, Site
from tests.adapters.harness import DEAD, HIGH, REQUESTS, make_event, next_delivery, publish, records, until

on_a_node = pytest.mark.asyncio(loop_scope="session")
POLICY = "of-a-test"


@pytest_asyncio.fixture(loop_scope="session")
async def broker(rabbit: Site) -> AsyncIterator[RabbitMQBroker]:
    async with rabbitmq.connect(rabbit.server.url, instance=rabbit.instance, options=RABBIT) as connected:
        await connected.declare()
        yield connected
    with suppress(ServerFailed):
        await rabbit.server.ctl("clear_policy", POLICY)


async def rule(site: Site, queue: str, **definition: object) -> None:
    """Have a policy for one queue. It applies soon after."""
    pattern = f"^{site.name(queue)}$".replace(".", r"\.")
    await site.server.ctl("set_policy", POLICY, pattern, json.dumps(definition), "--apply-to", "queues")


@pytest.mark.broker
@on_a_node
async def test_queues_that_expired_are_a_warning_with_their_names_and_are_counted(
    broker: RabbitMQBroker, rabbit: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await publish(broker, 1)
    await rule(rabbit, "(dead|delay.5)", expires=300)

    async def gone() -> bool:
        found = await rabbit.server.ctl("list_queues", "name")
        return not any(f"{rabbit.name(name)}\n" in found for name in ("dead", "delay.5"))

    await until(gone)
    await rabbit.server.ctl("clear_policy", POLICY)
    await broker.declare()
    await broker.declare()
    warnings = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert [warning.split(":")[0] for warning in warnings] == [
        f"queue {rabbit.name(name)} was gone and is declared anew" for name in ("dead", "delay.5")
    ]
    assert all("lost" in warning and "rabbitmqctl list_policies -p /" in warning for warning in warnings)
    assert broker.mishaps.redeclared == 2
    assert (await broker.depth())[REQUESTS].ready == 1


@pytest.mark.broker
@on_a_node
async def test_a_process_that_starts_warns_of_queues_that_are_gone_and_not_of_a_new_installation(
    broker: RabbitMQBroker, rabbit: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with connection(rabbit.server.url, RABBIT, purpose="test") as link, link.channel() as channel:
        # A client that began before us.
        await channel.exchange_declare(f"{rabbit.instance}-new.lifecycle", exchange_type="topic", durable=True)
        assert await declared_by_another(rabbit, f"{rabbit.instance}-new") == 0
        assert f"created queue {rabbit.instance}-new.dead" in caplog.messages
        assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
        caplog.clear()
        assert await declared_by_another(rabbit, rabbit.instance) == 0
        assert caplog.messages == []
        await channel.queue_delete(rabbit.name("dead"))
        await channel.queue_delete(rabbit.name("delay.3600"))
        assert await declared_by_another(rabbit, rabbit.instance) == 2


async def declared_by_another(site: Site, instance: str) -> int:
    """How much a process that has just started declares anew."""
    async with rabbitmq.connect(site.server.url, instance=instance, options=RABBIT) as another:
        await another.declare()
        return another.mishaps.redeclared


@pytest.mark.broker
@on_a_node
@pytest.mark.parametrize(
    ("definition", "code"),
    [
        ({"message-ttl": 200}, "EXPIRED"),
        ({"max-length": 1, "overflow": "drop-head"}, "MAXLEN"),
        ({"delivery-limit": 1}, "DELIVERY_LIMIT"),
    ],
)
async def test_what_a_policy_removes_from_the_requests_is_a_dead_letter_that_names_the_key(
    broker: RabbitMQBroker, rabbit: Site, definition: dict[str, object], code: str
) -> None:
    await publish(broker, 1, HIGH)
    async with broker.subscribe(Kind.REQUESTS, prefetch=1) as subscription:
        delivery = await next_delivery(subscription)
        await rule(rabbit, "requests.high", **definition)
        # In a delay queue it expires, too: that is not what its dead letter is about.
        await delivery.retry(1)
        if code != "EXPIRED":
            await next_delivery(subscription)
    if code == "DELIVERY_LIMIT":
        async with broker.subscribe(Kind.REQUESTS, prefetch=1) as subscription:
            await next_delivery(subscription)
    elif code == "MAXLEN":
        await broker.publish(HIGH, make_event())

    async def dead() -> bool:
        return (await broker.depth())[DEAD].ready > 0

    await until(dead)
    letter = (await records(broker, Kind.DEAD))[0]
    assert (letter.topic, letter.headers[CODE]) == (Topic(Kind.DEAD, "requests.high"), code)
    (key, *_) = definition if code != "MAXLEN" else ("overflow",)
    assert f"`{key}`" in reason_of(letter.headers)


@pytest.mark.broker
@on_a_node
async def test_a_bound_that_a_policy_sets_refuses_requests_and_removes_none(
    broker: RabbitMQBroker, rabbit: Site
) -> None:
    await rule(rabbit, "requests", **{"max-length": 1})
    taken = 0
    with pytest.raises(BrokerUnavailable, match="did not take it"):
        # The bound is a soft one.
        while taken < 50:
            await broker.publish(REQUESTS, make_event())
            taken += 1
    assert (await broker.depth())[REQUESTS].ready == taken
    assert (await broker.depth())[DEAD].ready == 0


@pytest.mark.parametrize(
    ("url", "vhost"),
    [
        ("amqp://host", "/"),
        ("amqp://host/", "/"),
        ("amqps://u:p@host:5/team%2Fa", "team/a"),
        ("amqp://host/a%20b", "a b"),
    ],
)
def test_what_amqp_does_not_show_is_said_with_the_commands_that_do(url: str, vhost: str) -> None:
    line, bounds, members = ADAPTER.unseen(url, "team-a")
    definition = '{"max-length-bytes":268435456}'
    assert f"team-a.dead '^team-a\\.dead$' '{definition}' --apply-to queues" in bounds.replace("team\\-a", "team-a")
    assert "cannot be seen over AMQP" in line
    assert "team-a.*" in line
    shown = f"'{vhost}'" if " " in vhost else vhost
    assert "JOBRELAY_RABBITMQ_MANAGEMENT_URL" in members
    assert f"`rabbitmqctl list_queues -p {shown} name members online`" in members
    for command in ("list_queues", "list_policies", "list_operator_policies"):
        assert f"rabbitmqctl {command} -p {shown}" in line
    for key in ("expires", "message-ttl", "max-length", "max-length-bytes", "overflow", "delivery-limit"):
        assert f"`{key}`" in line
