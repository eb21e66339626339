"""The informer against a server that misbehaves: whatever happens to a watch, the cache ends up with what exists."""

import asyncio
import json
import logging
import time

import pytest

from events.jobs.observed import Job
from events.lifecycle.keeping import GONE_KEPT
from k8s.api.cluster import Cluster
from k8s.informer import reflector
from k8s.informer.informer import JobCache
from k8s.reading.job import parse_job
from tests.k8s.conftest import eventually
from tests.k8s.informer.conftest import following
from tests.k8s.objects import make_job, make_pod
from tests.k8s.server import JOBS, PODS, Server, status
from tests.patience import PATIENCE, within


def names(cache: JobCache) -> list[str]:
    return sorted(job.name for job in cache.jobs())


def watches(server: Server) -> list[str]:
    return [path for _, path in server.requests if "watch=1" in path and path.startswith(JOBS)]


def lists(server: Server) -> list[str]:
    return [path for _, path in server.requests if "watch=1" not in path and path.startswith(JOBS)]


async def test_the_cache_is_synced_on_entry_page_after_page(cluster: Cluster, server: Server) -> None:
    server.page = 2
    for index in range(5):
        server.put(JOBS, make_job(f"j{index}"))
    server.put(PODS, make_pod("p", "j3"))
    async with following(cluster) as cache:
        assert names(cache) == ["j0", "j1", "j2", "j3", "j4"]
        assert [pod.name for pod in cache.pods("uid-of-j3")] == ["p"]
        assert cache.problem is None
    assert lists(server)[0] == f"{JOBS}?labelSelector=app%3Dx&limit=50"
    assert len(lists(server)) == 3


async def test_page_token_that_expires_starts_the_list_again(cluster: Cluster, server: Server) -> None:
    server.page = 2
    for index in range(3):
        server.put(JOBS, make_job(f"j{index}"))
    server.answer(410, status(410, "Expired"), part="continue=")
    async with following(cluster) as cache:
        assert names(cache) == ["j0", "j1", "j2"]


async def test_changes_come_through_the_watch(cache: JobCache, server: Server) -> None:
    server.put(JOBS, make_job("a"))
    assert await cache.changed() == {("ns", "a")}
    server.put(JOBS, make_job("a", active=1))
    assert await cache.changed() == {("ns", "a")}
    assert [job.active for job in cache.jobs()] == [1]
    server.put(PODS, make_pod("p", "a"))
    assert await cache.changed() == {("ns", "a")}
    server.delete(PODS, "p")
    assert await cache.changed() == {("ns", "a")}
    assert [pod.gone for pod in cache.pods("uid-of-a")] == [True]
    server.delete(JOBS, "a")
    assert await cache.changed() == {("ns", "a")}
    assert cache.get(("ns", "a")) is None


async def test_watch_asks_for_bookmarks_and_a_limited_session(cache: JobCache, server: Server) -> None:
    (path,) = watches(server)
    assert "allowWatchBookmarks=true" in path
    assert "timeoutSeconds=240" in path
    assert "resourceVersion=100" in path


async def test_job_without_our_finalizer_leaves_once_with_its_pods(cache: JobCache, server: Server) -> None:
    server.put(JOBS, make_job("a"))
    server.put(PODS, make_pod("p", "a"))
    await eventually(lambda: cache.pods("uid-of-a"))
    await cache.changed()
    server.put(JOBS, make_job("a", has_finalizer=False))
    assert await cache.changed() == {("ns", "a")}
    assert names(cache) == []
    assert cache.pods("uid-of-a") == []
    server.put(JOBS, make_job("a", has_finalizer=False, succeeded=1))
    server.put(JOBS, make_job("b"))
    assert await cache.changed() == {("ns", "b")}, "a Job without our finalizer is not reported again"


async def test_watch_resumes_where_it_was_after_a_cut(cache: JobCache, server: Server) -> None:
    server.put(JOBS, make_job("a"))
    await eventually(lambda: names(cache) == ["a"])
    server.cut()
    server.put(JOBS, make_job("b"))
    server.put(JOBS, make_job("c"))
    await eventually(lambda: names(cache) == ["a", "b", "c"])
    assert len(lists(server)) == 1
    assert "resourceVersion=101" in watches(server)[1]


