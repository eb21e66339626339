"""What stands on a Job as its failover is judged as if it came from a broker, before anything tells of it."""

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest

from adapters.memory import MemoryBroker
from events.identity import Identity
from events.names import Annotation
from events.request.request import Request, check_request
from events.request.rules import MAX_FAILOVER
from k8s.api.client import STRATEGIC_MERGE
from k8s.api.cluster import Cluster
from k8s.manifests.job import render
from k8s.manifests.options import ManifestOptions
from tests.handler.jobs import name_of, our_jobs, without_finalizer
from tests.handler.relay import Client, code_of, detail, running
from tests.handler.samples import make_request, waits_for

OTHER = {"job": {"image": "busybox:1", "command": ["true"]}}
WRITTEN: dict[str, tuple[Any, str]] = {
    "another image": ({"image": "evil:1"}, "job.image"),
    "a secret": ({"image": "busybox:1", "envRef": [{"name": "keys", "type": "secret"}]}, "job.envRef[0].name"),
    "another namespace": ({"image": "busybox:1", "namespace": "team"}, "job.namespace"),
    "a host path": ({"image": "busybox:1", "volumes": [{"mountPath": "/x", "hostPath": "/"}]}, "job.volumes[0]."),
    "too much": ({"image": "busybox:1", "args": ["x" * 64] * (MAX_FAILOVER // 32)}, ""),
}


async def _write(cluster: Cluster, request_id: str, failover: Any) -> None:
    patch = {"metadata": {"annotations": {Annotation.FAILOVER: orjson.dumps(failover).decode()}}}
    path = f"/apis/batch/v1/namespaces/default/jobs/{name_of(request_id)}"
    await cluster.client.request("PATCH", path, body=patch, content_type=STRATEGIC_MERGE)


async def _refusal(client: Client, cluster: Cluster, request_id: str) -> dict[str, Any]:
    """The only `rejected` of its failover, once its finalizer is gone."""
    assert "failover" not in detail(await client.ended(request_id))
    await without_finalizer(cluster, request_id)
    (event,) = await client.events(f"{request_id}/failover")
    failed = await client.ended(request_id)
    assert event.get_extension("causationid") == failed.get_id()
    told: dict[str, Any] = detail(event)["error"]
    return told


async def test_what_somebody_wrote_as_a_failover_is_refused_and_told_of_once(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path
) -> None:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}}
    await cluster.client.request("POST", "/api/v1/namespaces", body=namespace)
    ids = {what: f"r-{number}" for number, what in enumerate(WRITTEN)}
    async with running(broker, cluster, namespaces="default,team", images="busybox*") as client:
        script = f"{waits_for(tmp_path / 'go')}; exit 1"
        await client.publish(*(make_request(one, script=script, failover=OTHER) for one in ids.values()))
        for what, request_id in ids.items():
            await client.reached(request_id, "started")
            await _write(cluster, request_id, WRITTEN[what][0])
        (tmp_path / "go").touch()
        for what, request_id in ids.items():
            error = await _refusal(client, cluster, request_id)
            allowed = "INVALID_REQUEST" if what in ("a host path", "too much") else "FORBIDDEN"
            assert error["errorCode"] == allowed, what
            assert WRITTEN[what][1] in error["message"], what
            assert "evil" not in error["message"]
    assert len(await our_jobs(cluster)) == len(WRITTEN)
    assert await cluster.list_jobs("team", "") == []


async def test_a_request_may_not_send_its_failover_into_another_namespace(
    broker: MemoryBroker, cluster: Cluster
) -> None:
    async with running(broker, cluster, namespaces="default,team") as client:
        away = {"job": {**OTHER["job"], "namespace": "team"}}
        await client.publish(make_request("away", failover=away))
        error = detail(await client.reached("away", "rejected"))["error"]
        assert (error["errorCode"], error["fields"][0]["path"]) == ("FORBIDDEN", "failover.job.namespace")
        home = {"job": {**OTHER["job"], "namespace": "default"}}
        await client.publish(make_request("home", script="exit 1", failover=home))
        await client.ended("home/failover")


@pytest.mark.parametrize("code", ["NAME_TAKEN", "ID_REUSED"])
async def test_a_failover_whose_name_is_taken_is_told_of(broker: MemoryBroker, cluster: Cluster, code: str) -> None:
    identity = Identity(f"/namespaces/default/jobs/{name_of('breaks')}", "breaks/failover")
    event = make_request("breaks/failover")
    request = Request(identity, check_request({"service": "tests", **OTHER}), event)
    taken = render(request, options=ManifestOptions(namespace="default", broker="")).job
    taken["spec"]["suspend"] = True
    if code == "NAME_TAKEN":
        taken["metadata"] = {"name": request.job_name, "namespace": "default"}
    await cluster.create_job(taken)
    async with running(broker, cluster) as client:
        await client.publish(make_request("breaks", script="exit 1", failover=OTHER))
        assert code_of(await client.reached("breaks/failover", "rejected")) == code
        await without_finalizer(cluster, "breaks")


async def test_a_failover_that_a_former_leader_made_is_not_told_of_as_refused(
    broker: MemoryBroker, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have seen another tail of the log, and so another event."""
    crashed = asyncio.Event()
    original = type(cluster).patch_job_unread

    async def patching(self: Cluster, namespace: str, name: str, patch: Any) -> Any:
        ends = name == name_of("breaks") and "$deleteFromPrimitiveList/finalizers" in patch["metadata"]
        if ends and not crashed.is_set():
            crashed.set()
            made = next(job for job in await our_jobs(cluster) if job["metadata"]["name"] != name)
            path = f"/apis/batch/v1/namespaces/default/jobs/{made['metadata']['name']}"
            other = {"metadata": {"annotations": {Annotation.REQUEST_SHA: "0" * 64}}}
            await cluster.client.request("PATCH", path, body=other, content_type=STRATEGIC_MERGE)
            raise RuntimeError("a crash")
        return await original(self, namespace, name, patch)

    monkeypatch.setattr(type(cluster), "patch_job_unread", patching)
    async with running(broker, cluster) as client:
        await client.publish(make_request("breaks", script="exit 1", failover=OTHER))
        await client.ended("breaks")
        await without_finalizer(cluster, "breaks")
        assert crashed.is_set()
        await client.ended("breaks/failover")
        assert "rejected" not in await client.phases("breaks/failover")
