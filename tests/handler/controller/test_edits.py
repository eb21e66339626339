"""Whatever somebody does to a Job of ours by hand, it ends with one told end, or is let go, or waits for a resume."""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

from adapters.base import Kind
from adapters.memory import MemoryBroker
from events.names import FINALIZER, Annotation, Label
from events.phases import TERMINAL
from handler.controller import mending
from k8s.api.client import STRATEGIC_MERGE
from k8s.api.cluster import Cluster
from k8s.base import Manifest, NotFound
from k8s.devcluster.loops import Options
from tests.handler.controller.scheduling import jobs as runs_of, make_schedule
from tests.handler.jobs import job_of, name_of, without_finalizer
from tests.handler.relay import Client, code_of, detail, phase_of, running
from tests.handler.samples import make_request, until, waits_for

Outcome = Literal["told", "released", "suspended"]
VERDICT = '{"phase": "cancelled", "errorCode": "CANCELLED", "message": "m", "at": "2026-01-01T00:00:00Z"}'
OURS = [
    *("VERSION", "ID", "SOURCE", "REQUEST_SHA", "CONTEXT", "REPLY_TO", "BROKER", "TTL", "START_TIMEOUT", "TIMEOUT"),
    *("TAGS", "METADATA", "PAYLOAD", "RELEASED", "SUSPENDED_BY", "VERDICT", "QUEUEING", "QUEUED", "DEPENDENCIES"),
    *("RETRY", "ATTEMPT", "ACCEPTED", "FAILOVER", "RUN"),
]


def annotated(**values: str | None) -> Manifest:
    return {"metadata": {"annotations": {getattr(Annotation, name): value for name, value in values.items()}}}


def labelled(**values: str | None) -> Manifest:
    return {"metadata": {"labels": {getattr(Label, name): value for name, value in values.items()}}}


EDITS: dict[str, Manifest] = {
    **{f"no {name}": annotated(**{name: None}) for name in OURS},
    **{f"{name} of garbage": annotated(**{name: "garbage {"}) for name in OURS},
    "no annotations": annotated(**dict.fromkeys(OURS)),
    "another attempt": annotated(ATTEMPT="7"),
    "a second attempt": annotated(ATTEMPT="2"),
    "another request": annotated(ID="another", SOURCE="/another"),
    "endless retries": annotated(RETRY='{"limit": 100000000, "delay": 1000000000000000000000}'),
    "an endless pause": annotated(RETRY='{"limit": 3, "delay": 300000000000}'),
    "an endless priority": annotated(QUEUEING='{"priority": 1' + "0" * 400 + "}"),
    "an endless TTL": annotated(TTL="99999999999"),
    "tags of all kinds": annotated(TAGS='[1, {"a": null}]', METADATA="[]"),
    "verdict": annotated(VERDICT=VERDICT),
    "a verdict that is no end": annotated(VERDICT=VERDICT.replace("cancelled", "started")),
    "a verdict of a list": annotated(VERDICT="[]"),
    "a verdict without a time": annotated(VERDICT=VERDICT.replace('"2026-01-01T00:00:00Z"', "1")),
    "pending": annotated(PAYLOAD="pending"),
    "queued": annotated(QUEUED="created"),
    "released": annotated(RELEASED="2026-01-01T00:00:00Z"),
    "held": annotated(SUSPENDED_BY="request"),
    "a new run": annotated(RUN="new"),
    "not ours": labelled(INSTANCE=None),
    "another's": labelled(INSTANCE="another"),
    "not managed": labelled(MANAGED_BY=None),
    "managed by another": labelled(MANAGED_BY="helm"),
    "no request": labelled(REQUEST=None),
    "no service": labelled(NAME=None, APP=None),
    "no labels": labelled(INSTANCE=None, MANAGED_BY=None, REQUEST=None, NAME=None, APP=None),
    "nothing of ours": {
        "metadata": {**labelled(INSTANCE=None)["metadata"], **annotated(**dict.fromkeys(OURS))["metadata"]}
    },
    "no finalizer": {"metadata": {"$deleteFromPrimitiveList/finalizers": [FINALIZER]}},
    "another finalizer": {"metadata": {"finalizers": ["example.com/mine"]}},
    "suspended": {"spec": {"suspend": True}},
    "not suspended": {"spec": {"suspend": False}},
    "no pods": {"spec": {"parallelism": 0}},
    "many pods": {"spec": {"parallelism": 3}},
    "a deadline": {"spec": {"activeDeadlineSeconds": 1}},
    "gone at its end": {"spec": {"ttlSecondsAfterFinished": 0}},
}
HELD = {"suspended"}
"""Those that wait for a `resume` if they are made while the Job runs."""
HELD_IN_QUEUE = {"no QUEUED", "no annotations", "nothing of ours"}
"""Those that take a Job out of the queue: it waits for a `resume` as well."""


