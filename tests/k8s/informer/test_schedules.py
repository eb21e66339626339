"""CronJobs and their new runs in the cache, whatever happens to a watch; and how recorded CronJobs are read."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from events.names import FINALIZER, Annotation
from k8s.api.cluster import Cluster
from k8s.base import Malformed
from k8s.informer.informer import JobCache
from k8s.reading.cronjob import parse_cron_job, schedule_of
from k8s.reading.job import job_of
from tests.k8s.conftest import eventually
from tests.k8s.informer.conftest import following
from tests.k8s.objects import make_job
from tests.k8s.server import CRON_JOBS, JOBS, Server
from tests.paths import TRACES

TRACE = TRACES / "cronjob.json"

Manifest = dict[str, Any]


def make_cron_job(
    name: str, *, has_finalizer: bool = True, uid: str = "", annotations: Mapping[str, str] | None = None
) -> Manifest:
    return {
        "metadata": {
            "name": name,
            "namespace": "ns",
            "uid": uid or f"uid-of-{name}",
            "creationTimestamp": "2026-11-21T22:17:11Z",
            "annotations": {Annotation.ID: name, Annotation.SOURCE: "/test", **(annotations or {})},
            "finalizers": [FINALIZER] if has_finalizer else [],
        },
        "spec": {"schedule": "* * * * *", "jobTemplate": {}},
    }


def make_run(name: str, *, run: str | None = "new", has_finalizer: bool = False, **metadata: Any) -> Manifest:
    job = make_job(name, has_finalizer=has_finalizer)
    if run is not None:
        job["metadata"]["annotations"][Annotation.RUN] = run
    return {**job, "metadata": {**job["metadata"], **metadata}}


def names(cache: JobCache) -> list[str]:
    return sorted(schedule.name for schedule in cache.schedules.all())


async def test_only_cron_jobs_with_our_finalizer_are_kept(cluster: Cluster, server: Server) -> None:
    server.put(CRON_JOBS, make_cron_job("a"))
    server.put(CRON_JOBS, make_cron_job("b", has_finalizer=False))
    async with following(cluster) as cache:
        assert names(cache) == ["a"]
        server.put(CRON_JOBS, make_cron_job("c"))
        assert await cache.schedules.changed() >= {("ns", "a")}
        await eventually(lambda: names(cache) == ["a", "c"])
        server.put(CRON_JOBS, make_cron_job("a", has_finalizer=False))
        server.delete(CRON_JOBS, "c")
        await eventually(lambda: names(cache) == [])
        assert await cache.schedules.changed() == {("ns", "a"), ("ns", "c")}


async def test_a_cron_job_deleted_unseen_is_gone_after_the_next_list(cache: JobCache, server: Server) -> None:
    for name in ("a", "b"):
        server.put(CRON_JOBS, make_cron_job(name))
    await eventually(lambda: names(cache) == ["a", "b"])
    server.delete(CRON_JOBS, "a", silent=True)
    await cache.resync()
    assert names(cache) == ["b"]


async def test_the_answer_to_a_patch_is_in_the_cache_at_once_and_not_undone_by_older_events(
    cache: JobCache, server: Server
) -> None:
    first = server.put(CRON_JOBS, make_cron_job("a"))
    await eventually(lambda: names(cache) == ["a"])
    patched = make_cron_job("a")
    patched["metadata"] |= {"resourceVersion": "900", "annotations": {Annotation.RUNS: "{}"}}
    cache.schedules.assume(schedule_of(patched))
    cache.schedules.put(schedule_of(first))
    found = cache.schedules.get(("ns", "a"))
    assert found is not None
    assert found.runs == "{}"


async def test_a_deleted_cron_job_does_not_come_back_with_an_answer(cache: JobCache, server: Server) -> None:
    stored = server.put(CRON_JOBS, make_cron_job("a"))
    await eventually(lambda: names(cache) == ["a"])
    server.delete(CRON_JOBS, "a")
    await eventually(lambda: names(cache) == [])
    stored["metadata"]["resourceVersion"] = "900"
    cache.schedules.assume(schedule_of(stored))
    assert names(cache) == []


async def test_a_cron_job_created_again_is_not_taken_for_the_former(cache: JobCache, server: Server) -> None:
    before = server.put(CRON_JOBS, make_cron_job("a", uid="old"))
    await eventually(lambda: names(cache) == ["a"])
    server.put(CRON_JOBS, make_cron_job("a", uid="new"))
    await eventually(lambda: [schedule.uid for schedule in cache.schedules.all()] == ["new"])
    server.line(CRON_JOBS, json.dumps({"type": "DELETED", "object": before}).encode())
    server.put(CRON_JOBS, make_cron_job("b"))
    await eventually(lambda: names(cache) == ["a", "b"])


async def test_a_new_run_is_kept_apart_from_our_jobs(cache: JobCache, server: Server) -> None:
    owner = {"apiVersion": "batch/v1", "kind": "CronJob", "name": "c", "uid": "uid-of-c", "controller": True}
    server.put(JOBS, make_run("fresh", ownerReferences=[owner]))
    for other in (
        make_run("plain", run=None),
        make_run("done", run="2026-11-21T22:18:00Z"),
        make_run("going", deletionTimestamp="2026-11-21T22:18:00Z"),
    ):
        server.put(JOBS, other)
    server.put(JOBS, make_job("ours"))
    await eventually(lambda: cache.get(("ns", "ours")))
    assert [job.name for job in cache.new_runs()] == ["fresh"]
    assert [job.name for job in cache.jobs()] == ["ours"]
    assert cache.get(("ns", "fresh")) is None
    assert cache.new_run(("ns", "ours")) is None
    run = cache.new_run(("ns", "fresh"))
    assert run is not None
    assert (run.schedule, run.schedule_uid) == ("c", "uid-of-c")


async def test_an_adopted_run_is_a_job_like_any_other(cache: JobCache, server: Server) -> None:
    server.put(JOBS, make_run("a"))
    await eventually(cache.new_runs)
    server.put(JOBS, make_run("a", run="2026-11-21T22:18:00Z", has_finalizer=True))
    await eventually(cache.jobs)
    assert cache.new_runs() == []


async def test_deletion_of_a_new_run_is_reported(cache: JobCache, server: Server) -> None:
    server.put(JOBS, make_run("a"))
    await eventually(cache.new_runs)
    await cache.changed()
    server.delete(JOBS, "a")
    assert await cache.changed() == {("ns", "a")}
    assert cache.new_runs() == []


def test_recorded_cron_jobs_and_their_jobs_are_read() -> None:
    watch: list[Any] = json.loads(TRACE.read_text())["watch"]
    jobs = [job_of(event["object"]) for event in watch if event["kind"] == "jobs" and event["type"] == "ADDED"]
    assert [(job.schedule, job.scheduled_at, job.run) for job in jobs] == [("tick", 1_795_299_480.0, None)]
    steps: list[Any] = json.loads(TRACE.read_text())["steps"]
    bodies = [step["response"]["body"] for step in steps]
    schedules = [schedule_of(body) for body in bodies if body.get("kind") == "CronJob"]
    assert {(schedule.cron, schedule.time_zone, schedule.concurrency_policy) for schedule in schedules} == {
        ("* * * * *", "Etc/UTC", "Forbid")
    }
    assert [schedule.suspend for schedule in schedules] == [False, False, True]
    assert [schedule.last_schedule_time for schedule in schedules] == [None, 1_795_299_480.0, 1_795_299_480.0]
    assert not any(schedule.has_finalizer for schedule in schedules)


@pytest.mark.parametrize(
    ("note", "value"), [(Annotation.MAX_RUNS, "many"), (Annotation.MAX_RUNS, "-1"), (Annotation.VERSION, "x")]
)
def test_invalid_annotations_count_as_absent(note: str, value: str) -> None:
    schedule = schedule_of(make_cron_job("a", annotations={note: value}))
    assert (schedule.max_runs, schedule.format) == (None, 0)


@pytest.mark.parametrize("raw", [b"", b"{}", b'{"metadata": {"name": "a"}}', b'{"metadata": {}, "spec": {}}', b"\xff"])
def test_an_object_that_is_no_cron_job_is_malformed(raw: bytes) -> None:
    with pytest.raises(Malformed, match="no CronJob"):
        parse_cron_job(raw)
