"""A Job or CronJob that lost the labels it is found by gets them back, whenever it lost them; nobody else's does."""

from pathlib import Path
from typing import Any

import pytest

from adapters.memory import MemoryBroker
from events.names import FINALIZER, Label
from handler.controller.astray import jobs as searches, treatment
from k8s.api.client import STRATEGIC_MERGE
from k8s.api.cluster import Cluster
from k8s.base import Conflict, KubernetesError, Manifest, Refused, Unavailable
from k8s.devcluster.loops import Options
from tests.handler.controller.scheduling import cron_jobs, make_schedule
from tests.handler.jobs import job_of, name_of, without_finalizer
from tests.handler.relay import WHOLE, Client, detail, running
from tests.handler.samples import make_command, make_request, until, waits_for

BATCH = "/apis/batch/v1/namespaces/default"
LOST: list[dict[str, str | None]] = [
    {Label.INSTANCE: None},
    {Label.INSTANCE: "another"},
    {Label.MANAGED_BY: None},
    dict.fromkeys((Label.INSTANCE, Label.MANAGED_BY, Label.REQUEST, Label.NAME, Label.APP)),
]


@pytest.fixture
def running_options() -> Options:
    return Options(backoff=0.5, cron_minute=2.0)


async def label(cluster: Cluster, name: str, labels: dict[str, str | None], *, kind: str = "jobs") -> None:
    patch = {"metadata": {"labels": labels}}
    await cluster.client.request("PATCH", f"{BATCH}/{kind}/{name}", body=patch, content_type=STRATEGIC_MERGE)


def restored(client: Client) -> float:
    return client.state.metrics.registry.get_sample_value("jobrelay_labels_restored_total") or 0.0


@pytest.mark.parametrize("lost", LOST, ids=["removed", "another", "not-managed", "all"])
async def test_what_lost_its_labels_while_nobody_led_is_told_to_its_end(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path, lost: dict[str, str | None]
) -> None:
    async with running(broker, cluster) as client:
        await client.publish(make_request("real", script=waits_for(tmp_path / "go")))
        await client.reached("real", "started")
        before = (await job_of(cluster, "real"))["metadata"]["labels"]
    await label(cluster, name_of("real"), lost)
    async with running(broker, cluster) as client:
        await until(lambda: _has(cluster, before, but=(Label.NAME, Label.APP)))
        await until(lambda: _restored_once(client))
        await client.command(make_command("suspend", "real"))
        await client.reached("real", "suspended")
        await client.command(make_command("resume", "real", event_id="go-on"))
        (tmp_path / "go").touch()
        end = await client.ended("real")
        assert detail(end)["service"] == "tests"
        await without_finalizer(cluster, "real")
        assert (await client.phases("real")).count("succeeded") == 1


async def _restored_once(client: Client) -> bool:
    return restored(client) == 1


async def _has(cluster: Cluster, labels: dict[str, str], *, but: tuple[str, ...]) -> bool:
    found = (await job_of(cluster, "real"))["metadata"].get("labels", {})
    return all(found.get(name) == value for name, value in labels.items() if name not in but)