@pytest.fixture
def running_options() -> Options:
    return Options(backoff=0.5, cron_minute=2.0)


def id_of(edit: str) -> str:
    return re.sub("[^a-z]", "-", edit.lower())


async def edit(cluster: Cluster, request_id: str, patch: Manifest) -> None:
    await edit_job(cluster, name_of(request_id), patch)


async def edit_job(cluster: Cluster, name: str, patch: Manifest) -> None:
    path = f"/apis/batch/v1/namespaces/default/jobs/{name}"
    await cluster.client.request("PATCH", path, body=patch, content_type=STRATEGIC_MERGE)


async def outcome_of(client: Client, cluster: Cluster, request_id: str) -> Outcome:
    """What became of the request, once that is decided."""

    async def look() -> Outcome | None:
        try:
            job = await job_of(cluster, request_id)
        except NotFound:
            job = {"metadata": {}, "spec": {}}
        # Read last: the end is told before the finalizer goes.
        phases = await client.phases(request_id)
        ended = any(phase in TERMINAL for phase in phases)
        if FINALIZER not in job["metadata"].get("finalizers", ()):
            return "told" if ended else "released"
        # A suspension that is told is an answer: `resume` and `cancel` are the way on.
        held = phases[-1:] == ["suspended"] and Annotation.QUEUED not in job["metadata"].get("annotations", {})
        return "suspended" if held and job["spec"].get("suspend") else None

    return await until(look)


async def assert_edits_end(client: Client, cluster: Cluster, *, held: set[str], let_end: Callable[[], None]) -> None:
    """Make every edit, then let what runs end. `held`: those that wait for a `resume`."""
    for name, patch in EDITS.items():
        await edit(cluster, id_of(name), patch)
    await asyncio.gather(*(client.reached(id_of(name), "suspended") for name in held))
    let_end()
    expected: dict[str, Outcome] = dict.fromkeys(EDITS, "told")
    expected |= dict.fromkeys(held, "suspended")
    expected["no finalizer"] = "released"

    async def outcome(name: str) -> tuple[str, str]:
        try:
            return name, await outcome_of(client, cluster, id_of(name))
        except TimeoutError:
            return name, f"stuck after {await client.phases(id_of(name))}"

    found = dict(await asyncio.gather(*map(outcome, expected)))
    assert found == expected
    for name, wanted in expected.items():
        ends = [event for event in await client.events(id_of(name)) if phase_of(event) in TERMINAL]
        assert len(ends) == (1 if wanted == "told" else 0), name
    async with client.broker.history(Kind.LIFECYCLE) as records:
        assert [record async for record in records if b'"id":""' in record.body] == []


@pytest.mark.long
async def test_a_running_job_survives_every_edit(broker: MemoryBroker, cluster: Cluster, tmp_path: Path) -> None:
    go = tmp_path / "go"
    async with running(broker, cluster, start_timeout=3) as client:
        await client.publish(*(make_request(id_of(name), script=waits_for(go), retries=1) for name in EDITS))
        for name in EDITS:
            await client.reached(id_of(name), "started")
        await assert_edits_end(client, cluster, held=HELD, let_end=go.touch)


async def test_a_waiting_job_survives_every_edit(broker: MemoryBroker, cluster: Cluster, tmp_path: Path) -> None:
    go = tmp_path / "go"
    others = [f"busy-{number}" for number in range(8)]
    async with running(broker, cluster, start_timeout=3, max_active=len(others)) as client:
        await client.publish(*(make_request(request_id, script=waits_for(go)) for request_id in others))
        for request_id in others:
            await client.reached(request_id, "started")
        await client.publish(*(make_request(id_of(name), retries=1, timeout=600) for name in EDITS))
        for name in EDITS:
            await client.reached(id_of(name), "queued")
        await assert_edits_end(client, cluster, held=HELD_IN_QUEUE, let_end=go.touch)


async def test_a_payload_that_is_said_to_be_missing_and_is_there_holds_up_nothing(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mending, "PAYLOAD_SECONDS", 0.5)
    go = tmp_path / "go"
    async with running(broker, cluster, max_active=1) as client:
        await client.occupied(go)
        await client.queued(make_request("waits", payload="secret"))
        await until(lambda: _has_its_payload(cluster, "waits"))
        await edit(cluster, "waits", annotated(PAYLOAD="pending"))
        go.touch()
        assert phase_of(await client.ended("waits")) == "succeeded"
        await without_finalizer(cluster, "waits")


async def _has_its_payload(cluster: Cluster, request_id: str) -> bool:
    return Annotation.PAYLOAD not in (await job_of(cluster, request_id))["metadata"]["annotations"]