async def test_refused_reconnects_are_tried_again_at_the_same_version(cache: JobCache, server: Server) -> None:
    server.put(JOBS, make_job("a"))
    await eventually(lambda: names(cache) == ["a"])
    await server.stop()
    await eventually(lambda: cache.problem)
    server.put(JOBS, make_job("b"))
    await asyncio.sleep(0.05)  # some refused attempts
    await server.start()
    await eventually(lambda: names(cache) == ["a", "b"])
    assert len(lists(server)) == 1
    await eventually(lambda: cache.problem is None)


async def test_silent_watch_is_taken_for_dead_and_resumed(cluster: Cluster, server: Server) -> None:
    async with following(cluster, idle=0.1) as cache:
        await eventually(lambda: len(watches(server)) >= 3)
        server.put(JOBS, make_job("a"))
        await eventually(lambda: names(cache) == ["a"])
    assert len(lists(server)) == 1


async def test_bookmark_moves_the_version_to_resume_from(cache: JobCache, server: Server) -> None:
    server.version = 500
    server.bookmark(JOBS)
    await eventually(lambda: cache.problem is None and server.watchers)
    server.cut()
    await eventually(lambda: len(watches(server)) >= 2)
    assert "resourceVersion=500" in watches(server)[1]


async def test_expired_version_in_the_stream_lists_again_and_reports_what_vanished(
    cache: JobCache, server: Server
) -> None:
    for name in ("a", "b"):
        server.put(JOBS, make_job(name))
    await eventually(lambda: names(cache) == ["a", "b"])
    await cache.changed()
    await server.stop()
    server.delete(JOBS, "a")
    server.put(JOBS, make_job("c"))
    server.version += 10
    server.compact()
    await server.start()
    await eventually(lambda: names(cache) == ["b", "c"])
    assert await cache.changed() == {("ns", "a"), ("ns", "c")}
    assert cache.relists >= 1


async def test_http_410_lists_again(cache: JobCache, server: Server) -> None:
    server.put(JOBS, make_job("a"), silent=True)
    server.answer(410, status(410, "Expired"), part="/jobs?watch=1")
    server.cut()
    await eventually(lambda: names(cache) == ["a"])
    assert cache.relists == 1


