"""Each role does its own part, and leaves the other part to the other role."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from adapters.base import Kind, Topic
from adapters.jetstream import broker as jetstream
from adapters.memory import MemoryBroker
from adapters.servers import nats as natsserver
from events.names import FINALIZER
from handler.links.link import Connect
from handler.telemetry.state import State
from k8s.api.cluster import Cluster
from k8s.base import NotFound
from tests.handler.relay import Client, connected, relaying
from tests.handler.samples import make_request, until


@asynccontextmanager
async def role(name: str, broker: MemoryBroker, cluster: Cluster) -> AsyncIterator[Client]:
    async with relaying(connected(broker), cluster, role=name) as state:
        yield Client(broker, state)


async def ready(state: State) -> bool:
    return not state.problems()


async def job_count(cluster: Cluster) -> int:
    return len(await cluster.list_jobs("default", "jobrelay.dev/instance=jobrelay"))


async def test_handler_creates_jobs_and_reports_only_rejections(broker: MemoryBroker, cluster: Cluster) -> None:
    async with role("handler", broker, cluster) as client:
        await until(lambda: ready(client.state))
        await client.publish(make_request("a", script="exit 0"), make_request("b", webhook="https://example.com"))
        await client.reached("b", "rejected")

        async def ended() -> bool:
            jobs = await cluster.list_jobs("default", "jobrelay.dev/instance=jobrelay")
            return [bool(job.get("status", {}).get("completionTime")) for job in jobs] == [True]

        await until(ended)
        (job,) = await cluster.list_jobs("default", "jobrelay.dev/instance=jobrelay")
        assert job["metadata"]["finalizers"] == [FINALIZER]
        assert await client.phases("a") == []
        with pytest.raises(NotFound):
            await cluster.client.request("GET", "/apis/coordination.k8s.io/v1/namespaces/default/leases/jobrelay")


async def test_controller_reports_what_handlers_created_and_takes_no_requests(
    broker: MemoryBroker, cluster: Cluster
) -> None:
    async with role("handler", broker, cluster) as client:
        await client.publish(make_request("a"))

        async def made() -> bool:
            return await job_count(cluster) == 1

        await until(made)
    async with role("controller", broker, cluster) as client:
        await client.publish(make_request("b"))
        await client.ended("a")
        assert await client.phases("a") == ["created", "started", "succeeded"]
        assert await client.phases("b") == []
        assert await job_count(cluster) == 1
        assert (await broker.depth())[Topic(Kind.REQUESTS)].ready == 1
    async with role("handler", broker, cluster), role("controller", broker, cluster) as client:
        await client.ended("b")


async def test_handler_declares_nothing_and_works_once_a_controller_has(tmp_path: Path, cluster: Cluster) -> None:
    async with natsserver.run(tmp_path) as server:
        sources: dict[str, Connect] = {"nats": lambda: jetstream.connect(server.url, instance="jobrelay")}
        async with relaying(sources, cluster, role="handler") as state:

            async def reported() -> bool:
                return any("JOBRELAY_REQUESTS" in problem for problem in state.problems())

            await until(reported)
            async with relaying(sources, cluster, role="controller") as other:
                await until(lambda: ready(other))
                await until(lambda: ready(state))
