"""Runs that were asked for and those that Kubernetes makes at their times keep the schedule's `concurrencyPolicy`."""

from pathlib import Path

import pytest

from adapters.memory import MemoryBroker
from k8s.api.client import STRATEGIC_MERGE
from k8s.api.cluster import Cluster
from k8s.devcluster.loops import Options
from tests.handler.controller.scheduling import EACH_MINUTE, FAST, jobs, make_schedule, minutes_pass, runs
from tests.handler.jobs import name_of
from tests.handler.relay import Client, detail, running
from tests.handler.samples import make_command, until, waits_for


@pytest.fixture
def running_options() -> Options:
    return FAST


async def asked_for(client: Client, cluster: Cluster, policy: str, script: str) -> str:
    """The id of a run that goes on. From then on its schedule is due every minute."""
    await client.publish(make_schedule(cron="0 0 1 1 *", script=script, concurrencyPolicy=policy))
    await client.command(make_command("run", "s"))
    going = str(detail(await client.reached("command-1", "accepted"))["run"])
    await client.reached(going, "started")
    path = f"/apis/batch/v1/namespaces/default/cronjobs/{name_of('s')}"
    patch = {"spec": {"schedule": EACH_MINUTE}}
    await cluster.client.request("PATCH", path, body=patch, content_type=STRATEGIC_MERGE)
    return going


async def test_a_run_that_was_asked_for_forbids_those_of_its_times(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path
) -> None:
    async with running(broker, cluster) as client:
        going = await asked_for(client, cluster, "Forbid", waits_for(tmp_path / "go"))
        await minutes_pass(cluster)
        assert {f"s@{time}" for time in await runs(client)} == {going}
        (tmp_path / "go").touch()
        await client.ended(going)

        async def goes_on() -> bool:
            return len(await runs(client)) > 1

        await until(goes_on)


async def test_a_run_that_was_asked_for_is_replaced_at_the_next_time(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path
) -> None:
    async with running(broker, cluster) as client:
        going = await asked_for(client, cluster, "Replace", waits_for(tmp_path / "go"))
        assert detail(await client.ended(going))["error"]["errorCode"] == "DELETED"
        (tmp_path / "go").touch()
        assert await jobs(cluster)
