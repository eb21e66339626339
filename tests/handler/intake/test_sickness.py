"""One namespace, one kind of Job, one hanging webhook: whoever else asks for a Job gets it, and what fails ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from adapters.base import Kind, Topic
from adapters.memory import MemoryBroker
from k8s.api.cluster import Cluster
from tests.handler.intake.sick import WEBHOOK, Sick, failing, hang, of_service, take
from tests.handler.relay import Client, code_of, detail, running
from tests.handler.samples import make_request, until

PLACES = 4
SEVERAL = 3 * PLACES


@pytest.fixture
def sick(cluster: Cluster) -> Any:
    return Sick(cluster)


@asynccontextmanager
async def small(broker: MemoryBroker, cluster: Any, **settings: Any) -> AsyncIterator[Client]:
    """An installation with few places, and few attempts."""
    async with running(broker, cluster, concurrency=PLACES, **{"max_attempts": 2} | settings) as client:
        yield client


def poison(**data: Any) -> list[Any]:
    """More requests than there are places."""
    return [make_request(f"poison-{number}", **{"service": "poison", **data}) for number in range(SEVERAL)]


async def assert_ended(client: Client, code: str, said: str) -> None:
    """Each of `poison` is a dead letter, and was told so with the last answer."""
    letters = await client.dead_letters(SEVERAL)
    assert {letter.headers["jobrelay-code"] for letter in letters} == {code}
    rejected = await client.reached("poison-0", "rejected")
    assert code_of(rejected) == code
    assert detail(rejected)["error"]["message"].startswith("not taken at 2 attempts, the last time: ")
    assert said in detail(rejected)["error"]["message"]


async def test_a_webhook_that_fails_for_one_kind_of_job_holds_nobody_else_up(broker: MemoryBroker, sick: Any) -> None:
    sick.treat = of_service("poison", failing(500, WEBHOOK))
    async with small(broker, sick) as client:
        await client.publish(*poison(), make_request("plain"))
        await client.ended("plain")
        await assert_ended(client, "UNAVAILABLE", "failed calling webhook")
        assert client.state.notes() == []


async def test_a_namespace_that_is_not_there_holds_nobody_else_up_and_is_named(
    broker: MemoryBroker, cluster: Cluster
) -> None:
    async with small(broker, cluster, namespaces="default,gone") as client:
        await client.publish(*poison(job={"namespace": "gone"}), make_request("plain"))
        await client.ended("plain")
        await assert_ended(client, "NAMESPACE_GONE", 'namespaces "gone" not found')
        (note,) = client.state.notes()
        assert note.startswith("namespace gone takes no Jobs: 404 ")
        assert client.state.namespaces is not None
        assert not client.state.namespaces.all_sick
        value = client.state.metrics.registry.get_sample_value
        assert value("jobrelay_intake_namespace_paused", {"job_namespace": "gone"}) == 1
        assert value("jobrelay_intake_namespace_paused", {"job_namespace": "default"}) == 0
        await cluster.client.request("POST", "/api/v1/namespaces", body={"metadata": {"name": "gone"}})
        await until(lambda: _is(client.state.notes() == []))
        await client.publish(make_request("later", job={"namespace": "gone"}))
        await client.ended("later")


async def test_the_only_namespace_gone_is_told_and_the_process_is_not_ready(
    broker: MemoryBroker, cluster: Cluster
) -> None:
    async with small(broker, cluster, namespaces="default", role="handler") as client:
        assert client.state.namespaces is not None
        await until(lambda: _is(not client.state.problems()))
        await cluster.client.request("DELETE", "/api/v1/namespaces/default")
        await client.publish(*poison())
        await assert_ended(client, "NAMESPACE_GONE", "default")
        assert [problem.partition(":")[0] for problem in client.state.problems()] == ["namespace default takes no Jobs"]


async def _is(value: bool) -> bool:
    return value


async def test_calls_that_hang_leave_places_for_others(broker: MemoryBroker, sick: Any) -> None:
    sick.treat = of_service("poison", hang)
    async with running(broker, sick, concurrency=PLACES, drain_seconds=0) as client:
        await client.publish(*poison())
        await until(lambda: _is(sick.created >= PLACES * 3 // 4))
        await client.publish(make_request("plain"))
        await client.ended("plain")
        assert await client.dead() == []


async def test_an_api_server_that_takes_no_job_at_all_costs_no_request_an_attempt(
    broker: MemoryBroker, sick: Any
) -> None:
    sick.treat = failing(500, WEBHOOK)
    async with small(broker, sick, max_attempts=1, namespaces="default,other") as client:
        await client.publish(*poison())
        # Each of the few that are held is tried again and again.
        await until(lambda: _is(sick.created > 3 * PLACES))
        (depth,) = [found for topic, found in (await broker.depth()).items() if topic == Topic(Kind.REQUESTS)]
        assert (depth.unsettled, depth.ready) == (PLACES + 1, SEVERAL - PLACES - 1)
        (note,) = client.state.notes()
        assert note.startswith("requests wait for the API server: 500 ")
        sick.treat = take
        await asyncio.gather(*(client.ended(f"poison-{number}") for number in range(SEVERAL)))
        assert await client.dead() == []
        assert client.state.notes() == []


async def test_a_missing_permission_in_one_namespace_is_no_others_trouble(broker: MemoryBroker, sick: Any) -> None:
    denied = 'jobs.batch is forbidden: User "jobrelay" cannot create resource "jobs" in the namespace "other"'

    async def treat(manifest: Any) -> None:
        if manifest["metadata"]["namespace"] == "other":
            await failing(403, denied)(manifest)

    sick.treat = treat
    async with small(broker, sick, namespaces="default,other") as client:
        await client.publish(*poison(job={"namespace": "other"}), make_request("plain"))
        await client.ended("plain")
        await assert_ended(client, "UNAVAILABLE", "is forbidden")
        assert [note.partition(":")[0] for note in client.state.notes()] == ["namespace other takes no Jobs"]


async def test_an_object_that_the_storage_never_takes_is_rejected_at_once(broker: MemoryBroker, sick: Any) -> None:
    sick.treat = of_service("poison", failing(500, "etcdserver: request is too large"))
    async with running(broker, sick) as client:
        await client.publish(make_request("large", service="poison"))
        assert code_of(await client.reached("large", "rejected")) == "TOO_LARGE"
