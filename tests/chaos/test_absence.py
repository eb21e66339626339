"""Jobs end or are deleted while jobrelay does not run, or while it watches: that is reported once, and completely."""

import asyncio
from pathlib import Path

import pytest

from k8s.api.cluster import Cluster
from k8s.base import NotFound
from tests.chaos.claims import distinct, path_problems
from tests.chaos.load import Stage, publish, stage
from tests.chaos.table import Rows
from tests.chaos.waiting import ended, reached
from tests.handler.jobs import is_finished, job_of, name_of, without_finalizer_or_gone
from tests.handler.relay import detail
from tests.handler.samples import make_request, until
from tests.long import LONG

AWAY = 310.0 if LONG else 0.5
"""The shortest possible TTL is 300 s: the long form is away for longer."""
TTL = {"JOBRELAY_DEDUP_SECONDS": "300", "JOBRELAY_TTL_SECONDS": "300"}

POLICIES = ("Background", "Foreground", "Orphan")

pytestmark = [pytest.mark.broker, pytest.mark.timeout(500 if LONG else 300)]


async def gone(on: Stage, request_id: str, job_uid: str) -> None:
    """Wait until neither the Job nor a pod of it exists."""

    async def look() -> bool:
        try:
            await job_of(on.cluster, request_id)
        except NotFound:
            return not await on.cluster.pods_of("default", job_uid)
        return False

    await until(look)


def assert_reported_once(on: Stage, request_id: str, end: str) -> None:
    events = [event for event in distinct(on.observer.received()) if event.subject == request_id]
    assert path_problems(events) == []
    assert events[-1].phase == end


@pytest.mark.long
# In `make test`, a scene of tests/e2e does this (downtime).
async def test_jobs_that_ended_while_jobrelay_was_away_are_reported_with_result_and_exit_code(
    tmp_path: Path, rows: Rows
) -> None:
    async with stage(tmp_path) as on:
        relay = await on.here.start_relay(TTL)
        await publish(on.broker, make_request("good", script='sleep 1.5; echo 42 > "$JOBRELAY_RESULT_PATH"'))
        await publish(on.broker, make_request("bad", script="sleep 1.5; echo the reason >&2; exit 7"))
        await reached(on, "good", "started")
        await reached(on, "bad", "started")
        relay.kill()
        await relay.wait()
        await until(lambda: is_finished(on.cluster, "good"))
        await until(lambda: is_finished(on.cluster, "bad"))
        assert "ttlSecondsAfterFinished" not in (await job_of(on.cluster, "good"))["spec"], "nothing can expire"
        await asyncio.sleep(AWAY)
        await on.here.start_relay(TTL)
        (good,), (bad,) = await ended(on, "good"), await ended(on, "bad")
        assert (detail(good)["result"], detail(good)["exitCode"]) == (42, 0)
        assert (detail(bad)["exitCode"], "the reason" in detail(bad)["logTail"]) == (7, True)
        await without_finalizer_or_gone(on.cluster, "good")
        await without_finalizer_or_gone(on.cluster, "bad")
        assert_reported_once(on, "good", "succeeded")
        assert_reported_once(on, "bad", "failed")
    done = f"away for {AWAY:.1f} s while Jobs ended, TTL 300 s"
    rows.add("jobrelay away", "nats", done=done, outcome="result, exit code and log arrived")


async def test_a_running_job_deleted_from_outside_is_cancelled_once_and_its_pods_end(
    tmp_path: Path, rows: Rows
) -> None:
    async with stage(tmp_path) as on:
        relay = await on.here.start_relay()
        watched = [f"watched-{policy}" for policy in POLICIES]
        unwatched = [f"unwatched-{policy}" for policy in POLICIES]
        uids = {}
        for name in (*watched, *unwatched):
            await publish(on.broker, make_request(name, script="sleep 300"))
        for name in (*watched, *unwatched):
            await reached(on, name, "started")
            uids[name] = (await job_of(on.cluster, name))["metadata"]["uid"]
        await _delete_each(on.cluster, watched)
        for name in watched:
            await gone(on, name, uids[name])
        relay.kill()
        await relay.wait()
        await _delete_each(on.cluster, unwatched)
        await on.here.start_relay()
        for name in unwatched:
            await gone(on, name, uids[name])
        for name in (*watched, *unwatched):
            (end,) = await ended(on, name)
            assert detail(end)["error"]["errorCode"] == "DELETED"
            assert_reported_once(on, name, "cancelled")
    done = f"running ones, {', '.join(POLICIES)}, with jobrelay there and away"
    rows.add("Jobs deleted by somebody", "nats", done=done, outcome="cancelled once each, no pod left")


async def _delete_each(cluster: Cluster, names: list[str]) -> None:
    for name in names:
        path = f"/apis/batch/v1/namespaces/default/jobs/{name_of(name)}"
        await cluster.client.request("DELETE", path, params={"propagationPolicy": name.partition("-")[2]})
