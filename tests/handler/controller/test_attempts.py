"""What follows a failure: attempts as Jobs of their own, delays between them, and the request to fail over to."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from cloudevents.core.v1.event import CloudEvent

from adapters.memory import MemoryBroker
from events.cloudevent.timestamp import parse_epoch
from events.names import Annotation
from events.request.request import Request
from k8s.api.cluster import Cluster
from k8s.base import Manifest
from k8s.manifests.job import render
from k8s.manifests.options import ManifestOptions
from k8s.manifests.pod import payload_name
from tests.handler.jobs import job_of, name_of, our_jobs
from tests.handler.relay import detail, phase_of, running
from tests.handler.samples import SOURCE, make_command, make_request, until, waits_for

FAILS = "echo broken >&2; exit 3"


async def all_without_finalizer(cluster: Cluster) -> list[Manifest]:
    """All Jobs, once none has a finalizer."""

    async def look() -> list[Manifest] | None:
        jobs = await cluster.list_jobs("default", "")
        return None if any(job["metadata"].get("finalizers") for job in jobs) else jobs

    return await until(look)


def attempts_of(jobs: list[Manifest], request_id: str) -> list[str]:
    return sorted(
        job["metadata"]["name"] for job in jobs if job["metadata"]["annotations"][Annotation.ID] == request_id
    )


async def test_attempts_are_jobs_of_their_own_with_a_delay_between_them(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster) as client:
        await client.publish(make_request("again", script=FAILS, retries=2, retryDelay=2, tags=["t"]))
        end = await client.ended("again")
        events = await client.events("again")
        assert [phase for event in events if (phase := phase_of(event)) != "queued"] == [
            "created", "started", "retrying", "started", "retrying", "started", "failed",
        ]  # fmt: skip
        assert [detail(event)["attempt"] for event in of_phase(events, "started")] == [1, 2, 3]
        assert (detail(end)["attempt"], detail(end)["exitCode"]) == (3, 3)
        assert all(detail(event)["tags"] == ["t"] for event in events)
        for retrying, started in zip(of_phase(events, "retrying"), of_phase(events, "started")[1:], strict=True):
            at, began = parse_epoch(detail(retrying)["nextAttemptAt"]), started.get_time()
            assert began is not None
            assert at <= began.timestamp() < at + 10
            assert "broken" in detail(retrying)["error"]["message"]
        assert len({event.get_id() for event in events}) == len(events)
        jobs = await all_without_finalizer(cluster)
        assert attempts_of(jobs, "again") == [name_of("again"), f"{name_of('again')}-2", f"{name_of('again')}-3"]


def of_phase(events: list[CloudEvent], phase: str) -> list[CloudEvent]:
    return [event for event in events if phase_of(event) == phase]


async def test_an_attempt_that_succeeds_is_the_last(broker: MemoryBroker, cluster: Cluster, tmp_path: Path) -> None:
    once = tmp_path / "once"
    async with running(broker, cluster) as client:
        script = f'test -e "{once}" || {{ touch "{once}"; exit 1; }}; echo 7 > "$JOBRELAY_RESULT_PATH"'
        await client.publish(make_request("second", script=script, retries=5, retryDelay=1))
        end = await client.ended("second")
        assert (phase_of(end), detail(end)["attempt"], detail(end)["result"]) == ("succeeded", 2, 7)
        assert len(await all_without_finalizer(cluster)) == 2


async def test_every_attempt_gets_the_event_even_from_a_secret(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    async with running(broker, cluster, inline_bytes=0) as client:
        script = f'wc -c < "$JOBRELAY_EVENT_PATH" >> "{seen}"; exit 1'
        await client.publish(make_request("large", script=script, retries=1, retryDelay=1))
        await client.ended("large")
        first, second = seen.read_text().split()
        assert first == second
        for job in await all_without_finalizer(cluster):
            secret = await cluster.read_secret("default", payload_name(job["metadata"]["name"]))
            assert [owner["uid"] for owner in secret["metadata"]["ownerReferences"]] == [job["metadata"]["uid"]]


@pytest.mark.parametrize("own_name", [True, False])
async def test_no_attempt_copies_a_secret_that_is_not_its_own(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path, own_name: bool
) -> None:
    """Whoever may write Jobs can have one name any Secret as its event's."""
    name = payload_name("mine") if own_name else "keys"
    secret = {"metadata": {"name": name, "namespace": "default"}, "data": {"event.json": "aGlkZGVu"}}
    await cluster.create_secret({"apiVersion": "v1", "kind": "Secret", **secret})
    request = Request.of(make_request("mine", script=FAILS, retries=1, retryDelay=1, payload="secret"))
    job = render(request, options=ManifestOptions(namespace="default", broker="")).job
    template = job["spec"]["template"]
    job["metadata"]["name"], template["metadata"]["annotations"][Annotation.JOB] = "mine", "default/mine"
    del job["metadata"]["annotations"][Annotation.PAYLOAD], job["spec"]["suspend"]
    template["spec"]["volumes"][0]["secret"]["secretName"] = name
    await cluster.create_job(job)
    async with running(broker, cluster) as client:
        failed = await client.ended("mine")
        assert "not its own" in detail(failed)["error"]["message"]
    assert len(await our_jobs(cluster)) == 1


