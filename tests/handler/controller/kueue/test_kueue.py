"""Jobs that Kueue admits, over the whole path. Kueue itself is not installed: `tests.kueue` plays its part."""

from pathlib import Path
from typing import Any

import pytest

from adapters.memory import MemoryBroker
from events.cloudevent.timestamp import parse_epoch
from events.jobs.observed import Verdict
from events.names import Annotation
from events.phases import Phase
from k8s.api.cluster import Cluster
from k8s.kueue import GATED_BY, PRIORITY_CLASS, QUEUE_NAME
from k8s.manifests.pod import payload_name
from tests.handler.intake.functions import make_event, make_function, write
from tests.handler.jobs import gone, job_of, name_of, without_finalizer
from tests.handler.relay import detail, running
from tests.handler.samples import make_command, make_request, until, waits_for
from tests.kueue import Kueue

KEEP = "example.com/held"
"""A finalizer that keeps a deleted Job, so that a test can look at it."""


async def test_a_job_waits_for_kueue_and_runs_once_kueue_admits_it(
    broker: MemoryBroker, cluster: Cluster, kueue: Kueue
) -> None:
    async with running(broker, cluster, kueue_queue="team") as client:
        await client.queued(make_request("one"))
        job = await job_of(cluster, "one")
        assert job["spec"]["suspend"] is True
        assert job["metadata"]["labels"][QUEUE_NAME] == "team"
        assert not {Annotation.QUEUED, Annotation.RELEASED, GATED_BY} & job["metadata"]["annotations"].keys()
        queued = await client.reached("one", "queued")
        assert queued.get_id() == f"{job['metadata']['uid']}/queued/kueue"
        assert detail(queued)["reason"] == "kueue"
        assert "position" not in detail(queued)
        await client.state.measure()
        registry = client.state.metrics.registry
        assert registry.get_sample_value("jobrelay_jobs", {"phase": "queued"}) == 1
        await kueue.admit(name_of("one"))
        await client.ended("one")
        assert await client.phases("one") == ["created", "queued", "started", "succeeded"]
        job = await without_finalizer(cluster, "one")
        assert Annotation.RELEASED in job["metadata"]["annotations"]
        assert job["spec"]["ttlSecondsAfterFinished"] == 300


async def test_eviction_and_the_next_admission_are_reported_as_done_by_kueue(
    broker: MemoryBroker, cluster: Cluster, kueue: Kueue, tmp_path: Path
) -> None:
    async with running(broker, cluster, kueue_queue="team") as client:
        await client.queued(make_request("moved", script=waits_for(tmp_path / "go")))
        await kueue.admit(name_of("moved"))
        await client.reached("moved", "started")
        await kueue.evict(name_of("moved"))
        assert detail(await client.reached("moved", "suspended"))["by"] == "kueue"
        await kueue.admit(name_of("moved"))
        assert detail(await client.reached("moved", "resumed"))["by"] == "kueue"
        (tmp_path / "go").touch()
        await client.ended("moved")
        phases = await client.phases("moved")
        assert phases == ["created", "queued", "started", "suspended", "resumed", "succeeded"]


async def test_an_admission_by_kueue_while_there_was_no_leader_is_no_resumption(
    broker: MemoryBroker, cluster: Cluster, kueue: Kueue
) -> None:
    async with running(broker, cluster, kueue_queue="team") as client:
        await client.queued(make_request("alone"))
    await kueue.admit(name_of("alone"))

    async def over() -> bool:
        return bool((await job_of(cluster, "alone")).get("status", {}).get("completionTime"))

    await until(over)
    async with running(broker, cluster, kueue_queue="team") as client:
        await client.ended("alone")
        assert await client.phases("alone") == ["created", "queued", "started", "succeeded"]


@pytest.mark.parametrize("started", [False, True])
async def test_cancel_deletes_the_job_and_is_answered(
    broker: MemoryBroker, cluster: Cluster, kueue: Kueue, tmp_path: Path, started: bool
) -> None:
    async with running(broker, cluster, kueue_queue="team") as client:
        await client.queued(make_request("stop", script=waits_for(tmp_path / "never")))
        if started:
            await kueue.admit(name_of("stop"))
            await client.reached("stop", "started")
        await client.command(make_command("cancel", "stop"))
        end = await client.ended("stop")
        assert detail(end)["error"]["errorCode"] == "CANCELLED"
        expected = ["created", "queued", *(["started"] if started else []), "cancelled"]
        assert await client.phases("stop") == expected
        assert (await client.events("command-1"))[0].get_type().endswith(".accepted")
        await gone(cluster, "stop")
        assert await cluster.pods_of("default", end.get_id().partition("/")[0]) == []


