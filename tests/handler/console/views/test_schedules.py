"""Schedules as the cluster has them."""

import asyncio
from pathlib import Path

import pytest

from adapters.memory import MemoryBroker
from handler.console.views import schedules
from handler.console.views.models import ScheduleList
from handler.console.views.schedules import schedules_view
from k8s.api.cluster import Cluster, connect as connect_cluster
from tests.handler.commandline import make_environ
from tests.handler.console.views.seen import seeing
from tests.handler.controller.scheduling import cron_jobs, make_schedule
from tests.handler.relay import running
from tests.handler.samples import until


async def scheduled(broker: MemoryBroker, cluster: Cluster, count: int) -> None:
    """Have so many schedules made by a jobrelay that is gone afterwards."""
    async with running(broker, cluster) as client:
        await client.publish(
            *(make_schedule(f"s{number}", cron="0 0 1 1 *", timeZone="Europe/Berlin") for number in range(count))
        )

        async def look() -> bool:
            return len(await cron_jobs(cluster)) == count

        await until(look)


async def test_schedules_tell_when_they_run_and_how_often_they_have(cluster: Cluster, broker: MemoryBroker) -> None:
    await scheduled(broker, cluster, 1)
    async with seeing(cluster) as (backend, _):
        found: list[ScheduleList] = await asyncio.gather(*(schedules_view(backend) for _ in range(20)))
    assert all(one is found[0] for one in found), "asked once for all"
    (shown,) = found[0].schedules
    assert (shown.id, shown.cron, shown.time_zone) == ("s0", "0 0 1 1 *", "Europe/Berlin")
    assert (shown.next_run or "").endswith("-12-31T23:00:00Z")
    assert (shown.suspended, shown.over, shown.runs, shown.last_run) == (False, False, 0, None)
    assert found[0].problems == []


async def test_more_than_are_shown_are_said(
    cluster: Cluster, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scheduled(broker, cluster, 3)
    monkeypatch.setattr(schedules, "SHOWN_MOST", 2)
    async with seeing(cluster) as (backend, _):
        found = await schedules_view(backend)
    assert len({one.id for one in found.schedules}) == 2
    assert found.problems == ["1 more schedules are not shown"]


async def test_a_cluster_that_is_away_is_a_problem(tmp_path: Path) -> None:
    config = Path(make_environ(tmp_path)["JOBRELAY_KUBECONFIG"])
    async with connect_cluster(kubeconfig=config) as away, seeing(away) as (backend, _):
        found = await schedules_view(backend)
    assert found.schedules == []
    assert len(found.problems) == 1