async def test_delays_grow_as_requested(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster) as client:
        delay = {"initial": 1, "factor": 3, "max": 3}
        await client.publish(make_request("grows", script=FAILS, retries=2, retryDelay=delay))
        await client.ended("grows")
        waits = []
        for event in of_phase(await client.events("grows"), "retrying"):
            failed = event.get_time()
            assert failed is not None
            waits.append(parse_epoch(detail(event)["nextAttemptAt"]) - failed.timestamp())
        assert waits == [1, 3]


async def test_cancel_between_attempts_ends_the_request(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster) as client:
        await client.publish(make_request("stop", script=FAILS, retries=3, retryDelay=600))
        await client.reached("stop", "retrying")
        await client.command(make_command("cancel", "stop"))
        end = await client.ended("stop")
        assert detail(end)["error"]["errorCode"] == "CANCELLED"
        assert len(of_phase(await client.events("stop"), "started")) == 1
        assert len(await all_without_finalizer(cluster)) == 2


async def test_suspend_and_resume_between_attempts(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster) as client:
        await client.publish(make_request("hold", script=FAILS, retries=1, retryDelay=4))
        await client.reached("hold", "retrying")
        await client.command(make_command("suspend", "hold", event_id="c1"))
        await client.reached("c1", "accepted")
        await client.command(make_command("resume", "hold", event_id="c2"))
        await client.reached("c2", "accepted")
        assert detail(await client.ended("hold"))["attempt"] == 2


async def test_the_timeout_of_a_request_includes_its_attempts_and_the_delays_between_them(
    broker: MemoryBroker, cluster: Cluster
) -> None:
    async with running(broker, cluster) as client:
        await client.publish(make_request("late", script=FAILS, retries=3, retryDelay=600, timeout=4))
        assert detail(await client.ended("late"))["error"]["errorCode"] == "TIMEOUT"


async def test_a_failure_that_the_request_calls_hopeless_is_not_retried(broker: MemoryBroker, cluster: Cluster) -> None:
    policy = {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [3]}}]}
    async with running(broker, cluster) as client:
        job = {"podFailurePolicy": policy}
        await client.publish(make_request("hopeless", script=FAILS, retries=3, retryDelay=1, job=job))
        assert detail(await client.ended("hopeless"))["error"]["errorCode"] == "POD_FAILURE_POLICY"
        assert len(await all_without_finalizer(cluster)) == 1


async def test_a_dependent_waits_for_the_last_attempt(broker: MemoryBroker, cluster: Cluster, tmp_path: Path) -> None:
    once = tmp_path / "once"
    async with running(broker, cluster) as client:
        script = f'test -e "{once}" || {{ touch "{once}"; exit 1; }}'
        await client.publish(make_request("first", script=script, retries=1, retryDelay=2))
        await client.publish(make_request("then", dependencies=["first"]))
        assert phase_of(await client.ended("then")) == "succeeded"


