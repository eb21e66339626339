"""Claims about whether anything is stored: queues that exist may have lost their quorum, which only a publish shows."""

from collections.abc import AsyncIterator
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest
import pytest_asyncio

from adapters.base import BrokerUnavailable, Kind, Topic
from adapters.rabbitmq import broker as rabbitmq
from adapters.rabbitmq.broker import RabbitMQBroker
from adapters.rabbitmq.client import Unanswered
from adapters.rabbitmq.connection import Connection, connection
from adapters.rabbitmq.publisher import Publisher
from adapters.rabbitmq.wire.properties import Properties
from adapters.untaken import FORGET_SECONDS
from tests.adapters.brokers import RABBIT, Site
from tests.adapters.harness import REQUESTS, make_event, publish, until

on_a_node = pytest.mark.asyncio(loop_scope="session")
SHORT = replace(RABBIT, publish_timeout=1.0)
"""For a server that does not answer."""


@pytest_asyncio.fixture(loop_scope="session")
async def broker(rabbit: Site) -> AsyncIterator[RabbitMQBroker]:
    async with rabbitmq.connect(rabbit.server.url, instance=rabbit.instance, options=RABBIT) as owner:
        await owner.declare()
    async with rabbitmq.connect(rabbit.server.url, instance=rabbit.instance, options=SHORT) as connected:
        yield connected


async def member(site: Site, queue: str, verb: str) -> None:
    """Stop or restart the only member of a queue, as if its node were down."""
    found = f'{{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, <<"{site.name(queue)}">>))'
    await site.server.ctl("eval", f"{found}, ra:{verb}_server(quorum_queues, amqqueue:get_pid(Q)).")


@pytest.mark.broker
@on_a_node
async def test_a_quorum_that_is_lost_is_seen_in_a_queue_of_ours(broker: RabbitMQBroker, rabbit: Site) -> None:
    await broker.probe()
    await member(rabbit, "probe", "stop")
    with pytest.raises(BrokerUnavailable, match=rf"no quorum for queue {rabbit.name('probe')}: it "):
        await broker.probe()
    # To look up that queues exist needs no quorum.
    await broker.check()
    await member(rabbit, "probe", "restart")
    await until(lambda: stores(broker))


async def stores(broker: RabbitMQBroker) -> bool:
    try:
        await broker.probe()
    except BrokerUnavailable:
        return False
    return True


@pytest.mark.broker
@on_a_node
async def test_a_queue_that_stores_nothing_is_seen_by_what_is_published_until_that_is_stored(
    broker: RabbitMQBroker, rabbit: Site
) -> None:
    await member(rabbit, "requests", "stop")
    with pytest.raises(BrokerUnavailable):
        await publish(broker, 1)
    await broker.publish(Topic(Kind.LIFECYCLE, "s.1.created"), make_event())
    with pytest.raises(BrokerUnavailable, match=rf"exchange {rabbit.name('requests')} is (refused|not confirmed)"):
        await broker.probe()
    await member(rabbit, "requests", "restart")

    async def published() -> bool:
        try:
            await broker.publish(REQUESTS, make_event())
        except BrokerUnavailable:
            return False
        return True

    await until(published)
    await broker.probe()


@pytest.mark.broker
@on_a_node
async def test_the_queue_keeps_one_message_whatever_is_tried(broker: RabbitMQBroker, rabbit: Site) -> None:
    for _ in range(3):
        await broker.probe()
    async with connection(rabbit.server.url, RABBIT, purpose="test") as link, link.channel() as channel:
        found = await channel.queue_declare(rabbit.name("probe"), passive=True)
    assert found.message_count == 1


@pytest.mark.broker
@on_a_node
async def test_before_its_owner_has_declared_the_queue_nothing_is_missing(broker: RabbitMQBroker, rabbit: Site) -> None:
    async with connection(rabbit.server.url, RABBIT, purpose="test") as link, link.channel() as channel:
        await channel.queue_delete(rabbit.name("probe"))
    await broker.check()
    await broker.probe()
    async with rabbitmq.connect(rabbit.server.url, instance=rabbit.instance, options=RABBIT) as owner:
        await owner.declare()
        # An installation of an earlier version, and none that has lost something.
        assert owner.mishaps.redeclared == 0


@pytest.mark.broker
@on_a_node
async def test_who_may_publish_nothing_is_told_nothing(broker: RabbitMQBroker, rabbit: Site) -> None:
    user = rabbit.instance
    await rabbit.server.ctl("add_user", user, "secret")
    await rabbit.server.ctl("set_permissions", user, "^$", "^$", ".*")
    url = rabbit.server.url.replace("guest:guest", f"{user}:secret")
    async with rabbitmq.connect(url, instance=rabbit.instance, options=RABBIT) as reader:
        await reader.probe()
        before = rabbit.server.log.read_text(errors="replace").count("access_refused")
        assert before
        await reader.probe()
        assert rabbit.server.log.read_text(errors="replace").count("access_refused") == before


def failing(monkeypatch: pytest.MonkeyPatch, error: BrokerUnavailable, *, connected: bool = True) -> Publisher:
    """One whose publishes all fail with this."""
    publisher = Publisher(cast("Connection", SimpleNamespace(blocked=False, connected=connected)))

    async def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(publisher, "_store", fail)
    return publisher


async def test_a_failed_publish_that_nobody_repeats_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    publisher = failing(monkeypatch, BrokerUnavailable("not about the queue"))
    with pytest.raises(BrokerUnavailable):
        await publisher.store("jobrelay.delay.30", "", b"", Properties())
    assert publisher.problem() == ""
    publisher = failing(monkeypatch, Unanswered("no answer in time"))
    with pytest.raises(BrokerUnavailable):
        await publisher.store("jobrelay.delay.30", "", b"", Properties())
    assert "exchange jobrelay.delay.30 is not confirmed in time" in publisher.problem()
    monkeypatch.setattr("adapters.untaken.FORGET_SECONDS", -1)
    assert FORGET_SECONDS > 15
    assert publisher.problem() == ""


@pytest.mark.parametrize("connected", [True, False])
async def test_what_was_under_way_when_a_connection_was_lost_says_nothing_of_queues(
    connected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher = failing(monkeypatch, Unanswered("no answer in time"), connected=connected)
    with pytest.raises(BrokerUnavailable):
        await publisher.store("jobrelay.lifecycle", "", b"", Properties())
    assert bool(publisher.problem()) is connected
