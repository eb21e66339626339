"""A cluster and brokers that all attacks share; each attack has an installation of its own on them."""

import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.adapters.conftest import need_rabbit
from tests.e2e.site import NATS, RABBITMQ, Site, on_broker, site as open_site


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def hostile_cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with open_site(tmp_path_factory.mktemp("hostile"), os.environ, broker=None) as found:
        yield found


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def on_nats(hostile_cluster: Site) -> AsyncIterator[Site]:
    """A site with NATS."""
    async with on_broker(hostile_cluster, os.environ, NATS) as found:
        yield found


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def on_rabbitmq(hostile_cluster: Site) -> AsyncIterator[Site]:
    """A site with RabbitMQ."""
    need_rabbit()
    async with on_broker(hostile_cluster, os.environ, RABBITMQ) as found:
        yield found


@pytest.fixture
def site(broker: str, request: pytest.FixtureRequest) -> Site:
    """The site with the broker that the test is parametrised with."""
    found: Site = request.getfixturevalue(f"on_{broker}")
    return found
