"""Claims about RabbitMQ queues that exist, while too few of the nodes that have them are up."""

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from adapters.base import BrokerUnavailable, Kind
from adapters.rabbitmq import broker as rabbitmq
from adapters.rabbitmq.broker import RabbitMQBroker
from adapters.rabbitmq.connection import connection
from adapters.rabbitmq.history import Lifecycle
from adapters.rabbitmq.options import RabbitMQOptions
from adapters.rabbitmq.topology import QueueNames
from tests.adapters.conftest import need_rabbit
from tests.adapters.harness import records, until
from tests.chaos.clusters.forms import releases
from tests.chaos.clusters.nodes import NODES
from tests.chaos.clusters.rabbitmq import RabbitCluster, rabbit_cluster
from tests.long import LONG
from tests.patience import PATIENCE, within

on_nodes = pytest.mark.asyncio(loop_scope="module")
pytestmark = [
    pytest.mark.broker,
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.timeout(600 if LONG else 300),
    on_nodes,
]

SAID_SECONDS = within(12.0)
"""Two answers that do not come, and what is done besides."""
ALONE, WHOLE = "alone", "whole"


@pytest_asyncio.fixture(
    scope="module", loop_scope="module", params=releases(), ids=lambda release: Path(release.home).name or "installed"
)
async def nodes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RabbitCluster]:
    """`WHOLE` has members on all of them, `ALONE` on the second."""
    need_rabbit()
    async with rabbit_cluster(tmp_path_factory.mktemp("nodes"), release=request.param) as cluster:
        for instance, number, replicas in ((WHOLE, 0, NODES), (ALONE, 1, 1)):
            options = RabbitMQOptions(connect_timeout=PATIENCE, publish_timeout=PATIENCE, replicas=replicas)
            async with rabbitmq.connect(cluster.url(number), instance=instance, options=options) as broker:
                await broker.declare()
                await broker.probe()
        yield cluster


@pytest_asyncio.fixture(loop_scope="module")
async def both(nodes: RabbitCluster) -> AsyncIterator[dict[str, RabbitMQBroker]]:
    """Connected to the first node."""
    url = nodes.url(0)
    async with rabbitmq.connect(url, instance=WHOLE) as whole, rabbitmq.connect(url, instance=ALONE) as alone:
        yield {WHOLE: whole, ALONE: alone}


async def said(call: Callable[[], Awaitable[None]]) -> str:
    """Why it cannot be done; empty if it is. Raises AssertionError if that takes too long."""
    begun = time.monotonic()
    try:
        await call()
    except BrokerUnavailable as error:
        assert time.monotonic() - begun <= SAID_SECONDS
        return str(error)
    return ""


async def test_without_a_quorum_the_probe_says_which_queue_stores_nothing_until_it_does_again(
    nodes: RabbitCluster, both: dict[str, RabbitMQBroker]
) -> None:
    await nodes.kill(1)
    assert "no quorum for queue alone.probe: it refuses messages" in await said(both[ALONE].probe)

    async def stores() -> bool:
        return not await said(both[WHOLE].probe)

    await until(stores)
    await nodes.kill(2)
    assert "no quorum for queue whole.probe" in await said(both[WHOLE].probe)
    for broker in both.values():
        # What exists is looked up on one node.
        assert await said(broker.check) == ""
        assert await said(broker.declare) == "" or "has no quorum to do it" in await said(broker.declare)
    await nodes.start(1, 2)
    await until(stores)


async def test_a_log_with_no_member_on_this_node_is_said_to_be_elsewhere(
    nodes: RabbitCluster, both: dict[str, RabbitMQBroker], caplog: pytest.LogCaptureFixture
) -> None:
    assert await records(both[WHOLE], Kind.LIFECYCLE) == []
    with pytest.raises(BrokerUnavailable, match=r"alone\.lifecycle\.log cannot be read from .* add_replica"):
        await records(both[ALONE], Kind.LIFECYCLE)
    # One that follows has lost a connection to a node that has a member, and goes on elsewhere.
    async with connection(nodes.url(0), RabbitMQOptions(), purpose="test") as link:
        reader = Lifecycle(link, QueueNames(ALONE), key=None, follow=True)
        caplog.set_level(logging.WARNING)
        await reader._attach()
        await reader._attach()
        await reader.close()
    assert ["add_replica" in message for message in caplog.messages] == [True]