async def test_a_verdict_leaves_it_to_kueue_whether_the_job_is_suspended(
    broker: MemoryBroker, cluster: Cluster
) -> None:
    async with running(broker, cluster, kueue_queue="team") as client:
        await client.queued(make_request("kept"))
        await cluster.patch_job("default", name_of("kept"), {"metadata": {"finalizers": [KEEP]}})
        before = (await job_of(cluster, "kept"))["spec"]
        await client.command(make_command("cancel", "kept"))
        await client.ended("kept")
        job = await job_of(cluster, "kept")
        assert job["spec"] == before
        assert "deletionTimestamp" in job["metadata"]
        assert await client.phases("kept") == ["created", "queued", "cancelled"]


async def test_the_start_timeout_begins_once_kueue_has_admitted_the_job(
    broker: MemoryBroker, cluster: Cluster, kueue: Kueue
) -> None:
    async with running(broker, cluster, kueue_queue="team") as client:
        await client.queued(make_request("pull", startTimeout=1, job={"image": "missing/image:1", "command": ["x"]}))
        made = (await job_of(cluster, "pull"))["metadata"]["creationTimestamp"]

        async def waits_for_longer() -> bool:
            return cluster.server_time() > parse_epoch(made) + 2.5

        await until(waits_for_longer)
        assert await client.phases("pull") == ["created", "queued"]
        await kueue.admit(name_of("pull"))
        assert detail(await client.ended("pull"))["error"]["errorCode"] == "START_TIMEOUT"
        await gone(cluster, "pull")


async def test_a_job_deleted_from_outside_is_cancelled(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster, kueue_queue="team") as client:
        await client.queued(make_request("del"))
        await cluster.delete_job("default", name_of("del"))
        assert detail(await client.ended("del"))["error"]["errorCode"] == "DELETED"
        await gone(cluster, "del")


async def test_the_next_leader_deletes_a_job_that_a_dead_leader_gave_a_verdict(
    broker: MemoryBroker, cluster: Cluster
) -> None:
    async with running(broker, cluster, kueue_queue="team") as client:
        await client.queued(make_request("half"))
    verdict = Verdict(phase=Phase.FAILED, error_code="TIMEOUT", message="too late", at=cluster.server_time())
    patch = {"metadata": {"annotations": {Annotation.VERDICT: verdict.to_annotation()}}}
    await cluster.patch_job("default", name_of("half"), patch)
    async with running(broker, cluster) as client:
        assert detail(await client.ended("half"))["error"] == {"errorCode": "TIMEOUT", "message": "too late"}
        await gone(cluster, "half")


@pytest.mark.parametrize("verb", ["suspend", "resume"])
async def test_commands_do_not_decide_when_a_job_in_kueue_runs(
    broker: MemoryBroker, cluster: Cluster, verb: str
) -> None:
    async with running(broker, cluster, kueue_queue="team") as client:
        await client.queued(make_request("hands-off"))
        await client.command(make_command(verb, "hands-off"))
        error = detail(await client.reached("command-1", "rejected"))["error"]
        assert error["errorCode"] == "FORBIDDEN"
        assert "Kueue decides" in error["message"]
        assert (await job_of(cluster, "hands-off"))["spec"]["suspend"] is True


@pytest.mark.parametrize(
    ("field", "asked"),
    [
        ("concurrency", {"concurrency": {"key": "k"}}),
        ("exclusive", {"exclusive": True}),
        ("dependencies", {"dependencies": ["other"]}),
        ("runAt", {"runAt": "2026-01-01T00:00:00Z"}),
        ("retryDelay", {"retries": 1, "retryDelay": 1}),
        ("schedule", {"schedule": "@hourly"}),
    ],
)
async def test_a_request_that_needs_our_admission_is_refused_where_kueue_decides(
    broker: MemoryBroker, cluster: Cluster, field: str, asked: dict[str, Any]
) -> None:
    async with running(broker, cluster, kueue_queue="team", admission="off") as client:
        await client.publish(make_request("asks", priority=5, **asked))
        error = detail(await client.reached("asks", "rejected"))["error"]
        assert error["errorCode"] == "ADMISSION_OFF"
        assert [(problem["path"], "Kueue decides" in problem["message"]) for problem in error["fields"]] == [
            (field, True)
        ]
        assert await cluster.list_jobs("default", "") == []


async def test_priorities_become_priority_classes_of_kueue(broker: MemoryBroker, cluster: Cluster) -> None:
    classes = ("500=high", "0=low")
    async with running(broker, cluster, kueue_queue="team", kueue_priority_classes=classes) as client:
        for priority, expected in ((None, "low"), (499, "low"), (500, "high"), (1000, "high")):
            fields: dict[str, Any] = {} if priority is None else {"priority": priority}
            await client.queued(make_request(f"p-{priority}", **fields))
            labels = (await job_of(cluster, f"p-{priority}"))["metadata"]["labels"]
            assert labels[PRIORITY_CLASS] == expected


