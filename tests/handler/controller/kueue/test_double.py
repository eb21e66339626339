"""The double does what was seen of Kueue 0.19: else the tests beside this one would show little."""

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest

from adapters.memory import MemoryBroker
from k8s.api.client import STRATEGIC_MERGE
from k8s.api.cluster import Cluster
from k8s.base import Conflict, Manifest, NotFound
from tests.handler.jobs import gone, job_of, name_of
from tests.handler.relay import running
from tests.handler.samples import make_request, until, waits_for
from tests.kueue import NODES, STOPPING, Kueue, Webhooks, changes

JOBS = "/apis/batch/v1/namespaces/default/jobs"
PODSET = "kueue.x-k8s.io/podset"


async def created(cluster: Cluster, name: str, script: str, *, pods: int = 1) -> Manifest:
    """A Job in a queue, as somebody without jobrelay makes it."""
    container = {"name": "main", "image": "busybox:1", "command": ["sh", "-c", script]}
    spec = {
        "suspend": True,
        "parallelism": pods,
        "completions": pods,
        "template": {"spec": {"containers": [container], "restartPolicy": "Never"}},
    }
    metadata = {"name": name, "namespace": "default", "labels": {"kueue.x-k8s.io/queue-name": "team"}}
    await cluster.create_job({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec})
    return await cluster.read_job("default", name)


async def states(cluster: Cluster) -> list[tuple[bool, bool, bool, bool]]:
    """What a watch shows of the only Job until its stop is over: (suspended, has a start time, Suspended, stopping)."""
    seen = []
    async with cluster.client.stream(JOBS, params={"watch": "true"}) as pieces:
        async for event in changes(pieces):
            job = event["object"]
            stopping = STOPPING in job["metadata"].get("annotations", {})
            seen.append((job["spec"]["suspend"], "startTime" in job["status"], suspended(job) == "True", stopping))
            if len(seen) > 1 and seen[-2][3] and not stopping:
                break
    return seen


def suspended(job: Manifest) -> str | None:
    """The status of condition Suspended; None if there is none."""
    found = [one["status"] for one in job["status"].get("conditions", ()) if one["type"] == "Suspended"]
    return found[0] if found else None


async def running_pods(cluster: Cluster, job: Manifest) -> bool:
    return any(pod.phase == "Running" for pod in await cluster.pods_of("default", job["metadata"]["uid"]))


async def has_workload(cluster: Cluster, job: Manifest) -> bool:
    listed = orjson.loads(await cluster.client.request("GET", "/api/v1/namespaces/default/configmaps"))
    owners = [one["uid"] for item in listed["items"] for one in item["metadata"].get("ownerReferences", ())]
    return job["metadata"]["uid"] in owners


async def is_gone(cluster: Cluster, name: str) -> bool:
    try:
        await cluster.read_job("default", name)
    except NotFound:
        return True
    return False


async def test_an_admission_writes_the_template_before_kubernetes_has_looked_at_the_job(
    cluster: Cluster, kueue: Kueue, tmp_path: Path
) -> None:
    before = await created(cluster, "job", waits_for(tmp_path / "never"), pods=3)
    await kueue.admit("job", pods=2)
    job = await cluster.read_job("default", "job")
    assert suspended(job) is None
    assert (job["spec"]["parallelism"], job["spec"]["completions"]) == (2, 3)
    template = job["spec"]["template"]
    assert template["metadata"]["labels"][PODSET] == "main"
    assert template["spec"]["nodeSelector"] == NODES
    await until(partial(running_pods, cluster, job))
    await kueue.evict("job")
    after = await cluster.read_job("default", "job")
    assert after["spec"] == before["spec"]


async def test_an_evicted_job_loses_its_start_time_before_kubernetes_calls_it_suspended(
    cluster: Cluster, kueue: Kueue, tmp_path: Path
) -> None:
    job = await created(cluster, "job", waits_for(tmp_path / "never"))
    await kueue.admit("job")
    await until(partial(running_pods, cluster, job))
    async with asyncio.TaskGroup() as group:
        seen = group.create_task(states(cluster))
        await kueue.evict("job")
    distinct = list(dict.fromkeys(seen.result()))
    running_, stopped, unnoticed, noticed, over = distinct[0], *distinct[-4:]
    assert running_ == (False, True, False, False)
    assert (stopped, unnoticed) == ((True, True, False, True), (True, False, False, True))
    assert (noticed, over) == ((True, False, True, True), (True, False, True, False))


async def test_its_writes_lose_to_ours_and_are_repeated(
    cluster: Cluster, kueue: Kueue, webhooks: Webhooks, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    await created(cluster, "job", waits_for(tmp_path / "never"))
    refused: list[Conflict] = []
    send = webhooks.request

    async def racing(method: str, path: str, **options: Any) -> bytes:
        """The first write of Kueue's meets a Job that has changed since it was read."""
        if method == "PATCH" and "resourceVersion" in options["body"].get("metadata", {}) and not refused:
            patch = {"metadata": {"annotations": {"example.com/note": "x"}}}
            await send("PATCH", path, body=patch, content_type=STRATEGIC_MERGE)
            with pytest.raises(Conflict) as caught:
                await send(method, path, **options)
            refused.append(caught.value)
            raise caught.value
        return await send(method, path, **options)

    monkeypatch.setattr(webhooks, "request", racing)
    await kueue.admit("job")
    assert refused
    assert not (await cluster.read_job("default", "job"))["spec"]["suspend"]


async def test_a_deleted_job_waits_for_its_workload(cluster: Cluster, kueue: Kueue) -> None:
    job = await created(cluster, "job", "true")
    await until(partial(has_workload, cluster, job))
    clock = asyncio.get_running_loop().time
    began = clock()
    await cluster.delete_job("default", "job")
    await until(partial(is_gone, cluster, "job"))
    assert clock() - began > 0.1


@pytest.mark.parametrize("manages_all", [True])
async def test_a_job_that_runs_without_being_admitted_is_stopped_at_once(
    cluster: Cluster, kueue: Kueue, tmp_path: Path
) -> None:
    await created(cluster, "job", waits_for(tmp_path / "never"))
    await cluster.patch_job("default", "job", {"spec": {"suspend": False}})

    async def is_suspended() -> bool:
        return bool((await cluster.read_job("default", "job"))["spec"]["suspend"])

    await until(is_suspended)


async def test_nothing_is_lost_while_kueue_is_down(
    broker: MemoryBroker, cluster: Cluster, kueue: Kueue, webhooks: Webhooks
) -> None:
    async with running(broker, cluster, kueue_queue="team") as client:
        await client.queued(make_request("before"))
        webhooks.down = True
        await client.publish(make_request("during"))
        await cluster.delete_job("default", name_of("before"))  # It takes our finalizer off, which Kueue has to see.

        async def is_deleted() -> bool:
            return "deletionTimestamp" in (await job_of(cluster, "before"))["metadata"]

        await until(is_deleted)
        assert not await client.events("during")
        webhooks.down = False
        assert (await client.ended("before")).get_type().endswith("cancelled")
        await gone(cluster, "before")
        await client.reached("during", "queued")
