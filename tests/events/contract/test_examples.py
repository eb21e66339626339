"""Every example is valid, and does what its comment says on the development cluster."""

import base64
from typing import Any

import pytest
from cloudevents.core.v1.event import CloudEvent
from jsonschema import Draft202012Validator

from adapters.memory import MemoryBroker
from events.cloudevent.event import build
from events.contract.schema import schema_of
from events.request.control import parse_control
from events.request.request import Request
from k8s.api.cluster import Cluster
from tests.events.contract.samples import REQUESTS, example
from tests.handler.relay import Client, detail, running
from tests.handler.samples import by_hand
from tests.paths import EXAMPLES

POLICY: dict[str, Any] = {"secrets": ("migration-*",), "claims": ("billing-data",)}
RESULTS = {
    "webhook-worker": {"year": 2026, "currency": "EUR"},
    "single": {"sum": 42},
    "parallel": [{"part of": "parallel"}] * 4,
    "indexed": [{"square": 0}, {"square": 1}, {"square": 4}],
    "work-queue": None,
    "data-migration": {"database": "customers", "from": 11, "to": 12},
}


def event_of(name: str) -> CloudEvent:
    document = example(name)
    return build(document, document.pop("data", None))


def test_every_file_is_known_to_these_tests() -> None:
    others = {"cancel", "image-uploaded", "functions", "jobs"}
    assert {file.stem for file in EXAMPLES.glob("*.yaml")} == {*REQUESTS, *others}


@pytest.mark.parametrize("name", REQUESTS)
def test_request_is_accepted_by_schema_and_handler(name: str) -> None:
    Draft202012Validator(schema_of("request")).validate(example(name))
    Draft202012Validator(schema_of("request", data=True)).validate(example(name)["data"])
    Request.of(event_of(name))


def test_definitions_are_accepted_by_schema_and_handler() -> None:
    for data in example("jobs")["jobs"]:
        Draft202012Validator(schema_of("request", data=True)).validate(data)
        event = {**example("single"), "id": data["id"]} | {"data": data}
        assert Request.of(build(event, event.pop("data"))).id == data["id"]


def test_control_event_is_accepted_by_schema_and_controller() -> None:
    Draft202012Validator(schema_of("control")).validate(example("cancel"))
    assert parse_control(event_of("cancel")).request_source == "/shop/orders"


async def test_each_request_ends_with_the_result_that_it_shows(broker: MemoryBroker, cluster: Cluster) -> None:
    await provide(cluster)
    async with running(broker, cluster, **POLICY) as client:
        await client.publish(*(event_of(name) for name in REQUESTS))
        for name, expected in RESULTS.items():
            ended = await client.ended(Request.of(event_of(name)).id, seconds=40)
            assert (name, ended.get_type().rpartition(".")[2]) == (name, "succeeded"), detail(ended)
            assert result_of(detail(ended)) == expected, name
        await gpus_are_asked_for(client, cluster)
        await report_runs_by_hand(client, cluster)


async def test_function_makes_a_thumbnail_of_the_uploaded_image(broker: MemoryBroker, cluster: Cluster) -> None:
    Draft202012Validator(schema_of("functions")).validate(example("functions"))
    async with running(broker, cluster, functions=EXAMPLES / "functions.yaml") as client:
        await client.publish(event_of("image-uploaded"))
        ended = await client.ended("thumbnail/image-1")
    url = "https://images.example/entrance/2026-11-22.jpg"
    assert detail(ended)["result"] == {"of": url, "width": 200, "height": 150}
    assert detail(ended)["service"] == "thumbnail"


def result_of(outcome: dict[str, Any]) -> Any:
    """The results of its pods if it lists them, else its only result; None when no pod left a result."""
    results = [pod["result"] for pod in outcome.get("results", ()) if "result" in pod]
    return results or outcome.get("result")


async def gpus_are_asked_for(client: Client, cluster: Cluster) -> None:
    """The development cluster has no GPU: the Job waits for a node that has one."""
    created = detail(await client.reached("gpu", "created"))
    job = await cluster.read_job("default", created["jobName"])
    container = job["spec"]["template"]["spec"]["containers"][0]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "2"
    stalled = detail(await client.reached("gpu", "stalled"))
    assert stalled["error"]["errorCode"] == "UNSCHEDULABLE"


async def report_runs_by_hand(client: Client, cluster: Cluster) -> None:
    """The report is due at night, so it is run by hand."""
    scheduled = detail(await client.reached("nightly-report", "scheduled"))
    assert scheduled["nextRun"][11:] in ("01:00:00Z", "02:00:00Z")
    (cron_job,) = await cluster.list_cron_jobs("default", "")
    await cluster.create_job(by_hand(cron_job))
    (job,) = [job for job in await cluster.list_jobs("default", "") if job["metadata"]["name"] == "by-hand"]
    time = job["metadata"]["creationTimestamp"]
    ended = detail(await client.ended(f"nightly-report@{time}"))
    assert ended["result"] == {"reported": time[:10]}
    assert ended["scheduledFor"] == time


async def provide(cluster: Cluster) -> None:
    """Create what the examples expect in their namespace."""
    url = base64.b64encode(b"postgres://db.example/customers").decode()
    await cluster.create_secret(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "migration-database", "namespace": "default"},
            "data": {"DATABASE_URL": url},
        }
    )
    settings = {"metadata": {"name": "billing-settings"}, "data": {"CURRENCY": "EUR"}}
    await cluster.client.request("POST", "/api/v1/namespaces/default/configmaps", body=settings)
    claim = {
        "metadata": {"name": "billing-data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    await cluster.client.request("POST", "/api/v1/namespaces/default/persistentvolumeclaims", body=claim)
