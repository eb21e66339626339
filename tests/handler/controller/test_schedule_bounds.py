"""A schedule runs exactly as often as allowed, whatever is stopped or deleted, and whenever."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from adapters.base import Kind, Topic
from adapters.memory import MemoryBroker, connect
from events.lifecycle.schedules import Runs
from events.names import Annotation, Label
from handler.settings.settings import Settings
from k8s.api.cluster import Cluster
from k8s.base import Manifest
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
    stored_runs,
)
from tests.handler.jobs import name_of
from tests.handler.relay import WHOLE, detail, running
from tests.handler.samples import make_command, until
from tests.patience import PATIENCE


@pytest.fixture
def running_options() -> Options:
    return FAST


async def test_a_schedule_runs_as_often_as_allowed_and_its_end_is_reported(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path
) -> None:
    mark = tmp_path / "ran"
    async with running(broker, cluster) as client:
        await client.publish(make_schedule(script=f'echo x >> "{mark}"; test "$(wc -l < "{mark}")" = 1', maxRuns=2))
        over = await client.reached("s", "unscheduled")
        assert detail(over)["runs"] == 2
        (cron_job,) = await cron_jobs(cluster)
        assert over.get_id() == f"{cron_job['metadata']['uid']}/unscheduled"
        assert cron_job["spec"]["suspend"] is True
        found = stored_runs(cron_job)
        assert (found.count, found.succeeded, found.failed, found.cancelled) == (2, 1, 1, 0)
        assert list(found.recent.values()) == ["succeeded", "failed"]
        # A repeat of the request still finds the CronJob.
        await client.publish(make_schedule(script=f'echo x >> "{mark}"; test "$(wc -l < "{mark}")" = 1', maxRuns=2))
        await nothing_waits(broker)
        await minutes_pass(cluster)
        assert mark.read_text() == "x\n" * 2
        assert len(await jobs(cluster)) == 2
        assert len(await cron_jobs(cluster)) == 1


async def nothing_waits(broker: MemoryBroker) -> None:
    async def look() -> bool:
        depth = (await broker.depth())[Topic(Kind.REQUESTS)]
        return not depth.ready + depth.unsettled

    await until(look)


async def test_an_ended_schedule_is_deleted_once_no_repeat_could_create_it_again(
    broker: MemoryBroker, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = 8
    settings = monkeypatch.setattr
    settings(
        "tests.handler.relay.Settings", lambda **given: Settings(**given).model_copy(update={"dedup_seconds": kept})
    )
    async with running(broker, cluster) as client:
        await client.publish(make_schedule(maxRuns=1))
        began = (await client.reached("s", "scheduled")).get_time()
        await client.reached("s", "unscheduled")
        await until(lambda: gone(cluster))
        assert began is not None
        assert cluster.server_time() >= began.timestamp() + kept
        (job,) = await jobs(cluster)
        assert job["metadata"].get("ownerReferences", []) == []
        assert (await client.phases("s")).count("unscheduled") == 1


async def test_runs_that_came_while_there_was_no_leader_count_and_run_later(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path
) -> None:
    mark = tmp_path / "ran"
    async with running(broker, cluster, role="handler") as client:
        await client.publish(make_schedule(script=f'echo x >> "{mark}"', maxRuns=2))
        await until(lambda: cron_jobs(cluster))

    async def missed() -> bool:
        # One more than may run.
        return len(await jobs(cluster)) == 3

    await until(missed)
    assert not mark.exists()
    async with running(broker, cluster) as client:
        assert detail(await client.reached("s", "unscheduled"))["runs"] == 2
        assert list((await runs(client)).values()) == [WHOLE, WHOLE]
        assert list(await runs(client)) == [run_of(job) for job in await jobs(cluster)]
        assert mark.read_text() == "x\n" * 2


def run_of(job: Manifest) -> str:
    run: str = job["metadata"]["annotations"][Annotation.RUN]
    return run


class Dying:
    """A cluster whose client stops for ever at its n-th call, before the call is sent or after it was carried out."""

    def __init__(self, cluster: Cluster, *, at: int, carried_out: bool) -> None:
        self.dead = asyncio.Event()
        self.calls: list[str] = []
        self._cluster = cluster
        self._at = at
        self._carried_out = carried_out

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._cluster, name)
        return self._counted(name, found) if name.split("_")[0] in ("create", "patch", "delete") else found

    def _counted(self, name: str, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def counted(*args: Any, **options: Any) -> Any:
            self.calls.append(name)
            if len(self.calls) < self._at:
                return await call(*args, **options)
            if len(self.calls) == self._at and self._carried_out:
                await call(*args, **options)
            self.dead.set()
            # A dead process makes no calls and gets no answers.
            return await asyncio.Event().wait()

        return counted


CALLS = 9
"""The CronJob is created; each of two runs is counted, released, counted as ended, and loses its finalizer."""


async def survived(cluster: Cluster, directory: Path, *, at: int, carried_out: bool) -> None:
    """The whole life of a schedule with two runs, during which jobrelay dies at this call and is started again."""
    name = f"s-{at}-{'after' if carried_out else 'before'}"
    mark = directory / name
    request = make_schedule(name, script=f'echo x >> "{mark}"', maxRuns=2)
    dying: Any = Dying(cluster, at=at, carried_out=carried_out)
    async with connect() as broker:
        await broker.declare()
        async with running(broker, dying, instance=name) as client:
            await client.publish(request)
            await asyncio.wait_for(dying.dead.wait(), PATIENCE)
        async with running(broker, cluster, instance=name) as client:
            assert detail(await client.reached(name, "unscheduled"))["runs"] == 2
            assert list((await runs(client, name)).values()) == [WHOLE, WHOLE], dying.calls
            assert mark.read_text() == "x\n" * 2, dying.calls
            (cron_job,) = await cluster.list_cron_jobs("default", f"{Label.INSTANCE}={name}")
            found = stored_runs(cron_job)
            assert (found.count, found.succeeded) == (2, 2), dying.calls


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "carried_out", [False, pytest.param(True, marks=pytest.mark.long)], ids=["before a call", "after a call"]
)
async def test_a_schedule_runs_as_often_as_allowed_wherever_jobrelay_is_stopped(
    cluster: Cluster, tmp_path: Path, carried_out: bool
) -> None:
    async with asyncio.TaskGroup() as group:
        for at in range(1, CALLS + 1):
            group.create_task(survived(cluster, tmp_path, at=at, carried_out=carried_out))


async def test_a_job_deleted_before_its_release_is_no_run(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster, role="handler") as client:
        await client.publish(make_schedule(maxRuns=2))
        (job,) = await until(lambda: jobs(cluster))
    # The state after a crash of the leader between counting the run and releasing it.
    metadata = job["metadata"]
    counted = Runs(count=1, last=metadata["creationTimestamp"], job=metadata["uid"])
    annotations = {"metadata": {"annotations": {Annotation.RUNS: counted.to_annotation()}}}
    await cluster.patch_cron_job("default", name_of("s"), annotations)
    await cluster.delete_job("default", metadata["name"])
    async with running(broker, cluster) as client:
        assert detail(await client.reached("s", "unscheduled"))["runs"] == 2
        assert list((await runs(client)).values()) == [WHOLE, WHOLE]


async def test_a_run_that_is_replaced_is_cancelled(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster) as client:
        await client.publish(make_schedule(script="sleep 600", concurrencyPolicy="Replace", maxRuns=2))
        (time,) = await ended(client, 1)
        assert detail(await client.ended(f"s@{time}"))["error"]["errorCode"] == "DELETED"

        async def last() -> list[str] | None:
            return [at for at, phases in (await runs(client)).items() if phases == ["created", "started"]]

        # No third run comes to replace it.
        (time,) = await until(last)
        await minutes_pass(cluster)
        assert (await runs(client))[time] == ["created", "started"]
        await client.command(make_command("cancel", f"s@{time}"))
        assert detail(await client.reached("s", "unscheduled"))["runs"] == 2
