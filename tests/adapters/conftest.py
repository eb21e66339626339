"""Every test that takes `harness` runs on every adapter. Without a nats-server it fails; it is never skipped.

RabbitMQ is no Python package: without it its tests are skipped, except where `CI` is set.
"""

import os
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from adapters.base import Broker
from adapters.registry import BY_NAME
from adapters.servers import nats as natsserver, rabbitmq as rabbitmqserver
from adapters.servers.nats import NatsServer
from adapters.servers.process import ServerFailed
from adapters.servers.rabbitmq import RabbitServer
from adapters.servers.release import chosen
from tests.adapters.brokers import (
    HUB,
    LEAF,
    MAX_MESSAGE,
    OPTIONS,
    Site,
    joined,
    leaf_node,
    memory_harness,
    nats_harness,
    rabbit_harness,
    some_nats,
)
from tests.adapters.harness import Harness

EXTRA = f"max_message_size = {MAX_MESSAGE}"


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def rabbit_url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The server that `RABBITMQ_URL` names, else a node for all tests that break nothing."""
    if url := os.environ.get("RABBITMQ_URL"):
        yield url
        return
    need_rabbit()
    async with rabbitmqserver.run(tmp_path_factory.mktemp("rabbitmq"), extra=EXTRA) as server:
        yield server.url


def need_rabbit() -> None:
    try:
        chosen().program()
    except ServerFailed as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


REAL = [pytest.param(name, marks=pytest.mark.broker) for name in BY_NAME]


@pytest.fixture(params=["memory", *REAL, pytest.param(LEAF, marks=[pytest.mark.broker, pytest.mark.long])])
def adapter(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Name of the adapter, and the URL of the node that all tests share; `LEAF` for NATS behind a leaf node."""
    name = str(request.param)
    if name == LEAF:
        return "nats", LEAF
    return name, str(request.getfixturevalue("rabbit_url")) if name == "rabbitmq" else ""


@pytest.fixture
async def harness(adapter: tuple[str, str], tmp_path: Path) -> AsyncIterator[Harness]:
    match adapter:
        case "memory", _:
            async with memory_harness() as made:
                yield made
        case "nats", "leaf":
            # Connected to a leaf node, and using the JetStream of its hub.
            options = replace(OPTIONS, domain=HUB)
            async with leaf_node(tmp_path) as (_, leaf):
                await joined(leaf.url, options)
                async with nats_harness(leaf.url, options) as made:
                    yield made
        case "nats", _:
            async with some_nats(tmp_path) as url, nats_harness(url) as made:
                yield made
        case "rabbitmq", url:
            async with rabbit_harness(url) as made:
                yield made
        case name, _:
            raise NotImplementedError(f"no harness for {name}")


@pytest.fixture
async def broker(harness: Harness) -> Broker:
    return harness.broker


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    """A nats-server that the test may kill and start again."""
    async with natsserver.run(tmp_path / "nats") as running:
        yield running


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def breakable(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RabbitServer]:
    need_rabbit()
    async with rabbitmqserver.run(tmp_path_factory.mktemp("breakable"), extra=EXTRA) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="session")
async def rabbit(breakable: RabbitServer) -> AsyncIterator[Site]:
    """For tests in the session's loop. Nothing is removed: queues deleted soon after a crash take such a node down."""
    yield Site(breakable, f"test-{uuid.uuid4().hex[:8]}")
    if breakable.pid is None or not await breakable.answers(breakable.pid):
        # Killed, or stopped by a test that failed before it went on.
        await breakable.kill()
        await breakable.start()
