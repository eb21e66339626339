"""Claims about the members of queues: how many are asked for, and that queues with others are no drift."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from adapters.base import TopologyDrift
from adapters.rabbitmq import broker as rabbitmq
from adapters.rabbitmq.connection import Connection, connection
from adapters.rabbitmq.topology import Queue, QueueNames, queues
from tests.adapters.brokers import RABBIT, Site

on_a_node = pytest.mark.asyncio(loop_scope="session")
THREE = replace(RABBIT, replicas=3)


def test_new_queues_ask_for_the_members_of_the_setting_and_for_leaders_on_all_nodes() -> None:
    balanced = {"x-queue-leader-locator": "balanced"}
    for queue in queues(QueueNames("jobrelay")):
        assert {name: value for name, value in queue.placement.items() if value is not None} == balanced
    sizes = {queue.name: dict(queue.placement) for queue in queues(QueueNames("jobrelay"), 5)}
    assert sizes.pop("jobrelay.lifecycle.log") == {**balanced, "x-initial-cluster-size": 5}
    assert len(sizes) > 1
    assert all(placement == {**balanced, "x-quorum-initial-group-size": 5} for placement in sizes.values())


@pytest.mark.parametrize(("version", "returned"), [((4, 3), 5000), ((5, 0), 5000), ((4, 2), None), ((0, 0), None)])
def test_queues_return_soon_what_a_lost_node_had_where_the_server_knows_the_argument(
    version: tuple[int, int], returned: int | None
) -> None:
    for queue in queues(QueueNames("jobrelay"), version=version):
        expected = returned if queue.arguments["x-queue-type"] == "quorum" else None
        assert queue.placement.get("x-consumer-disconnected-timeout") == expected


@pytest.mark.broker
@on_a_node
async def test_new_queues_are_declared_with_them(rabbit: Site) -> None:
    async with rabbitmq.connect(rabbit.server.url, instance=rabbit.instance, options=THREE) as broker:
        await broker.declare()
    found = await rabbit.server.ctl("list_queues", "name", "arguments")
    async with connection(rabbit.server.url, RABBIT, purpose="check") as link:
        version = link.version
    assert (await rabbit.server.ctl("version")).startswith("{}.{}.".format(*version))
    for queue in queues(QueueNames(rabbit.instance), 3, version=version):
        (line,) = [line for line in found.splitlines() if line.startswith(f"{queue.name}\t")]
        for name, value in queue.placement.items():
            shown = f'"{value}"' if isinstance(value, str) else str(value)
            assert f'{{"{name}",{shown}}}' in line


async def made(link: Connection, queue: Queue, soft: Mapping[str, object], **hard: object) -> None:
    """What somebody else declared."""
    arguments: Any = {**queue.arguments, **soft, **hard}
    async with link.channel() as channel:
        await channel.queue_declare(queue.name, durable=True, arguments=arguments)


@pytest.mark.broker
@on_a_node
@pytest.mark.parametrize(
    "placement",
    [
        {},
        {"size": 1},
        {"size": 5, "x-queue-leader-locator": "client-local"},
        {"x-queue-leader-locator": "client-local", "x-max-length-bytes": 5000},
    ],
)
async def test_queues_with_other_members_are_no_drift_and_what_else_differs_is(
    rabbit: Site, placement: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    # The server names one argument at a time, and another first on each of these.
    differing = {"control": {"x-max-length": 7}, "dead": {"x-delivery-limit": 5}, "delay.5": {"x-message-ttl": 1}}
    async with connection(rabbit.server.url, RABBIT, purpose="test") as link:
        for queue in queues(QueueNames(rabbit.instance)):
            sized = "x-initial-cluster-size" if queue.name.endswith(".log") else "x-quorum-initial-group-size"
            soft = {sized if name == "size" else name: value for name, value in placement.items()}
            if not queue.bounds:
                soft.pop("x-max-length-bytes", None)
            await made(link, queue, soft, **differing.get(queue.name.removeprefix(f"{rabbit.instance}."), {}))
    async with rabbitmq.connect(rabbit.server.url, instance=rabbit.instance, options=THREE) as broker:
        for look in (broker.declare, broker.check, broker.declare):
            with pytest.raises(TopologyDrift) as drift:
                await look()
            named = [text.split(": ")[0] for text in str(drift.value).split("; ")]
            assert sorted(named) == sorted(f"queue {rabbit.name(name)}" for name in differing)
            assert "cluster-size" not in str(drift.value)
            assert "group-size" not in str(drift.value)
            assert "locator" not in str(drift.value)


@pytest.mark.broker
@on_a_node
async def test_a_queue_is_asked_for_with_arguments_that_it_lacks_once_and_not_at_each_look(rabbit: Site) -> None:
    async with connection(rabbit.server.url, RABBIT, purpose="test") as link:
        for queue in queues(QueueNames(rabbit.instance)):
            await made(link, queue, {})
    async with rabbitmq.connect(rabbit.server.url, instance=rabbit.instance, options=THREE) as broker:
        await broker.declare()
        refused = rabbit.server.log.read_text(errors="replace").count("inequivalent arg")
        await broker.declare()
        await broker.check()
        assert rabbit.server.log.read_text(errors="replace").count("inequivalent arg") == refused


@pytest.mark.broker
@on_a_node
async def test_members_that_cannot_be_seen_are_said_once(rabbit: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with rabbitmq.connect(rabbit.server.url, instance=rabbit.instance, options=THREE) as broker:
        await broker.declare()
        await broker.declare()
        assert await broker.replicas() == ()
    assert sum("JOBRELAY_RABBITMQ_MANAGEMENT_URL" in message for message in caplog.messages) == 1
    caplog.clear()
    for options in (RABBIT, replace(RABBIT, replicas=1), replace(THREE, management_url="http://localhost:1")):
        async with rabbitmq.connect(rabbit.server.url, instance=rabbit.instance, options=options) as broker:
            await broker.declare()
    assert not any("JOBRELAY_RABBITMQ_MANAGEMENT_URL" in message for message in caplog.messages)
