"""A copy of a Job of ours has its labels, annotations and finalizer, and is no request's Job all the same."""

import asyncio
import copy
from pathlib import Path
from typing import Any

import pytest

from adapters.memory import MemoryBroker
from events.names import FINALIZER, Annotation
from events.phases import TERMINAL
from handler.operations import jobs
from handler.settings.settings import Settings
from k8s.api.cluster import Cluster
from k8s.base import Manifest
from k8s.devcluster.loops import Options
from tests.handler.controller.scheduling import cron_jobs, make_schedule
from tests.handler.jobs import is_finished, job_of, name_of, without_finalizer
from tests.handler.relay import Client, detail, phase_of, running
from tests.handler.samples import make_command, make_request, until, waits_for


@pytest.fixture
def running_options() -> Options:
    return Options(backoff=0.5, cron_minute=2.0)


def copy_of(original: Manifest, name: str, *, namespace: str = "default") -> Manifest:
    """What `kubectl get -o yaml` shows, under another name, without what Kubernetes would not take."""
    made = copy.deepcopy(original)
    for field in ("uid", "resourceVersion", "creationTimestamp", "generation"):
        made["metadata"].pop(field, None)
    made.pop("status", None)
    made["spec"].pop("selector", None)
    for labels in (made["metadata"]["labels"], made["spec"].get("template", {}).get("metadata", {}).get("labels", {})):
        for label in [label for label in labels if label.endswith(("controller-uid", "job-name"))]:
            del labels[label]
    made["metadata"] |= {"name": name, "namespace": namespace}
    return made


async def let_go(cluster: Cluster, name: str, namespace: str = "default") -> Manifest:
    async def look() -> Manifest | None:
        job = await cluster.read_job(namespace, name)
        return None if FINALIZER in job["metadata"].get("finalizers", ()) else job

    return await until(look)


async def ends(client: Client, request_id: str) -> list[str]:
    return [phase for phase in await client.phases(request_id) if phase in TERMINAL]


def counted(client: Client, reason: str = "copy") -> float:
    found = client.state.metrics.registry.get_sample_value("jobrelay_jobs_disowned_total", {"reason": reason})
    return found or 0.0


NAMES = ["by-hand", "{}-copy", "{}-2", "{}-3", "copy-of-{}", "other-{}"]


@pytest.mark.parametrize("old", [False, True], ids=["", "of an earlier version"])
async def test_a_copy_is_let_go_and_told_of_in_no_event(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path, old: bool, caplog: pytest.LogCaptureFixture
) -> None:
    names = [pattern.format(name_of("real")) for pattern in (NAMES[:4] if old else NAMES)]
    async with running(broker, cluster) as client:
        await client.publish(make_request("real", script=waits_for(tmp_path / "go")))
        await client.reached("real", "started")
        original = await job_of(cluster, "real")
        if old:
            marks = original["spec"]["template"]["metadata"]["annotations"]
            for mark in (Annotation.JOB, Annotation.ID, Annotation.SOURCE):
                del marks[mark]
        for name in names:
            await cluster.create_job(copy_of(original, name))
            assert (await let_go(cluster, name))["spec"].get("ttlSecondsAfterFinished") is None
        await until(lambda: _all_counted(client, len(names)))
        assert len([record for record in caplog.records if "a copy" in record.getMessage()]) == len(names)
        (tmp_path / "go").touch()
        await client.ended("real")
        await without_finalizer(cluster, "real")
        late = f"{name_of('real')}-late"
        await cluster.create_job(copy_of(original, late))
        await let_go(cluster, late)
        await cluster.delete_job("default", name_of("real"))
        await until(lambda: _is_gone(cluster, name_of("real")))
        await cluster.create_job(copy_of(original, "later-still"))
        await let_go(cluster, "later-still")
        assert await client.phases("real") == ["created", "started", "succeeded"]


async def _all_counted(client: Client, count: int, reason: str = "copy") -> bool:
    """Whether as many were let go: it is counted after the write that others see."""
    return counted(client, reason) == count


async def _is_gone(cluster: Cluster, name: str) -> bool:
    return name not in {job["metadata"]["name"] for job in await cluster.list_jobs("default", "")}


async def test_a_copy_in_another_namespace_keeps_its_name_and_is_let_go(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path
) -> None:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}}
    await cluster.client.request("POST", "/api/v1/namespaces", body=namespace)
    async with running(broker, cluster, namespaces="default,team") as client:
        await client.publish(make_request("real", script=waits_for(tmp_path / "go")))
        await client.reached("real", "started")
        original = await job_of(cluster, "real")
        await cluster.create_job(copy_of(original, name_of("real"), namespace="team"))
        await let_go(cluster, name_of("real"), "team")
        (tmp_path / "go").touch()
        await client.ended("real")
        await without_finalizer(cluster, "real")
        assert await ends(client, "real") == ["succeeded"]


async def test_neither_a_command_nor_get_mistakes_a_copy_for_the_job(
    broker: MemoryBroker, cluster: Cluster, devcluster: Any
) -> None:
    async with running(broker, cluster, control_wait=0.5) as client:
        await client.publish(make_request("real", script="sleep 600"))
        await client.reached("real", "started")
        original = await job_of(cluster, "real")
        await cluster.create_job(copy_of(original, "by-hand"))
        await let_go(cluster, "by-hand")
        settings = Settings.from_env(
            {"JOBRELAY_KUBECONFIG": str(devcluster.kubeconfig), "JOBRELAY_NAMESPACES": "default"}
        )
        found = await jobs.find(cluster, settings, request_id="real", skipped=print)
        assert [item.job.name for item in found] == [name_of("real")]
        await client.command(make_command("cancel", "real"))
        assert detail(await client.reached("command-1", "accepted"))["jobs"] == [name_of("real")]
        await client.ended("real")
        await without_finalizer(cluster, "real")
        await cluster.delete_job("default", name_of("real"))
        await until(lambda: _is_gone(cluster, name_of("real")))
        await client.command(make_command("cancel", "real", event_id="again"))
        assert detail(await client.reached("again", "rejected"))["error"]["errorCode"] == "UNKNOWN"
        left = await cluster.read_job("default", "by-hand")
        assert Annotation.VERDICT not in left["metadata"]["annotations"]


