"""While the API server is away RabbitMQ may take back what waits: no request becomes a dead letter for that."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from adapters.base import Kind, Topic
from adapters.rabbitmq import broker as rabbitmq, consume
from adapters.rabbitmq.options import RabbitMQOptions
from adapters.servers import rabbitmq as rabbitmqserver
from handler.telemetry.state import State
from k8s.api.cluster import connect as connect_cluster
from k8s.devcluster.server import serve
from tests.adapters.brokers import take_back
from tests.adapters.conftest import need_rabbit
from tests.adapters.harness import records
from tests.handler.relay import relaying
from tests.handler.samples import make_request, until
from tests.patience import PATIENCE

pytestmark = pytest.mark.broker
OPTIONS = RabbitMQOptions(connect_timeout=PATIENCE, publish_timeout=PATIENCE)
TIMEOUT_MS = 3000
"""Half of it is left to a slow machine, before it has messages taken back again."""
IDS = {f"r-{number}" for number in range(3)}


@pytest.fixture
async def impatient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """A node that takes back what is unsettled for over three seconds."""
    need_rabbit()
    # RabbitMQ 3.12 and later do as the consumer says.
    monkeypatch.setattr(consume, "TIMEOUT_MS", TIMEOUT_MS)
    async with rabbitmqserver.run(tmp_path / "rabbitmq") as server:
        await take_back(server, after=TIMEOUT_MS, looking_every=200)
        yield server.url


@pytest.mark.slow
async def test_requests_survive_an_api_server_that_is_away_for_many_times_the_consumer_timeout(
    impatient: str, tmp_path: Path
) -> None:
    directory = tmp_path / "cluster"
    async with serve(directory) as devcluster:
        kubeconfig = devcluster.kubeconfig
    sources = {"rabbitmq": partial(rabbitmq.connect, impatient, options=OPTIONS)}
    async with connect_cluster(kubeconfig=kubeconfig) as cluster, relaying(sources, cluster, max_attempts=1) as state:
        await until(partial(declared, state))
        broker = state.brokers["rabbitmq"]
        for request_id in IDS:
            await broker.publish(Topic(Kind.REQUESTS), make_request(request_id))
        await until(partial(taken_away, state))
        # For as long again as it took to be noticed, and a few times the time that is left now.
        await asyncio.sleep(5 * TIMEOUT_MS / 1000)
        # Once is all there is on a machine that keeps time; without what was learned from it, it would be five times
        # more. A machine that stops for a second and a half loses them again.
        assert broker.mishaps.taken_away <= 3 * len(IDS)
        async with serve(directory):

            async def succeeded() -> bool:
                keys = {record.topic.key for record in await records(broker, Kind.LIFECYCLE)}
                return {f"tests.{request_id}.succeeded" for request_id in IDS} <= keys

            await until(succeeded)
            assert await records(broker, Kind.DEAD) == []


async def declared(state: State) -> bool:
    return not any(problem.startswith("broker") for problem in state.problems())


async def taken_away(state: State) -> bool:
    await state.measure()
    value = state.metrics.registry.get_sample_value
    return (value("jobrelay_messages_taken_away_total", {"broker": "rabbitmq"}) or 0) >= len(IDS)
