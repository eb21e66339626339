"""Jobs of every format so far are understood; a Job of a newer format is left alone by every part, and counted.

tests/formats/ has Jobs as each version of the format stored them, with the events that asked for them. These files are
never rewritten: a version of jobrelay that changes the format adds its own.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adapters.base import Kind, Topic
from adapters.memory import MemoryBroker
from events.cloudevent.event import decode_structured
from events.jobs import observed
from events.names import FINALIZER, FORMAT_VERSION, Annotation
from events.request.request import Request
from handler.commands.uninstall import uninstall
from handler.settings.settings import Settings
from k8s.api.cluster import Cluster
from k8s.base import Manifest
from k8s.devcluster.server import DevCluster
from k8s.manifests.job import render
from k8s.manifests.options import ManifestOptions
from tests.handler.formats import ALL, OF_JOBS
from tests.handler.relay import WHOLE, Client, connected, detail, relaying
from tests.handler.samples import make_command, make_request, until

KINDS: dict[str, dict[str, Any]] = {
    "inline": {},
    "secret": {"inline_bytes": 0},
    "queued": {"governs": lambda queueing, service: True},
}
"""The options of the installation that stored an example, by its kind."""
NEWER = str(FORMAT_VERSION + 1)

Stored = tuple[dict[str, Any], Manifest]


def stored(path: Path) -> Stored:
    """The event, and the Job made from it."""
    example = json.loads(path.read_text())
    return example["event"], example["job"]


def rewritten(job: Manifest, **annotations: str | None) -> Manifest:
    """The Job with other annotations of ours; None removes an annotation."""
    given = {getattr(Annotation, name): value for name, value in annotations.items()}
    merged = {**job["metadata"]["annotations"], **given}
    kept = {name: value for name, value in merged.items() if value is not None}
    return {**job, "metadata": {**job["metadata"], "annotations": kept}}


async def read(cluster: Cluster, job: Manifest) -> Manifest:
    return await cluster.read_job("default", job["metadata"]["name"])


def of_format(version: int) -> list[Path]:
    return [path for path in OF_JOBS if path.name.startswith(f"{version}-")]


def test_each_format_has_its_examples() -> None:
    assert {path.stem for path in ALL} == {
        f"{version}-{kind}" for version in range(1, FORMAT_VERSION + 1) for kind in (*KINDS, "schedule")
    }


@pytest.mark.parametrize("path", of_format(FORMAT_VERSION), ids=lambda path: path.stem)
def test_what_is_stored_does_not_change_without_a_new_format(path: Path) -> None:
    event, job = stored(path)
    options = ManifestOptions(namespace="default", broker="memory", **KINDS[path.stem.partition("-")[2]])
    rendered = render(Request.of(decode_structured(json.dumps(event).encode())), options=options)
    assert rendered.job["metadata"] == job["metadata"]


def as_stored(job: Manifest) -> Manifest:
    return job


def without_a_version(job: Manifest) -> Manifest:
    return rewritten(job, VERSION=None)


def of_version_0(job: Manifest) -> Manifest:
    return rewritten(job, VERSION="0")


@pytest.mark.parametrize("change", [as_stored, without_a_version, of_version_0])
@pytest.mark.parametrize("path", OF_JOBS, ids=lambda path: path.stem)
async def test_a_job_of_an_earlier_format_is_taken_over_completely(
    broker: MemoryBroker, cluster: Cluster, path: Path, change: Callable[[Manifest], Manifest]
) -> None:
    raw, job = stored(path)
    event = decode_structured(json.dumps(raw).encode())
    await cluster.create_job(change(job))
    async with relaying(connected(broker), cluster) as state:
        client = Client(broker, state)
        # Redelivered, as after a crash before the acknowledgement: this also adds the payload where it is missing.
        await client.publish(event)
        end = await client.ended(raw["data"]["id"])
        assert await client.phases(raw["data"]["id"]) == WHOLE
        assert detail(end).get("tags") == raw["data"].get("tags")
        assert end.get_extension("traceparent") == raw.get("traceparent")

        async def released() -> bool:
            return not (await read(cluster, job))["metadata"].get("finalizers")

        await until(released)
        assert (await read(cluster, job))["spec"]["ttlSecondsAfterFinished"] == 3600
        assert await client.dead() == []
    assert len(await cluster.list_jobs("default", "")) == 1


async def over(cluster: Cluster, job: Manifest) -> None:
    async def look() -> bool:
        return bool((await read(cluster, job)).get("status", {}).get("completionTime"))

    await until(look)


async def test_a_newer_job_is_reported_completely_by_the_first_leader_that_understands_it(
    broker: MemoryBroker, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, job = stored(OF_JOBS[0])
    async with relaying(connected(broker), cluster) as state:
        client = Client(broker, state)
        # First a Job of our format, so that the leader has something to vouch for.
        await client.publish(make_request("ours"))
        await client.ended("ours")
        await cluster.create_job(rewritten(job, VERSION=NEWER))
        await over(cluster, job)
        # Wait long enough that a careless leader would vouch for the time in which the newer Job was created.
        await client.publish(make_request("later", script="sleep 2.5"))
        await client.ended("later")
        assert await client.phases("inline") == []
        assert (await read(cluster, job))["metadata"]["finalizers"] == [FINALIZER]
        await state.measure()
        assert state.metrics.registry.get_sample_value("jobrelay_jobs_newer_format") == 1
        assert state.metrics.registry.get_sample_value("jobrelay_sync_failures_total") == 0
    monkeypatch.setattr(observed, "FORMAT_VERSION", FORMAT_VERSION + 1)
    # The new leader repeats from where the former leader stopped vouching, so the newer Job is reported even later.
    monkeypatch.setattr("handler.controller.published.REPEAT_SECONDS", 1.0)
    async with relaying(connected(broker), cluster) as state:
        await client.ended("inline")
        assert await client.phases("inline") == WHOLE


async def test_a_redelivery_that_meets_its_own_newer_job_is_a_duplicate(broker: MemoryBroker, cluster: Cluster) -> None:
    raw, job = stored(OF_JOBS[0])
    await cluster.create_job(rewritten(job, VERSION=NEWER))
    before = (await read(cluster, job))["metadata"]["annotations"]
    async with relaying(connected(broker), cluster, role="handler") as state:
        client = Client(broker, state)
        await client.publish(decode_structured(json.dumps(raw).encode()))
        await until(lambda: counted(client, "jobrelay_messages_duplicate_total", broker="memory"))
        assert (await broker.depth())[Topic(Kind.REQUESTS)].ready == 0
        assert await client.dead() == []
    assert (await read(cluster, job))["metadata"]["annotations"] == before


@pytest.mark.parametrize(
    ("example", "annotations"),
    [("1-inline", {"REQUEST_SHA": "reckoned otherwise"}), ("1-inline", {"ID": None}), ("1-secret", {})],
    ids=["another-sha", "no-identity", "payload-pending"],
)
async def test_a_request_that_only_a_newer_handler_can_judge_waits_for_it(
    broker: MemoryBroker, cluster: Cluster, example: str, annotations: dict[str, str | None]
) -> None:
    raw, job = stored(next(path for path in OF_JOBS if path.stem == example))
    await cluster.create_job(rewritten(job, VERSION=NEWER, **annotations))
    before = await read(cluster, job)
    async with relaying(connected(broker), cluster, role="handler") as state:
        client = Client(broker, state)
        await client.publish(decode_structured(json.dumps(raw).encode()))
        deferred = {"broker": "memory", "reason": "newer_format"}
        await until(lambda: counted(client, "jobrelay_messages_deferred_total", **deferred))
        assert await client.dead() == []
        assert await client.phases(raw["data"]["id"]) == []
    assert (await read(cluster, job))["metadata"]["annotations"] == before["metadata"]["annotations"]
    assert (await read(cluster, job))["spec"].get("suspend") == before["spec"].get("suspend")


async def counted(client: Client, name: str, **labels: str) -> bool:
    return bool(client.state.metrics.registry.get_sample_value(name, labels))


async def test_a_command_for_a_newer_job_is_refused(broker: MemoryBroker, cluster: Cluster) -> None:
    _, job = stored(next(path for path in OF_JOBS if path.stem == "1-secret"))
    await cluster.create_job(rewritten(job, VERSION=NEWER))
    async with relaying(connected(broker), cluster, control_wait=0.5) as state:
        client = Client(broker, state)
        await client.command(make_command("cancel", "secret", event_id="c"))
        answer = await client.reached("c", "rejected")
        assert detail(answer)["error"]["errorCode"] == "NEWER_FORMAT"
    left = await read(cluster, job)
    assert Annotation.VERDICT not in left["metadata"]["annotations"]
    assert left["spec"]["suspend"] is True


async def test_uninstall_leaves_newer_jobs_to_a_newer_uninstall(
    cluster: Cluster, devcluster: DevCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    versions = {path.stem: NEWER if path.stem == "1-secret" else str(FORMAT_VERSION) for path in OF_JOBS}
    for path in OF_JOBS:
        version = versions[path.stem]
        await cluster.create_job(rewritten(stored(path)[1], VERSION=version))
    environ = {"JOBRELAY_KUBECONFIG": str(devcluster.kubeconfig), "JOBRELAY_NAMESPACES": "default"}
    settings = Settings.from_env(environ)
    assert await uninstall(settings, confirmed=True) == 1
    left = {path.stem: (await read(cluster, stored(path)[1]))["metadata"].get("finalizers", []) for path in OF_JOBS}
    assert left == {name: [FINALIZER] if version == NEWER else [] for name, version in versions.items()}
    shown = capsys.readouterr()
    assert "removed from 2 Jobs" in shown.out
    newer = next(path for path in OF_JOBS if versions[path.stem] == NEWER)
    assert f"default/{stored(newer)[1]['metadata']['name']}" in shown.err