async def test_a_failed_request_fails_over_to_another_with_events_of_its_own(
    broker: MemoryBroker, cluster: Cluster
) -> None:
    async with running(broker, cluster) as client:
        script = 'cp "$JOBRELAY_EVENT_PATH" "$JOBRELAY_RESULT_PATH"'
        other = {"job": {"image": "busybox:1", "command": ["sh", "-c", script]}}
        await client.publish(make_request("breaks", script=FAILS, failover=other, metadata={"k": 1}))
        failed = await client.ended("breaks")
        assert detail(failed)["failover"] == {"id": "breaks/failover"}
        end = await client.ended("breaks/failover")
        assert await client.phases("breaks/failover") == ["created", "started", "succeeded"]
        assert end.get_extension("causationid") == failed.get_id()
        assert (failed.get_extension("requestsource"), end.get_extension("requestsource")) == (
            SOURCE,
            failed.get_source(),
        )
        assert detail(end)["result"]["id"] == failed.get_id()
        assert detail(end)["result"]["data"]["detail"]["exitCode"] == 3
        assert detail(end)["metadata"] == {"k": 1}


async def test_failover_comes_only_after_the_last_attempt(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster) as client:
        other = {"job": {"image": "busybox:1", "command": ["true"]}}
        await client.publish(make_request("tries", script=FAILS, retries=1, retryDelay=1, failover=other))
        assert detail(await client.ended("tries"))["attempt"] == 2
        await client.ended("tries/failover")
        assert len(await all_without_finalizer(cluster)) == 3


@pytest.mark.parametrize("verb", ["succeeds", "cancelled"])
async def test_no_failover_without_a_failure(broker: MemoryBroker, cluster: Cluster, verb: str, tmp_path: Path) -> None:
    async with running(broker, cluster) as client:
        other = {"job": {"image": "busybox:1", "command": ["true"]}}
        script = "true" if verb == "succeeds" else waits_for(tmp_path / "never")
        await client.publish(make_request("fine", script=script, failover=other))
        if verb == "cancelled":
            await client.reached("fine", "started")
            await client.command(make_command("cancel", "fine"))
        assert "failover" not in detail(await client.ended("fine"))
        assert len(await all_without_finalizer(cluster)) == 1


async def test_the_policy_applies_to_the_failover_too(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster, images="busybox*") as client:
        await client.publish(make_request("sly", failover={"job": {"image": "evil:1"}}))
        fields: list[dict[str, Any]] = detail(await client.reached("sly", "rejected"))["error"]["fields"]
        assert [field["path"] for field in fields] == ["failover.job.image"]


async def test_the_next_attempt_waits_for_a_job_of_its_name_that_is_being_deleted(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An earlier request with this id had such a Job."""
    met, read_job = asyncio.Event(), Cluster.read_job

    async def reading(self: Cluster, namespace: str, name: str) -> Manifest:
        found = await read_job(self, namespace, name)
        if name.endswith("-2"):
            met.set()
        return found

    monkeypatch.setattr(Cluster, "read_job", reading)
    async with running(broker, cluster) as client:
        await client.publish(
            make_request("r", script=waits_for(tmp_path / "go") + "; " + FAILS, retries=1, retryDelay=1)
        )
        await client.reached("r", "started")
        first, name = await job_of(cluster, "r"), f"{name_of('r')}-2"
        given = {key: first["metadata"][key] for key in ("annotations", "labels", "namespace")}
        container = {"name": "main", "image": "busybox:1", "command": ["true"]}
        template = {"spec": {"containers": [container], "restartPolicy": "Never"}}
        metadata = {**given, "name": name, "finalizers": ["example.com/held"]}
        former = {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {"template": template}}
        uid = (await cluster.create_job(former)).uid
        await cluster.delete_job("default", name)
        (tmp_path / "go").touch()
        await met.wait()
        await cluster.patch_job("default", name, {"metadata": {"finalizers": None}})
        end = await client.ended("r")
        assert (detail(end)["attempt"], end.get_source().endswith(name)) == (2, True)
        assert end.get_id().partition("/")[0] != uid
