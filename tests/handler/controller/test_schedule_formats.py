"""Schedules of every format so far are understood. What a CronJob and its runs store does not change by accident."""

import json
from pathlib import Path
from typing import Any

import pytest

from adapters.memory import MemoryBroker
from events.cloudevent.event import decode_structured
from events.lifecycle.schedules import read_runs
from events.names import FORMAT_VERSION, Annotation
from events.request.request import Request
from k8s.api.cluster import Cluster
from k8s.base import Manifest
from k8s.manifests.options import ManifestOptions
from k8s.manifests.schedule import adoption, render_schedule
from k8s.reading.job import SCHEDULED_TIMESTAMP, job_of
from tests.handler.formats import OF_SCHEDULES
from tests.handler.relay import WHOLE, detail, running
from tests.handler.samples import by_hand, until

CURRENT = [path for path in OF_SCHEDULES if path.name.startswith(f"{FORMAT_VERSION}-")]
each = pytest.mark.parametrize("path", OF_SCHEDULES, ids=lambda path: path.stem)
each_current = pytest.mark.parametrize("path", CURRENT, ids=lambda path: path.stem)


def stored(path: Path) -> tuple[dict[str, Any], Manifest, Manifest]:
    """The event, the CronJob made from it after some runs, and the metadata of one run."""
    example = json.loads(path.read_text())
    return example["event"], example["cronJob"], example["run"]


@each_current
def test_what_is_stored_does_not_change_without_a_new_format(path: Path) -> None:
    event, cron_job, run = stored(path)
    options = ManifestOptions(namespace="default", broker="memory")
    made = render_schedule(Request.of(decode_structured(json.dumps(event).encode())), options=options).job
    runs = cron_job["metadata"]["annotations"].pop(Annotation.RUNS)
    assert made["metadata"] == cron_job["metadata"]
    assert made["spec"]["jobTemplate"]["metadata"] == cron_job["spec"]["jobTemplate"]["metadata"]
    assert read_runs(runs).to_annotation() == runs
    time = run["annotations"][Annotation.RUN]
    released = run["annotations"][Annotation.RELEASED]
    new = job_of({"metadata": {"name": run["name"]}, "spec": {}})
    patch = adoption(new, request_id=f"nightly@{time}", time=time, released=released)["metadata"]
    template = made["spec"]["jobTemplate"]["metadata"]
    assert {**template["labels"], **patch["labels"]} == run["labels"]
    tick = {SCHEDULED_TIMESTAMP: run["annotations"][SCHEDULED_TIMESTAMP]}
    assert {**template["annotations"], **tick, **patch["annotations"]} == run["annotations"]
    assert patch["finalizers"] == run["finalizers"]


@each
async def test_a_schedule_of_an_earlier_format_is_taken_over_completely(
    broker: MemoryBroker, cluster: Cluster, path: Path
) -> None:
    event, cron_job, _ = stored(path)
    before = read_runs(cron_job["metadata"]["annotations"][Annotation.RUNS])
    await cluster.create_cron_job(cron_job)
    found = await cluster.read_cron_job("default", cron_job["metadata"]["name"])
    async with running(broker, cluster) as client:
        # Redelivered, as after a crash before the acknowledgement.
        await client.publish(decode_structured(json.dumps(event).encode()))
        scheduled = detail(await client.reached("nightly", "scheduled"))
        assert (scheduled["schedule"], scheduled["timeZone"], scheduled["maxRuns"]) == ("0 0 1 1 *", "Europe/Berlin", 4)
        await cluster.create_job(by_hand(found))
        (job,) = await cluster.list_jobs("default", "")
        run = f"nightly@{job['metadata']['creationTimestamp']}"
        assert detail(await client.ended(run))["tags"] == ["t"]
        assert await client.phases(run) == WHOLE

        async def counted() -> bool:
            after = await cluster.read_cron_job("default", cron_job["metadata"]["name"])
            runs = read_runs(after["metadata"]["annotations"][Annotation.RUNS])
            assert runs.count <= before.count + 1
            return (runs.count, runs.succeeded) == (before.count + 1, before.succeeded + 1)

        await until(counted)
        assert await client.dead() == []
