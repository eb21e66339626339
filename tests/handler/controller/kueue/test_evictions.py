"""Jobs that Kueue stops: what ended before, and what their time limits mean then."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cloudevents.core.v1.event import CloudEvent

from adapters.base import Topic
from adapters.memory import MemoryBroker
from events.cloudevent.timestamp import format_epoch, parse_epoch
from k8s.api.cluster import Cluster
from k8s.devcluster.controllers.jobpass import JobPass
from tests.handler.jobs import gone, job_of, name_of
from tests.handler.relay import Client, code_of, detail, phase_of, running
from tests.handler.samples import make_command, make_request, until, waits_for
from tests.kueue import Kueue

LIMIT = 4
"""Seconds."""


@pytest.fixture(autouse=True)
def finished_only_with_a_start_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kubernetes refuses a status that is Complete and has no start time: a suspended Job waits for its resumption."""
    finish: Callable[..., None] = JobPass._finish

    def finish_if_started(self: Any, found: Any) -> None:
        if "startTime" in self._job["status"]:
            finish(self, found)

    monkeypatch.setattr(JobPass, "_finish", finish_if_started)


async def succeeded_at_eviction(client: Client, cluster: Cluster, kueue: Kueue, tmp_path: Path, **fields: Any) -> None:
    """A request `r` whose pod ends at the moment of its eviction."""
    script = f'{waits_for(tmp_path / "go")}; echo 7 > "$JOBRELAY_RESULT_PATH"'
    await client.queued(make_request("r", script=script, **fields))
    await kueue.admit(name_of("r"))
    await client.reached("r", "started")
    uid = (await job_of(cluster, "r"))["metadata"]["uid"]
    (tmp_path / "go").touch()

    async def pod_has_ended() -> bool:
        return any(pod.phase == "Succeeded" for pod in await cluster.pods_of("default", uid))

    await until(pod_has_ended)
    await kueue.evict(name_of("r"))
    await until(partial(has_condition, cluster, "r", "SuccessCriteriaMet"))


async def has_condition(cluster: Cluster, request_id: str, name: str) -> bool:
    conditions = (await job_of(cluster, request_id))["status"].get("conditions", ())
    return any(one["type"] == name and one["status"] == "True" for one in conditions)


async def older_than(cluster: Cluster, request_id: str, seconds: float) -> bool:
    made = (await job_of(cluster, request_id))["metadata"]["creationTimestamp"]
    return cluster.server_time() > parse_epoch(made) + seconds


async def test_no_time_limit_takes_the_success_of_a_job_that_is_evicted_as_it_ends(
    broker: MemoryBroker, cluster: Cluster, kueue: Kueue, tmp_path: Path
) -> None:
    async with running(broker, cluster, kueue_queue="team") as client:
        await succeeded_at_eviction(client, cluster, kueue, tmp_path, timeout=LIMIT)
        await client.command(make_command("cancel", "r"))
        assert code_of(await client.reached("command-1", "rejected")) == "FINISHED"
        await until(partial(older_than, cluster, "r", LIMIT + 1))
        assert not await has_condition(cluster, "r", "Complete")
        await kueue.admit(name_of("r"))
        end = await client.ended("r")
        assert (phase_of(end), detail(end)["result"]) == ("succeeded", 7)


async def test_a_job_that_is_deleted_after_its_success_was_decided_has_succeeded(
    broker: MemoryBroker, cluster: Cluster, kueue: Kueue, tmp_path: Path
) -> None:
    async with running(broker, cluster, kueue_queue="team") as client:
        await succeeded_at_eviction(client, cluster, kueue, tmp_path)
        await cluster.delete_job("default", name_of("r"))
        end = await client.ended("r")
        assert (phase_of(end), detail(end)["result"]) == ("succeeded", 7)
        await gone(cluster, "r")


async def test_the_start_timeout_counts_anew_at_each_admission(
    broker: MemoryBroker, cluster: Cluster, kueue: Kueue, tmp_path: Path
) -> None:
    """The first of two pods has ended before the eviction; the second finds no node afterwards."""
    async with running(broker, cluster, kueue_queue="team") as client:
        script = f'mkdir "{tmp_path}/first" || {waits_for(tmp_path / "never")}'
        job = {"completions": 2, "parallelism": 1}
        await client.queued(make_request("r", script=script, startTimeout=LIMIT + 2, job=job))
        await kueue.admit(name_of("r"))

        async def one_has_ended() -> bool:
            return bool((await job_of(cluster, "r"))["status"].get("succeeded"))

        await until(one_has_ended)
        await kueue.evict(name_of("r"))
        await client.reached("r", "suspended")
        await kueue.admit(name_of("r"), nodes={"example.com/pool": "none"})
        assert code_of(await client.ended("r")) == "START_TIMEOUT"


@pytest.mark.parametrize("watched", [True, False], ids=["seen by the first leader", "while there is no leader"])
async def test_an_id_of_an_event_means_one_start_whoever_leads(
    broker: MemoryBroker,
    cluster: Cluster,
    kueue: Kueue,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    watched: bool,
) -> None:
    """The next leader knows only the second pod. Brokers drop repeats by their ids, whatever is in them."""
    told: list[tuple[str, datetime | None, str]] = []
    publish = MemoryBroker.publish

    async def noting(self: MemoryBroker, topic: Topic, event: CloudEvent, **options: Any) -> None:
        if phase_of(event) == "started":
            told.append((event.get_id(), event.get_time(), detail(event)["podName"]))
        await publish(self, topic, event, **options)

    monkeypatch.setattr(MemoryBroker, "publish", noting)
    async with running(broker, cluster, kueue_queue="team") as client:
        await client.queued(make_request("r", script=waits_for(tmp_path / "go")))
        await kueue.admit(name_of("r"))
        await client.reached("r", "started")
        if watched:
            await kueue.evict(name_of("r"))
            await client.reached("r", "suspended")
    if not watched:
        await kueue.evict(name_of("r"))
    await until(partial(older_than, cluster, "r", LIMIT))
    await kueue.admit(name_of("r"))
    (tmp_path / "go").touch()
    await until(partial(has_condition, cluster, "r", "Complete"))
    async with running(broker, cluster, kueue_queue="team") as client:
        end = await client.ended("r")
    assert len({id_ for id_, _, _ in told}) == len(set(told))
    if not watched:
        assert len(told) == 2
    else:
        first = told[0][1]
        assert first is not None
        assert detail(end)["startedAt"] == format_epoch(first.timestamp())