async def test_a_copy_takes_no_room_and_satisfies_no_dependency(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path
) -> None:
    # Whoever runs second, the copy, goes on for a long time.
    script = f'mkdir "{tmp_path}/first" || exec sleep 600; {waits_for(tmp_path / "go")}'
    async with running(broker, cluster, max_active=1) as client:
        await client.publish(make_request("real", script=script))
        await until(lambda: _is_there(tmp_path / "first"))
        for name in ("runs", "fails"):
            await cluster.create_job(copy_of(await job_of(cluster, "real"), name))
            await let_go(cluster, name)
        await cluster.patch_job("default", "fails", {"spec": {"activeDeadlineSeconds": 1}})
        await until(lambda: _has_failed(cluster, "fails"))
        await client.publish(make_request("dependent", dependencies=["real"]))
        assert detail(await client.reached("dependent", "queued"))["reason"] == "dependencies"
        (tmp_path / "go").touch()
        assert phase_of(await client.ended("dependent")) == "succeeded"
        assert (await cluster.read_job("default", "runs"))["status"]["active"] == 1


async def _is_there(path: Path) -> bool:
    return await asyncio.to_thread(path.exists)


async def _has_failed(cluster: Cluster, name: str) -> bool:
    conditions = (await cluster.read_job("default", name)).get("status", {}).get("conditions", [])
    return any(condition["type"] == "Failed" for condition in conditions)


async def test_a_copy_of_an_attempt_is_no_attempt_even_if_it_has_the_name_of_the_next(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path
) -> None:
    script = f"{waits_for(tmp_path / 'go')}; exit 1"
    async with running(broker, cluster) as client:
        await client.publish(make_request("twice", script=script, retries=1, retryDelay=1))
        await client.publish(make_request("taken", script=script, retries=1, retryDelay=1))
        for request_id in ("twice", "taken"):
            await client.reached(request_id, "started")
        await cluster.create_job(copy_of(await job_of(cluster, "taken"), f"{name_of('taken')}-2"))
        await let_go(cluster, f"{name_of('taken')}-2")
        (tmp_path / "go").touch()
        assert "exists and is not of this request" in detail(await client.ended("taken"))["error"]["message"]
        second = await until(lambda: _suspended(cluster, f"{name_of('twice')}-2"))
        await cluster.create_job(copy_of(second, f"{name_of('twice')}-3"))
        await let_go(cluster, f"{name_of('twice')}-3")
        assert detail(await client.ended("twice"))["attempt"] == 2
        assert (await ends(client, "twice"), await ends(client, "taken")) == (["failed"], ["failed"])


async def _suspended(cluster: Cluster, name: str) -> Manifest | None:
    return next((job for job in await cluster.list_jobs("default", "") if job["metadata"]["name"] == name), None)


async def test_a_copy_of_a_schedule_is_let_go_and_suspended_and_one_of_its_run_as_well(
    broker: MemoryBroker, cluster: Cluster
) -> None:
    async with running(broker, cluster) as client:
        await client.publish(make_schedule(script="sleep 1", maxRuns=1))
        await client.reached("s", "scheduled")
        (original,) = await cron_jobs(cluster)
        made = copy_of(original, "by-hand")
        await cluster.create_cron_job(made)
        assert (await until(lambda: _schedule_let_go(cluster, "by-hand")))["spec"]["suspend"] is True
        run = await until(lambda: _adopted(cluster))
        await cluster.create_job(copy_of(run, "run-by-hand"))
        await let_go(cluster, "run-by-hand")
        await cluster.create_job(copy_of(run, f"{run['metadata']['name']}-2"))
        await let_go(cluster, f"{run['metadata']['name']}-2")
        run_id = run["metadata"]["annotations"][Annotation.ID]
        await client.ended(run_id)
        await let_go(cluster, run["metadata"]["name"])
        assert await ends(client, run_id) == ["succeeded"]
        assert await client.phases("s") == ["scheduled"] or (await client.phases("s"))[-1] == "unscheduled"
        await until(lambda: _all_counted(client, 3))


async def _schedule_let_go(cluster: Cluster, name: str) -> Manifest | None:
    found = await cluster.read_cron_job("default", name)
    return None if FINALIZER in found["metadata"].get("finalizers", ()) else found


async def _adopted(cluster: Cluster) -> Manifest | None:
    jobs = await cluster.list_jobs("default", "")
    return next((job for job in jobs if FINALIZER in job["metadata"].get("finalizers", ())), None)


async def test_a_job_that_does_not_say_whose_it_is_is_let_go(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster) as client:
        await client.publish(make_request("real", script="sleep 600"))
        await client.reached("real", "started")
        nobody = copy_of(await job_of(cluster, "real"), "nobody")
        nobody["metadata"]["annotations"] = {}
        nobody["spec"]["template"]["metadata"]["annotations"] = {Annotation.JOB: "default/nobody"}
        nobody["spec"]["template"]["spec"]["containers"][0]["env"] = []
        await cluster.create_job(nobody)
        await let_go(cluster, "nobody")
        await until(lambda: _all_counted(client, 1, "unidentified"))
        assert not await is_finished(cluster, "real")
        assert await ends(client, "real") == []