@pytest.mark.parametrize("value", [None, "garbage {", "[]", '{"image": 1}'])
async def test_a_failover_that_cannot_be_read_any_more_is_rejected(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path, value: str | None
) -> None:
    async with running(broker, cluster) as client:
        script = f"{waits_for(tmp_path / 'go')}; exit 1"
        await client.publish(make_request("fails", script=script, failover={"job": {"image": "busybox:1"}}))
        await client.reached("fails", "started")
        await edit(cluster, "fails", annotated(FAILOVER=value))
        (tmp_path / "go").touch()
        await client.ended("fails")
        await without_finalizer(cluster, "fails")
        if value is not None:
            assert code_of(await client.reached("fails/failover", "rejected")) == "INVALID_REQUEST"
        assert (await client.phases("fails")).count("failed") == 1


ATTEMPTED: dict[str, Manifest] = {
    "another attempt": annotated(ATTEMPT="7"),
    "no identity": annotated(ID=None, SOURCE=None, REQUEST_SHA=None, VERSION=None, CONTEXT=None, QUEUEING=None),
    "no request": labelled(REQUEST=None),
    "no labels": labelled(INSTANCE=None, MANAGED_BY=None, REQUEST=None, NAME=None, APP=None),
    "a wrong verdict": annotated(VERDICT="garbage"),
}


@pytest.mark.parametrize("change", ATTEMPTED)
async def test_the_next_attempt_follows_whatever_was_done_to_this_one(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path, change: str
) -> None:
    async with running(broker, cluster) as client:
        script = f"{waits_for(tmp_path / 'go')}; exit 1"
        await client.publish(make_request("twice", script=script, retries=1, retryDelay=1))
        await client.reached("twice", "started")
        await edit(cluster, "twice", ATTEMPTED[change])
        (tmp_path / "go").touch()
        assert detail(await client.ended("twice"))["attempt"] == 2
        (second,) = [job for job in await cluster.list_jobs("default", "") if job["metadata"]["name"].endswith("-2")]
        assert second["metadata"]["annotations"][Annotation.ID] == "twice"
        assert (await client.phases("twice")).count("failed") == 1


OF_RUNS: dict[str, Manifest] = {
    "no owner": {"metadata": {"ownerReferences": None}},
    "no time": annotated(RUN=None),
    "new": annotated(RUN="new"),
    "another": annotated(RUN="2026-01-01T00:00:00Z", ID="s@2026-01-01T00:00:00Z"),
    "no identity": annotated(ID=None, SOURCE=None),
    "no schedule": labelled(SCHEDULE=None, REQUEST=None),
}


@pytest.mark.parametrize("change", OF_RUNS)
async def test_a_run_ends_whatever_was_done_to_it(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path, change: str
) -> None:
    async with running(broker, cluster) as client:
        await client.publish(make_schedule(script=waits_for(tmp_path / "go"), maxRuns=1))
        run = await until(lambda: _adopted(cluster))
        request_id = run["metadata"]["annotations"][Annotation.ID]
        await client.reached(request_id, "started")
        await edit_job(cluster, run["metadata"]["name"], OF_RUNS[change])
        (tmp_path / "go").touch()
        end = await client.ended(request_id)
        assert detail(end)["scheduledFor"] == request_id.partition("@")[2]
        await until(lambda: _let_go(cluster, run))
        assert (await client.phases(request_id)).count("succeeded") == 1
        await client.reached("s", "unscheduled")


async def _adopted(cluster: Cluster) -> Manifest | None:
    found = await runs_of(cluster)
    return next((run for run in found if FINALIZER in run["metadata"].get("finalizers", ())), None)


async def _let_go(cluster: Cluster, run: Manifest) -> bool:
    found = await cluster.read_job("default", run["metadata"]["name"])
    return FINALIZER not in found["metadata"].get("finalizers", ())


async def test_a_repeated_request_is_a_duplicate_whatever_was_done_to_its_job(
    broker: MemoryBroker, cluster: Cluster
) -> None:
    """But for another hash of its data: only that tells a repeat from another request of the same id."""
    other = "REQUEST_SHA of garbage"
    async with running(broker, cluster, role="handler") as client:
        requests = [make_request(id_of(name), script="sleep 600") for name in EDITS]
        await client.publish(*requests)
        await until(lambda: _all_there(cluster))
        for name, patch in EDITS.items():
            await edit(cluster, id_of(name), patch)
        await client.publish(*requests)
        await until(lambda: _all_judged(client))
        rejected = {name: phases for name in EDITS if (phases := await client.phases(id_of(name)))}
        assert rejected == {other: ["rejected"]}
        assert code_of(await client.reached(id_of(other), "rejected")) == "ID_REUSED"


async def _all_there(cluster: Cluster) -> bool:
    return len(await cluster.list_jobs("default", "")) == len(EDITS)


async def _all_judged(client: Client) -> bool:
    count = client.state.metrics.registry.get_sample_value
    duplicates = count("jobrelay_messages_duplicate_total", {"broker": "memory"}) or 0
    return duplicates + len(await client.dead()) == len(EDITS)