async def test_what_no_watch_has_shown_is_found_by_a_search(
    broker: MemoryBroker, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(treatment, "SEARCH_SECONDS", 0.2)
    async with running(broker, cluster, role="handler") as client:
        await client.publish(make_request("unseen"))
        job = await until(lambda: _its_job(cluster, "unseen"))
    await cluster.delete_job("default", name_of("unseen"))
    await _let_go(cluster, "unseen")
    async with running(broker, cluster) as client:
        await client.publish(make_request("first"))
        await client.ended("first")
        await cluster.create_job(_anew(job, {Label.APP: "tests"}))
        await client.ended("unseen")
        assert await client.phases("unseen") == WHOLE


async def _its_job(cluster: Cluster, request_id: str) -> Manifest | None:
    return next(iter(await cluster.list_jobs("default", Label.REQUEST)), None)


async def _let_go(cluster: Cluster, request_id: str) -> None:
    patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": [FINALIZER]}}
    await cluster.patch_job("default", name_of(request_id), patch)

    async def gone() -> bool:
        return await cluster.list_jobs("default", "") == []

    await until(gone)


def _anew(job: Manifest, labels: dict[str, str]) -> Manifest:
    """The same Job, as it was created, but with these labels."""
    spec = {name: value for name, value in job["spec"].items() if name != "selector"}
    template = spec["template"]["metadata"]
    template["labels"] = {name: value for name, value in template["labels"].items() if "controller-uid" not in name}
    template["labels"] = {name: value for name, value in template["labels"].items() if "job-name" not in name}
    kept = {name: job["metadata"][name] for name in ("name", "namespace", "annotations")}
    return {**job, "metadata": {**kept, "labels": labels, "finalizers": [FINALIZER]}, "spec": spec, "status": {}}


async def test_jobs_of_other_installations_are_left_alone_and_read_once(
    broker: MemoryBroker, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(treatment, "SEARCH_SECONDS", 0.1)
    read: list[str] = []
    reading = cluster.read_job

    async def reading_job(namespace: str, name: str) -> Manifest:
        read.append(name)
        return await reading(namespace, name)

    monkeypatch.setattr(cluster, "read_job", reading_job)
    searched: list[int] = []
    metadata = cluster.job_metadata

    async def listing(namespace: str, selector: str) -> Any:
        searched.append(1)
        return await metadata(namespace, selector)

    monkeypatch.setattr(cluster, "job_metadata", listing)
    async with running(broker, cluster, instance="another", role="handler") as client:
        await client.publish(make_request("theirs"), make_request("lost"), make_request("given"))
        await until(lambda: _count(cluster, 3))
    await label(cluster, name_of("lost"), {Label.INSTANCE: None})
    await label(cluster, name_of("given"), {Label.INSTANCE: "jobrelay"})
    before = [job["metadata"] for job in await cluster.list_jobs("default", "")]
    async with running(broker, cluster) as client:
        await client.publish(make_request("ours"))
        await client.ended("ours")
        seen = len(searched)
        await until(lambda: _more(searched, seen + 6))
        assert restored(client) == 0
        for request_id in ("theirs", "lost", "given"):
            assert await client.phases(request_id) == []
    after = {job["metadata"]["name"]: job["metadata"] for job in await cluster.list_jobs("default", "")}
    for meta in before:
        for field in ("labels", "finalizers", "annotations"):
            assert after[meta["name"]][field] == meta[field]
    assert sorted(read) == sorted([name_of("theirs"), name_of("lost")])


async def _count(cluster: Cluster, count: int) -> bool:
    return len(await cluster.list_jobs("default", "")) == count


async def _more(searched: list[int], count: int) -> bool:
    return len(searched) >= count


async def test_a_search_reads_only_so_many_jobs_of_others_but_all_without_a_label(
    broker: MemoryBroker, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searches, "LOOKS", 0)
    async with running(broker, cluster, role="handler") as client:
        await client.publish(make_request("unlabelled"), make_request("relabelled"))
        await until(lambda: _count(cluster, 2))
    await label(cluster, name_of("unlabelled"), {Label.INSTANCE: None})
    await label(cluster, name_of("relabelled"), {Label.INSTANCE: "another"})
    async with running(broker, cluster) as client:
        await client.ended("unlabelled")
        assert await client.phases("relabelled") == []


@pytest.mark.parametrize("away", [False, True], ids=["led", "nobody-led"])
@pytest.mark.parametrize("lost", LOST, ids=["removed", "another", "not-managed", "all"])
async def test_a_schedule_that_lost_its_labels_goes_on(
    broker: MemoryBroker, cluster: Cluster, lost: dict[str, str | None], away: bool
) -> None:
    async with running(broker, cluster) as client:
        await client.publish(make_schedule(maxRuns=2))
        await client.reached("s", "scheduled")
        (before,) = await cron_jobs(cluster)
        if not away:
            await label(cluster, name_of("s"), lost, kind="cronjobs")
            await client.reached("s", "unscheduled")
    if away:
        await label(cluster, name_of("s"), lost, kind="cronjobs")
        async with running(broker, cluster) as client:
            await client.reached("s", "unscheduled")
    after = (await cluster.read_cron_job("default", name_of("s")))["metadata"]["labels"]
    kept = {name: value for name, value in before["metadata"]["labels"].items() if name not in (Label.NAME, Label.APP)}
    assert kept.items() <= after.items()


class Busy:
    """Makes the first `times` patches of Jobs and CronJobs come too late, or fail: another one is always faster."""

    def __init__(self, cluster: Cluster, error: KubernetesError, *, times: int) -> None:
        self._error, self._left = error, times
        self._jobs, self._cron_jobs = cluster.patch_job, cluster.patch_cron_job

    def _fail(self) -> None:
        self._left -= 1
        if self._left >= 0:
            raise self._error

    async def patch_job(self, namespace: str, name: str, patch: Manifest) -> Any:
        self._fail()
        return await self._jobs(namespace, name, patch)

    async def patch_cron_job(self, namespace: str, name: str, patch: Manifest) -> Any:
        self._fail()
        return await self._cron_jobs(namespace, name, patch)


@pytest.mark.parametrize("error", [Conflict("it has been modified"), Unavailable("no answer")], ids=["409", "503"])
async def test_a_search_treats_what_changes_meanwhile_at_once(
    broker: MemoryBroker, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, error: KubernetesError
) -> None:
    async with running(broker, cluster, role="handler") as client:
        await client.publish(make_request("r"))
        await until(lambda: _count(cluster, 1))
        await client.publish(make_schedule(maxRuns=1))
        await until(lambda: cron_jobs(cluster))
    await label(cluster, name_of("r"), {Label.INSTANCE: None})
    await label(cluster, name_of("s"), {Label.INSTANCE: None}, kind="cronjobs")
    busy = Busy(cluster, error, times=3)
    monkeypatch.setattr(cluster, "patch_job", busy.patch_job)
    monkeypatch.setattr(cluster, "patch_cron_job", busy.patch_cron_job)
    async with running(broker, cluster) as client:
        await client.ended("r")
        await client.reached("s", "unscheduled")


REFUSED, BUSY = Refused("not by this webhook", status=400), Conflict("it has been modified")


@pytest.mark.parametrize("error", [REFUSED, BUSY], ids=["400", "409"])
@pytest.mark.parametrize("kind", ["jobs", "cronjobs"])
async def test_a_search_leaves_out_what_cannot_be_treated(
    broker: MemoryBroker, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, kind: str, error: KubernetesError
) -> None:
    made, one = (make_request, cluster.patch_job) if kind == "jobs" else (make_schedule, cluster.patch_cron_job)
    async with running(broker, cluster, role="handler") as client:
        await client.publish(made("r1"), made("r2"))
        await until(lambda: _has_both(cluster, kind))
    for request_id in ("r1", "r2"):
        await label(cluster, name_of(request_id), {Label.INSTANCE: None}, kind=kind)
    # Whichever comes first in a list.
    first, other = sorted(("r1", "r2"), key=name_of)

    async def patch(namespace: str, name: str, patch: Manifest) -> Any:
        if name == name_of(first):
            raise error
        return await one(namespace, name, patch)

    monkeypatch.setattr(cluster, one.__name__, patch)
    async with running(broker, cluster) as client:
        await client.reached(other, "succeeded" if kind == "jobs" else "scheduled")
        assert await client.phases(first) == []


async def _has_both(cluster: Cluster, kind: str) -> bool:
    return len(await (cluster.list_jobs("default", "") if kind == "jobs" else cron_jobs(cluster))) == 2
