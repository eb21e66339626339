"""Kueue takes Jobs that jobrelay did not put into one of its queues."""

from pathlib import Path
from typing import Any

import pytest

from adapters.memory import MemoryBroker
from events.jobs.observed import Job
from events.names import Annotation
from k8s.api.cluster import Cluster
from k8s.base import Manifest
from k8s.kueue import QUEUE_NAME
from tests.handler.jobs import gone, job_of, name_of
from tests.handler.relay import code_of, detail, running
from tests.handler.samples import make_command, make_request, waits_for
from tests.kueue import Kueue


@pytest.mark.parametrize("manages_all", [True])
@pytest.mark.parametrize("started", [False, True])
async def test_a_verdict_ends_a_job_that_is_suspended_again_and_again(
    broker: MemoryBroker, cluster: Cluster, kueue: Kueue, tmp_path: Path, started: bool
) -> None:
    """`manageJobsWithoutQueueName` in Kueue, and no queue in our settings."""
    async with running(broker, cluster) as client:
        await client.publish(make_request("stop", script=waits_for(tmp_path / "never")))
        await client.reached("stop", "created")
        assert QUEUE_NAME not in (await job_of(cluster, "stop"))["metadata"]["labels"]
        if started:
            await kueue.admit(name_of("stop"))
            await client.reached("stop", "started")
        await client.command(make_command("cancel", "stop"))
        assert code_of(await client.ended("stop")) == "CANCELLED"
        await gone(cluster, "stop")
        assert (await client.phases("stop")).count("cancelled") == 1


@pytest.mark.parametrize("default_queue", [True])
@pytest.mark.parametrize("inline_bytes", [16384, 0])
async def test_a_job_that_the_default_queue_takes_is_left_to_kueue(
    broker: MemoryBroker, cluster: Cluster, kueue: Kueue, inline_bytes: int
) -> None:
    """A LocalQueue named `default`, and no queue in our settings."""
    async with running(broker, cluster, inline_bytes=inline_bytes) as client:
        await client.queued(make_request("taken"))
        assert detail(await client.reached("taken", "queued"))["reason"] == "kueue"
        job = await job_of(cluster, "taken")
        assert job["metadata"]["labels"][QUEUE_NAME] == "default"
        assert job["spec"]["suspend"] is True
        assert not {Annotation.PAYLOAD, Annotation.RELEASED} & job["metadata"]["annotations"].keys()
        await kueue.admit(name_of("taken"))
        await client.ended("taken")
        assert await client.phases("taken") == ["created", "queued", "started", "succeeded"]


async def test_a_verdict_ends_a_job_whoever_suspends_it_again(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patch_job = Cluster.patch_job

    async def suspending(self: Cluster, namespace: str, name: str, patch: Manifest, **options: Any) -> Job:
        """Somebody reacts to the verdict before Kubernetes does."""
        answer = await patch_job(self, namespace, name, patch, **options)
        if patch.get("spec", {}).get("activeDeadlineSeconds"):
            await patch_job(self, namespace, name, {"spec": {"suspend": True}})
        return answer

    monkeypatch.setattr(Cluster, "patch_job", suspending)
    async with running(broker, cluster) as client:
        # It may have started by then, or not.
        await client.publish(make_request("busy", script=waits_for(tmp_path / "never"), timeout=1))
        assert code_of(await client.ended("busy")) == "TIMEOUT"
        await gone(cluster, "busy")
