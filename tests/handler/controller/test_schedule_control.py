"""Schedules and their runs are suspended, cancelled and deleted, by control events and from outside."""

from pathlib import Path

import pytest

from adapters.memory import MemoryBroker
from events.names import Annotation
from k8s.api.client import STRATEGIC_MERGE
from k8s.api.cluster import Cluster
from k8s.devcluster.loops import Options
from tests.handler.controller.scheduling import (
    FAST,
    cron_jobs,
    ended,
    gone,
    jobs,
    make_schedule,
    minutes_pass,
    runs,
    started,
    stored_runs,
)
from tests.handler.jobs import name_of
from tests.handler.relay import WHOLE, detail, running
from tests.handler.samples import make_command, until, waits_for


@pytest.fixture
def running_options() -> Options:
    return FAST


async def test_a_suspended_schedule_begins_no_run_until_it_is_resumed(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster) as client:
        await client.publish(make_schedule())
        await ended(client, 1)
        await client.command(make_command("suspend", "s", event_id="c1"))
        assert detail(await client.reached("c1", "accepted"))["jobs"] == [name_of("s")]
        (cron_job,) = await cron_jobs(cluster)
        assert cron_job["spec"]["suspend"] is True
        before = len(await jobs(cluster))
        await minutes_pass(cluster)
        assert len(await jobs(cluster)) == before
        await client.command(make_command("resume", "s", event_id="c2"))
        await client.reached("c2", "accepted")
        await ended(client, before + 1)


async def test_a_cancelled_schedule_is_over_while_its_run_goes_on(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path
) -> None:
    async with running(broker, cluster) as client:
        await client.publish(make_schedule(script=waits_for(tmp_path / "go"), concurrencyPolicy="Forbid"))
        time = await started(client)
        await client.command(make_command("cancel", "s"))
        await client.reached("command-1", "accepted")
        assert detail(await client.reached("s", "unscheduled"))["runs"] == 1
        await until(lambda: gone(cluster))
        (tmp_path / "go").touch()
        assert await ended(client, 1) == [time]
        assert (await runs(client))[time] == WHOLE


async def test_a_job_not_yet_adopted_is_deleted_with_its_schedule(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster, role="handler") as client:
        await client.publish(make_schedule())
        await until(lambda: jobs(cluster))
    await cluster.delete_cron_job("default", name_of("s"))
    async with running(broker, cluster) as client:
        await client.reached("s", "unscheduled")

        async def none_left() -> bool:
            return await jobs(cluster) == []

        await until(none_left)
        assert await runs(client) == {}


async def test_a_command_for_a_schedule_that_is_over_is_refused(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster) as client:
        await client.publish(make_schedule(maxRuns=1))
        await client.reached("s", "unscheduled")
        await client.command(make_command("resume", "s"))
        assert detail(await client.reached("command-1", "rejected"))["error"]["errorCode"] == "FINISHED"


async def test_a_run_is_cancelled_by_its_own_id(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster) as client:
        await client.publish(make_schedule(script="sleep 600", concurrencyPolicy="Forbid"))
        time = await started(client)
        await client.command(make_command("cancel", f"s@{time}"))
        assert detail(await client.ended(f"s@{time}"))["error"]["errorCode"] == "CANCELLED"

        async def counted() -> bool:
            return stored_runs((await cron_jobs(cluster))[0]).cancelled == 1

        await until(counted)


async def test_a_schedule_deleted_from_outside_ends_with_its_runs(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster) as client:
        await client.publish(make_schedule(script="sleep 600", concurrencyPolicy="Forbid"))
        time = await started(client)
        # The request that kubectl delete makes.
        path = f"/apis/batch/v1/namespaces/default/cronjobs/{name_of('s')}"
        await cluster.client.request("DELETE", path, body={"propagationPolicy": "Background"})
        assert detail(await client.reached("s", "unscheduled"))["runs"] == 1
        assert detail(await client.ended(f"s@{time}"))["error"]["errorCode"] == "DELETED"
        await until(lambda: gone(cluster))


async def test_a_schedule_of_a_newer_version_is_left_alone(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster, role="handler") as client:
        await client.publish(make_schedule())
        await until(lambda: cron_jobs(cluster))
    path = f"/apis/batch/v1/namespaces/default/cronjobs/{name_of('s')}"
    patch = {"metadata": {"annotations": {Annotation.VERSION: "2"}}}
    await cluster.client.request("PATCH", path, body=patch, content_type=STRATEGIC_MERGE)
    async with running(broker, cluster, control_wait=0.5) as client:
        await until(lambda: jobs(cluster))
        await client.command(make_command("cancel", "s"))
        assert detail(await client.reached("command-1", "rejected"))["error"]["errorCode"] == "NEWER_FORMAT"
        (job, *_) = await jobs(cluster)
        assert job["metadata"]["annotations"][Annotation.RUN] == "new"
        assert await client.events("s") == []