async def test_repeated_expired_versions_delay_the_next_list(
    cache: JobCache, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[int] = []

    def noted(attempt: int, **options: object) -> float:
        if "retry_after" not in options:  # a wait that has it follows a failed request
            waits.append(attempt)
        return 0.01

    monkeypatch.setattr(reflector, "backoff", noted)
    server.answer(410, status(410, "Expired"), part="/jobs?watch=1", times=4)
    server.cut()
    await eventually(lambda: len(lists(server)) == 5)
    await eventually(lambda: len(server.watchers) == 3)
    server.put(JOBS, make_job("back"))
    await eventually(lambda: names(cache) == ["back"])
    assert waits == [1, 2, 3], "the first list is made at once"
    waits.clear()
    server.answer(410, status(410, "Expired"), part="/jobs?watch=1")
    server.cut()
    await eventually(lambda: len(lists(server)) == 6)
    assert waits == [], "so is the next list after a watch that worked"


async def test_other_errors_in_the_stream_list_again(cache: JobCache, server: Server) -> None:
    server.put(JOBS, make_job("a"), silent=True)
    server.line(JOBS, b'{"type": "ERROR", "object": {"kind": "Status", "code": 500, "message": "etcd is tired"}}')
    await eventually(lambda: names(cache) == ["a"])


async def test_html_of_a_proxy_in_the_stream_loses_nothing(cache: JobCache, server: Server) -> None:
    server.put(JOBS, make_job("a"), silent=True)
    server.line(JOBS, b"<html><body>502 Bad Gateway</body></html>")
    await eventually(lambda: names(cache) == ["a"])
    assert cache.errors == 1


async def test_line_cut_in_the_middle_loses_nothing(cache: JobCache, server: Server) -> None:
    for watcher in server.watchers:
        watcher.queue.put_nowait(b'{"type": "ADDED", "object": {"metad')
    server.cut()
    server.put(JOBS, make_job("a"))
    await eventually(lambda: names(cache) == ["a"])


async def test_unreadable_object_is_left_out_counted_and_logged_once(
    cluster: Cluster, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    poison = make_job("bad")
    poison["status"] = {"conditions": "none"}
    server.put(JOBS, poison)
    server.put(JOBS, make_job("good"))
    async with following(cluster) as cache:
        assert names(cache) == ["good"]
        assert cache.errors == 1
        await cache.resync()
        assert cache.errors == 2
        assert sum("is left out" in record.message for record in caplog.records) == 1
        server.put(JOBS, make_job("bad"))
        await eventually(lambda: names(cache) == ["bad", "good"])
        server.put(JOBS, poison)
        await eventually(lambda: names(cache) == ["good"])
        server.put(JOBS, make_job("after"))
        await eventually(lambda: names(cache) == ["after", "good"])
    assert sum("is left out" in record.message for record in caplog.records) == 2, "once for each version"


@pytest.mark.parametrize("code", [401, 403, 404, 500])
async def test_refused_list_is_tried_until_it_works(cluster: Cluster, server: Server, code: int) -> None:
    server.put(JOBS, make_job("a"))
    server.answer(code, status(code, "No"), part="/jobs", times=4)
    async with asyncio.timeout(PATIENCE), following(cluster) as cache:
        assert names(cache) == ["a"]


async def test_problem_says_why_the_cache_is_behind(cache: JobCache, server: Server) -> None:
    server.answer(403, status(403, "Forbidden", 'jobs.batch is forbidden: User "x" cannot watch'), times=1000)
    server.cut()
    await eventually(lambda: "cannot watch" in str(cache.problem))
    server.heal()
    await eventually(lambda: cache.problem is None)


async def test_pod_that_comes_before_its_job_is_not_lost(cache: JobCache, server: Server) -> None:
    job = server.put(JOBS, make_job("a"), silent=True)
    server.put(PODS, make_pod("p", "a"))
    server.bookmark(PODS)
    await asyncio.sleep(0.05)  # the Pod arrives before its Job
    assert names(cache) == []
    server.line(JOBS, _line("ADDED", job))
    await eventually(lambda: names(cache) == ["a"])
    assert [pod.name for pod in cache.pods("uid-of-a")] == ["p"]


async def test_pods_of_jobs_that_are_not_in_the_cache_are_not_kept(cache: JobCache, server: Server) -> None:
    server.put(PODS, make_pod("p", "unknown"))
    await asyncio.sleep(0.05)
    server.put(JOBS, make_job("a"))
    await eventually(lambda: names(cache) == ["a"])
    assert not any(cache._contents._early.values())
    server.put(PODS, make_pod("q", "a"))
    await eventually(lambda: cache.pods("uid-of-a"))
    assert cache.pods("uid-of-unknown") == []


async def test_pods_that_vanished_meanwhile_are_gone_after_a_list(cache: JobCache, server: Server) -> None:
    server.put(JOBS, make_job("a"))
    for name in ("p", "q"):
        server.put(PODS, make_pod(name, "a"))
    server.put(PODS, make_pod("early", "b"))
    await eventually(lambda: len(cache.pods("uid-of-a")) == 2)
    server.delete(PODS, "p", silent=True)
    server.delete(PODS, "early", silent=True)
    await cache.changed()
    await cache.resync()
    assert {pod.name: pod.gone for pod in cache.pods("uid-of-a")} == {"p": True, "q": False}
    assert await cache.changed() == {("ns", "a")}
    server.put(JOBS, make_job("b"))
    await eventually(lambda: names(cache) == ["a", "b"])
    assert cache.pods("uid-of-b") == []


@pytest.mark.parametrize("silent", [False, True], ids=["watched", "listed"])
async def test_deleted_pods_are_kept_as_last_seen(cache: JobCache, server: Server, silent: bool) -> None:
    ran = {"containerStatuses": [{"name": "main", "state": {"running": {"startedAt": "2026-11-21T22:17:12Z"}}}]}
    server.put(JOBS, make_job("a"))
    server.put(PODS, make_pod("ran", "a", **ran))
    server.put(PODS, make_pod("waited", "a"))
    await eventually(lambda: len(cache.pods("uid-of-a")) == 2)
    server.delete(PODS, "ran", silent=silent)
    server.delete(PODS, "waited", silent=silent)
    if silent:
        await cache.resync()
    await eventually(lambda: all(pod.gone for pod in cache.pods("uid-of-a")))
    seen = {pod.name: (pod.started, pod.deleted) for pod in cache.pods("uid-of-a")}
    # Nobody saw when they were deleted: the last that was seen of them stands for it.
    assert seen == {"ran": (1795299432.0, 1795299432.0), "waited": (None, 1795299431.0)}
    server.put(JOBS, make_job("a", has_finalizer=False))
    await eventually(lambda: names(cache) == [])
    assert cache.pods("uid-of-a") == []


async def test_only_the_last_deleted_pods_are_kept(cache: JobCache, server: Server) -> None:
    ran = {"containerStatuses": [{"name": "main", "state": {"running": {"startedAt": "2026-11-21T22:17:12Z"}}}]}
    server.put(JOBS, make_job("a"))
    pods = [f"p{number:03}" for number in range(GONE_KEPT + 5)]
    for name in pods:
        server.put(PODS, make_pod(name, "a", **ran))
    await eventually(lambda: len(cache.pods("uid-of-a")) == len(pods))
    for name in pods:
        server.delete(PODS, name)
    await eventually(lambda: len(cache.pods("uid-of-a")) == GONE_KEPT)
    assert {pod.name for pod in cache.pods("uid-of-a")} == set(pods[5:])


async def test_list_that_is_older_than_our_patch_changes_nothing(cache: JobCache, server: Server) -> None:
    server.put(JOBS, make_job("a"))
    await eventually(lambda: names(cache) == ["a"])
    now = server.version
    cache.assume(parse(make_job("a", active=1) | {"metadata": {**make_job("a")["metadata"], "resourceVersion": "900"}}))
    server.delete(JOBS, "a", silent=True)
    assert server.version == now + 1
    await cache.resync()
    assert names(cache) == ["a"], "as far as we know it still existed after the list"
    server.version = 950
    await cache.resync()
    assert names(cache) == []


async def test_answer_to_our_patch_is_in_the_cache_at_once_and_not_undone_by_older_events(
    cache: JobCache, server: Server
) -> None:
    seen = server.put(JOBS, make_job("a"))
    await eventually(lambda: names(cache) == ["a"])
    patched = server.put(JOBS, make_job("a", active=1), silent=True)
    cache.assume(parse(patched))
    assert [job.active for job in cache.jobs()] == [1]
    server.line(JOBS, _line("MODIFIED", seen))
    server.put(JOBS, make_job("b"))
    await eventually(lambda: names(cache) == ["a", "b"])
    assert [job.active for job in cache.jobs() if job.name == "a"] == [1]
    cache.assume(parse(seen))
    assert [job.active for job in cache.jobs() if job.name == "a"] == [1]


async def test_job_whose_finalizer_we_removed_does_not_come_back_with_older_events(
    cache: JobCache, server: Server
) -> None:
    server.put(JOBS, make_job("a"))
    await eventually(lambda: names(cache) == ["a"])
    late = server.put(JOBS, make_job("a", active=1), silent=True)
    cache.assume(parse(server.put(JOBS, make_job("a", has_finalizer=False), silent=True)))
    assert names(cache) == []
    server.line(JOBS, _line("MODIFIED", late))
    server.put(JOBS, make_job("b"))
    await eventually(lambda: names(cache) == ["b"])


async def test_job_known_to_be_released_does_not_come_back_with_older_events(cache: JobCache, server: Server) -> None:
    server.put(JOBS, make_job("a"))
    await eventually(lambda: names(cache) == ["a"])
    (job,) = cache.jobs()
    late = server.put(JOBS, make_job("a", active=1), silent=True)
    answer = server.put(JOBS, make_job("a", has_finalizer=False), silent=True)
    cache.released(job, answer["metadata"]["resourceVersion"])
    assert names(cache) == []
    server.line(JOBS, _line("MODIFIED", late))
    server.put(JOBS, make_job("b"))
    await eventually(lambda: names(cache) == ["b"])


async def test_what_our_patch_was_answered_with_is_not_read_again(cache: JobCache, server: Server) -> None:
    server.put(JOBS, make_job("a"))
    await eventually(lambda: names(cache) == ["a"])
    patched = server.put(JOBS, make_job("a", active=1), silent=True)
    cache.assume(parse(patched))
    # Malformed, which nobody sees who does not read it.
    server.line(JOBS, _line("MODIFIED", patched | {"spec": "none"}))
    server.put(JOBS, make_job("b"))
    await eventually(lambda: names(cache) == ["a", "b"])
    assert cache.errors == 0


async def test_what_is_known_is_not_read_again_when_it_is_listed(cache: JobCache, server: Server) -> None:
    seen = server.put(JOBS, make_job("a"))
    await eventually(lambda: names(cache) == ["a"])
    (before,) = cache.jobs()
    # Malformed, which nobody sees who does not read it.
    seen["spec"] = "none"
    await cache.resync()
    assert cache.errors == 0
    assert cache.get(("ns", "a")) is before


async def test_deleted_job_leaves_with_its_last_finalizer_though_the_answer_has_the_version_before(
    cache: JobCache, server: Server
) -> None:
    seen = server.put(JOBS, make_job("a"))
    await eventually(lambda: names(cache) == ["a"])
    await cache.changed()
    cache.assume(parse(seen | {"metadata": {**seen["metadata"], "finalizers": []}}))
    assert names(cache) == []
    assert await cache.changed() == {("ns", "a")}
    server.line(JOBS, _line("MODIFIED", seen))
    server.delete(JOBS, "a")
    server.put(JOBS, make_job("a", uid="another"))
    await eventually(lambda: names(cache) == ["a"])
    cache.assume(parse(seen | {"metadata": {**seen["metadata"], "finalizers": []}}))
    assert names(cache) == ["a"], "that answer was about the Job that had the name before"


async def test_answer_to_a_patch_that_comes_after_the_deletion_is_ignored(cache: JobCache, server: Server) -> None:
    patched = server.put(JOBS, make_job("a"))
    server.delete(JOBS, "a")
    server.put(JOBS, make_job("b"))
    await eventually(lambda: names(cache) == ["b"])
    cache.assume(parse(patched))
    assert names(cache) == ["b"]


async def test_new_job_of_the_same_name_takes_the_place_of_the_old_one(cache: JobCache, server: Server) -> None:
    server.put(JOBS, make_job("a"))
    server.put(PODS, make_pod("p", "a"))
    await eventually(lambda: cache.pods("uid-of-a"))
    server.delete(JOBS, "a")
    server.put(JOBS, make_job("a", uid="another"))
    await eventually(lambda: (job := cache.get(("ns", "a"))) is not None and job.uid == "another")
    assert cache.pods("uid-of-a") == []


async def test_resync_finds_what_no_watch_reported(cache: JobCache, server: Server) -> None:
    server.put(JOBS, make_job("a"), silent=True)
    server.put(PODS, make_pod("p", "a"), silent=True)
    await cache.resync()
    assert names(cache) == ["a"]
    assert [pod.name for pod in cache.pods("uid-of-a")] == ["p"]
    server.put(JOBS, make_job("b"))
    await eventually(lambda: names(cache) == ["a", "b"])


@pytest.mark.stricter
async def test_fresh_is_the_last_sign_of_life_of_the_watch_furthest_behind(cache: JobCache, server: Server) -> None:
    entered = cache.fresh()
    assert abs(entered - time.time()) < within(3)
    await asyncio.sleep(0.02)
    server.bookmark(PODS)
    server.put(JOBS, make_job("a"))
    await eventually(lambda: cache.fresh() > entered)
    before = cache.fresh()
    server.put(JOBS, make_job("b"))
    await eventually(lambda: names(cache) == ["a", "b"])
    assert cache.fresh() == before, "the watch of Pods has received nothing since"
    assert 0 <= cache.age() < 5


async def test_reopening_a_watch_is_no_sign_of_life(cache: JobCache, server: Server) -> None:
    before = cache.fresh()
    server.cut()
    await eventually(lambda: len(watches(server)) >= 2)
    await eventually(lambda: len(server.watchers) == 3)
    assert cache.fresh() == before


async def test_reopened_watch_counts_as_fresh_only_after_the_lag(
    cache: JobCache, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    lag = 2.0  # Longer than the steps below take, also on a busy machine.
    monkeypatch.setattr(reflector, "LAG_SECONDS", lag)
    # The age is that of the quieter watch; the other watch opened a moment later.
    await eventually(lambda: cache.age() > lag + 1)
    before = cache.fresh()
    server.cut()
    await eventually(lambda: len(watches(server)) >= 2 and len(server.watchers) == 3)
    server.bookmark(PODS)
    server.put(JOBS, make_job("a"))
    await eventually(lambda: names(cache) == ["a"])
    assert cache.fresh() == before, "more of what it missed may be on its way"

    def fresh_after_more_bookmarks() -> bool:
        server.bookmark(PODS)
        server.bookmark(JOBS)
        return cache.fresh() > before

    await eventually(fresh_after_more_bookmarks)


async def test_error_in_the_block_comes_out_unchanged(cluster: Cluster) -> None:
    with pytest.raises(KeyError, match="mine"):
        async with following(cluster):
            raise KeyError("mine")


def parse(manifest: object) -> Job:
    return parse_job(_json(manifest))


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def _line(kind: str, manifest: object) -> bytes:
    return _json({"type": kind, "object": manifest})