async def test_a_large_event_is_stored_before_kueue_may_start_the_job(
    broker: MemoryBroker, cluster: Cluster, kueue: Kueue
) -> None:
    async with running(broker, cluster, kueue_queue="team", inline_bytes=0) as client:
        await client.queued(make_request("large", script='test -s "$JOBRELAY_EVENT_PATH"'))
        job = await job_of(cluster, "large")
        assert not {Annotation.PAYLOAD, Annotation.RELEASED, GATED_BY} & job["metadata"]["annotations"].keys()
        assert job["spec"]["suspend"] is True
        await cluster.read_secret("default", payload_name(name_of("large")))
        await kueue.admit(name_of("large"))
        assert (await client.ended("large")).get_type().endswith("succeeded")


async def test_a_failover_job_goes_to_kueue_too(broker: MemoryBroker, cluster: Cluster, kueue: Kueue) -> None:
    async with running(broker, cluster, kueue_queue="team") as client:
        other = {"job": {"image": "busybox:1", "command": ["true"]}}
        await client.publish(make_request("breaks", timeout=2, failover=other))
        end = detail(await client.ended("breaks"))
        assert (end["error"]["errorCode"], end["failover"]) == ("TIMEOUT", {"id": "breaks/failover"})
        await gone(cluster, "breaks")
        queued = await client.reached("breaks/failover", "queued")
        name = queued.get_source().rpartition("/")[2]
        await kueue.admit(name)
        assert (await client.ended("breaks/failover")).get_type().endswith("succeeded")


async def test_a_job_in_the_queue_of_a_function_takes_no_room_of_ours(
    broker: MemoryBroker, cluster: Cluster, kueue: Kueue, tmp_path: Path
) -> None:
    function = make_function(script=waits_for(tmp_path / "go"), queueName="batch", queue={"priority": 7})
    path = write(tmp_path / "f.yaml", function)
    settings: dict[str, Any] = {"functions": path, "max_active": 1, "kueue_priority_classes": ("5=five",)}
    async with running(broker, cluster, **settings) as client:
        await client.publish(make_event("e1"))
        queued = await client.reached("thumbnail/e1", "queued")
        name = queued.get_source().rpartition("/")[2]
        job = await cluster.read_job("default", name)
        assert (job["metadata"]["labels"][QUEUE_NAME], job["metadata"]["labels"][PRIORITY_CLASS]) == ("batch", "five")
        await kueue.admit(name)
        await client.reached("thumbnail/e1", "started")
        await client.publish(make_request("ours"), make_request("after", dependencies=["thumbnail/e1"]))
        await client.ended("ours")
        assert await client.phases("ours") == ["created", "started", "succeeded"]
        assert detail(await client.reached("after", "queued"))["reason"] == "dependencies"
        (tmp_path / "go").touch()
        await client.ended("after")
        assert await client.phases("thumbnail/e1") == ["created", "queued", "started", "succeeded"]


async def test_a_dependent_of_a_job_in_kueue_knows_that_it_came(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path
) -> None:
    path = write(tmp_path / "f.yaml", make_function(queueName="batch"))
    async with running(broker, cluster, functions=path) as client:
        await client.queued(make_request("after", dependencies=["thumbnail/e1"], dependencyTimeout=5))
        await client.publish(make_event("e1"))
        await client.reached("thumbnail/e1", "queued")
        assert detail(await client.ended("after"))["error"]["errorCode"] == "DEPENDENCY_TIMEOUT"


@pytest.mark.parametrize(
    ("field", "fields"),
    [("concurrency", {"queue": {"concurrency": {"key": "k"}}}), ("job.spec.suspend", {"spec": {"suspend": True}})],
)
async def test_a_function_that_needs_our_admission_is_refused_where_kueue_decides(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path, field: str, fields: dict[str, Any]
) -> None:
    path = write(tmp_path / "f.yaml", make_function(**fields))
    async with running(broker, cluster, functions=path, kueue_queue="team") as client:
        await client.publish(make_event("e1"))
        error = detail(await client.reached("thumbnail/e1", "rejected"))["error"]
        assert (error["errorCode"], [problem["path"] for problem in error["fields"]]) == ("ADMISSION_OFF", [field])


@pytest.mark.parametrize("inline_bytes", [16384, 0])
async def test_a_request_sent_again_right_after_its_end_runs_once_kueue_lets_its_job_go(
    broker: MemoryBroker, cluster: Cluster, kueue: Kueue, tmp_path: Path, inline_bytes: int
) -> None:
    async with running(broker, cluster, kueue_queue="team", inline_bytes=inline_bytes) as client:
        await client.queued(make_request("r", script=waits_for(tmp_path / "never")))
        await kueue.admit(name_of("r"))
        await client.reached("r", "started")
        await client.command(make_command("cancel", "r"))
        former = (await client.ended("r")).get_id().partition("/")[0]
        await client.publish(make_request("r"))

        async def queued_again() -> bool:
            return (await client.phases("r")).count("queued") == 2

        await until(queued_again)
        assert (await job_of(cluster, "r"))["metadata"]["uid"] != former
        await kueue.admit(name_of("r"))
        await client.reached("r", "succeeded")
