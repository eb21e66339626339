"""The loop around the decisions: Jobs that change while a decision is carried out, and changes that need none."""

import asyncio
import itertools
import json
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from adapters.memory import MemoryBroker
from events.jobs.observed import Job
from events.jobs.queueing import Queueing
from handler.admission.data import Decisions
from handler.controller.admitting import DECIDING, Admitting
from handler.settings.settings import Settings
from k8s.api.cluster import Cluster
from k8s.base import Manifest, Refused, Unavailable
from k8s.informer.informer import JobCache
from k8s.informer.jobs import Contents
from k8s.informer.schedules import ScheduleCache
from tests.handler.jobs import is_suspended, job_of, name_of
from tests.handler.parts import make_services, make_term
from tests.handler.relay import Client, detail, running
from tests.handler.samples import make_command, make_request, until
from tests.patience import PATIENCE, within


@pytest.fixture
def one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The writes of a decision are made one after the other."""
    monkeypatch.setattr("handler.controller.enacting.WRITES_AT_ONCE", 1)


def before_patch(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, act: Callable[[str], Awaitable[Any]], *request_ids: str
) -> None:
    """Call `act` once, with the request's id, before the first patch that releases or ends a Job of these requests.

    The requests must come from `make_request`.
    """
    patch_job, names = cluster.patch_job, {name_of(request_id): request_id for request_id in request_ids}

    async def patched(namespace: str, name: str, patch: Manifest, **options: Any) -> Job:
        if "spec" in patch and name in names:
            request_id = names[name]
            names.clear()
            await act(request_id)
        return await patch_job(namespace, name, patch, **options)

    monkeypatch.setattr(cluster, "patch_job", patched)


@pytest.mark.usefixtures("one_at_a_time")
async def test_a_job_suspended_after_the_decision_to_release_it_stays_suspended(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields: dict[str, Any] = {"concurrency": {"key": "k"}}
    async with running(broker, cluster) as client:
        await client.occupied(tmp_path / "go", exclusive=True, **fields)
        for name in ("first", "second"):
            await client.queued(make_request(name, **fields))

        async def suspend(_: str) -> None:
            await client.command(make_command("suspend", "second"))
            await client.reached("second", "suspended")

        before_patch(cluster, monkeypatch, suspend, "first")
        (tmp_path / "go").touch()
        await client.ended("first")
        assert await is_suspended(cluster, "second")
        await client.command(make_command("resume", "second", event_id="command-2"))
        await client.ended("second")
        assert await client.phases("second") == ["created", "queued", "suspended", "resumed", "started", "succeeded"]


@pytest.mark.usefixtures("one_at_a_time")
async def test_a_job_cancelled_after_the_decision_to_fail_it_is_cancelled(
    broker: MemoryBroker, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = {"a": "b", "b": "a"}
    failed: list[str] = []
    async with running(broker, cluster) as client:

        async def cancel(request_id: str) -> None:
            failed.append(request_id)
            await client.command(make_command("cancel", other[request_id]))
            await client.reached("command-1", "accepted")

        before_patch(cluster, monkeypatch, cancel, *other)
        await client.queued(make_request("a", dependencies=["b"]))
        await client.publish(make_request("b", dependencies=["a"]))
        codes = {name: detail(await client.ended(name))["error"]["errorCode"] for name in other}
        assert codes.pop(other[failed[0]]) == "CANCELLED"
        # If the Job controller ends the cancelled Job first, no cycle is left when the other is decided about again.
        assert set(codes.values()) <= {"DEPENDENCY_CYCLE", "DEPENDENCY_FAILED"}


def decisions(client: Client) -> int:
    """How many decisions there were so far."""
    return int(client.state.metrics.registry.get_sample_value("jobrelay_admission_seconds_count") or 0)


async def test_changes_that_do_not_matter_to_admission_lead_to_no_decision(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path
) -> None:
    async with running(broker, cluster, max_active=1) as client:
        await client.occupied(tmp_path / "go")
        await client.queued(make_request("waits"))
        before = decisions(client)
        for name, number in itertools.product(("busy", "waits"), range(20)):
            await cluster.patch_job("default", name_of(name), {"metadata": {"annotations": {"seen": str(number)}}})
            await until(partial(_is_seen, client, cluster, name))
        # Once this event is published, all earlier changes have been taken into account.
        await client.queued(make_request("last"))
        assert before < decisions(client) < before + 10
        (tmp_path / "go").touch()
        await client.ended("last")


async def _is_seen(client: Client, cluster: Cluster, request_id: str) -> bool:
    assert client.state.cache is not None
    job = client.state.cache.get(("default", name_of(request_id)))
    stored = await job_of(cluster, request_id)
    return job is not None and str(job.version) == stored["metadata"]["resourceVersion"]


async def test_long_decisions_leave_time_for_everything_else(
    broker: MemoryBroker, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    decide, seconds = Admitting._decide, 0.05

    def long(self: Admitting) -> Decisions:
        time.sleep(seconds)
        return decide(self)

    async with running(broker, cluster, admission="always") as client:
        await client.publish(make_request("first"))
        await client.ended("first")
        monkeypatch.setattr(Admitting, "_decide", long)
        begun, before = time.monotonic(), decisions(client)
        for number in range(40):
            await client.publish(make_request(f"r-{number}"))
        for number in range(40):
            await client.ended(f"r-{number}")
        took, made = time.monotonic() - begun, decisions(client) - before
        assert 2 <= made <= 1 + DECIDING * took / seconds


async def test_a_job_that_the_api_server_refuses_to_release_does_not_hold_up_others(
    broker: MemoryBroker, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    patch_job, refused = cluster.patch_job, []

    async def patched(namespace: str, name: str, patch: Manifest, **options: Any) -> Job:
        if name == name_of("denied") and patch.get("spec") == {"suspend": False}:
            refused.append(name)
            raise Refused("admission webhook denied the request", status=403)
        return await patch_job(namespace, name, patch, **options)

    monkeypatch.setattr(cluster, "patch_job", patched)
    async with running(broker, cluster, max_active=5) as client:
        await client.publish(make_request("denied", priority=9), make_request("other"))
        await client.ended("other")
        assert await is_suspended(cluster, "denied")
        await client.command(make_command("cancel", "denied"))
        assert detail(await client.ended("denied"))["error"]["errorCode"] == "CANCELLED"
    # Nothing but the Job's status changed meanwhile: trying again and again would only burden the API server.
    assert len(refused) < 10


async def test_a_job_without_a_decision_yet_counts_as_waiting_for_room(cluster: Cluster) -> None:
    contents = Contents()
    settings = Settings.model_validate({"max_active": 1})
    services = make_services(cluster, settings.model_copy(update={"namespaces": ("default",)}))
    admitting = Admitting(services, make_term(JobCache(contents, ScheduleCache(), {})))

    def comes(name: str, service: str | None = None, **queueing: Any) -> None:
        asked = Queueing(**queueing).to_annotation()
        contents.put_job(make_observed(name, suspend=True, queued="created", queueing=asked, service=service))
        admitting.changed([("default", name)])
        admitting._refresh()

    assert admitting.counts() is None
    contents.put_job(make_observed("runs"))
    admitting.changed([("default", "runs")])
    comes("later", "a", run_at="2999-01-01T00:00:00Z")
    comes("next")
    admitting._remember(admitting._decide())
    shares: dict[str, dict[str, int]] = {"queued": {"": 1}, "waiting": {"a": 1}}
    assert json.loads(admitting.counts() or "") == {"queued": 1, "waiting": 1, "active": 1, "shares": shares}
    comes("new", "a")
    comes("newer", "a")
    shares["queued"] = {"a": 2, "": 1}
    assert json.loads(admitting.counts() or "") == {"queued": 3, "waiting": 1, "active": 1, "shares": shares}


def make_observed(name: str, **fields: Any) -> Job:
    return Job(namespace="default", name=name, uid=name, version=1, created=0.0, request_id=name, source="/s", **fields)


@pytest.mark.parametrize("hangs", [True, False], ids=["hangs", "fails"])
async def test_a_job_whose_release_hangs_or_fails_does_not_hold_up_the_others(
    broker: MemoryBroker, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, *, hangs: bool
) -> None:
    patch_job, tried = cluster.patch_job, asyncio.Event()

    async def patched(namespace: str, name: str, patch: Manifest, **options: Any) -> Job:
        if name == name_of("poison"):
            tried.set()
            if hangs:
                await asyncio.Event().wait()
            raise Unavailable("500 failed calling webhook")
        return await patch_job(namespace, name, patch, **options)

    monkeypatch.setattr(cluster, "patch_job", patched)
    # While it is not known whether a Job was released it takes room; one that was not stands aside.
    async with running(broker, cluster, admission="always", max_active=2 if hangs else 1) as client:
        await client.publish(make_request("poison", priority=100))
        await asyncio.wait_for(tried.wait(), PATIENCE)
        for number in range(3):
            await client.publish(make_request(f"plain-{number}"))
            await client.ended(f"plain-{number}", seconds=within(5.0))
        monkeypatch.setattr(cluster, "patch_job", patch_job)
        if not hangs:
            await client.ended("poison")
