"""Kueue takes Jobs that jobrelay did not put into one of its queues."""

from pathlib import Path

import pytest

from adapters.memory import MemoryBroker
from k8s.api.cluster import Cluster
from k8s.kueue import QUEUE_NAME
from tests.handler.jobs import gone, job_of, name_of
from tests.handler.relay import code_of, running
from tests.handler.samples import make_command, make_request, until, waits_for
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


async def test_a_verdict_ends_a_job_whoever_suspends_it_again(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path
) -> None:
    async with running(broker, cluster) as client:
        await client.occupied(tmp_path / "never", timeout=1)

        async def suspended_again() -> bool:
            job = await job_of(cluster, "busy")
            if not job["spec"].get("activeDeadlineSeconds"):
                return False
            await cluster.patch_job("default", name_of("busy"), {"spec": {"suspend": True}})
            return True

        await until(suspended_again)
        assert code_of(await client.ended("busy")) == "TIMEOUT"
        await gone(cluster, "busy")
