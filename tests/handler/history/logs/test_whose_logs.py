"""Pods, their logs and the events of a request come together in one row, however they come about."""

import pytest

from adapters.memory import MemoryBroker
from events.phases import Phase
from handler.history.base import Request, Store, Writer
from handler.history.recording.recorder import Recorder
from handler.telemetry.metrics import Metrics
from k8s.api.cluster import Cluster
from k8s.background import beside
from k8s.devcluster.loops import Options
from tests.handler.controller.scheduling import FAST, ended, make_schedule
from tests.handler.history.logs.keepers import keeping, log_of, pods_of
from tests.handler.history.logs.shelves import read_back
from tests.handler.relay import running
from tests.handler.samples import make_request, until


@pytest.fixture
def running_options() -> Options:
    return FAST


async def only(store: Store, request_id: str, phase: Phase) -> Request:
    """The only row of this id, once it has this phase."""

    async def look() -> Request | None:
        rows = await store.find(request_id)
        assert len(rows) <= 1
        return rows[0] if rows and rows[0].phase is phase else None

    return await until(look)


async def test_attempts_and_runs_have_their_logs_in_the_rows_of_their_events(
    broker: MemoryBroker, cluster: Cluster, store: Store, writer: Writer
) -> None:
    recorder = Recorder(broker, reader=store, metrics=Metrics())
    async with (
        running(broker, cluster) as client,
        keeping(cluster, store, writer),
        beside(recorder.run(writer)),
    ):
        failing = "echo attempt of $JOBRELAY_JOB_ID; exit 3"
        await client.publish(make_request("again", script=failing, retries=1, retryDelay=1))
        await client.publish(make_schedule("each", script="echo run", maxRuns=1))
        await client.ended("again")
        (time,) = await ended(client, 1, "each")
        pods = await pods_of(store, "again", count=2)
        assert sorted((pod.attempt, pod.exit_code) for pod in pods) == [(1, 3), (2, 3)]
        for pod in pods:
            assert await read_back(store, await log_of(store, pod.uid)) == b"attempt of again\n"
        assert (await only(store, "again", Phase.FAILED)).key.cause == "event-again"
        (run,) = await pods_of(store, f"each@{time}")
        assert await read_back(store, await log_of(store, run.uid)) == b"run\n"
        assert (await only(store, f"each@{time}", Phase.SUCCEEDED)).key.cause == "event-each"
