"""The list of requests, and the counts above it."""

from typing import Any

import pytest

from events.phases import Phase
from handler.console.http.problems import Problem
from handler.console.views.requests import RequestsQuery, requests_view, summary_view, summed_up
from handler.history.base import BadCursor
from k8s.api.cluster import Cluster
from tests.handler.console.views.seen import seeing
from tests.handler.history.recording.records import STORED, a_life, lifecycle


def lives(count: int) -> list[Any]:
    """One after the other, each a minute later; every third fails."""
    ends = ("succeeded", "succeeded", "failed")
    return [e for n in range(count) for e in a_life(f"r-{n}", time=STORED + 60 * n, end=ends[n % 3])]


async def test_each_filter_leaves_what_it_says(cluster: Cluster) -> None:
    async with seeing(cluster, *lives(9), lifecycle("created", "other", uid="u", service="x")) as (backend, _):

        async def found(**asked: Any) -> list[str]:
            query = RequestsQuery.model_validate(asked)
            return [row.id for row in (await requests_view(backend, query, now=STORED + 600)).requests]

        assert await found() == [*(f"r-{n}" for n in range(8, -1, -1)), "other"]
        assert await found(q="r-", phase=["failed"]) == ["r-8", "r-5", "r-2"]
        assert await found(phase=["failed", "created"]) == ["r-8", "r-5", "r-2", "other"]
        assert await found(service="x") == ["other"]
        assert await found(tag="night", since="3m") == ["r-8", "r-7"]
        assert await found(id="r-1", source="/shop") == ["r-1"]
        assert await found(id="r-1", source="/elsewhere") == []
        assert await found(until="2020-01-01") == []


async def test_pages_follow_each_other_though_the_time_goes_on(cluster: Cluster) -> None:
    async with seeing(cluster, *lives(9)) as (backend, _):
        ids: list[str] = []
        after, now = None, STORED + 480.1234567
        while True:
            query = RequestsQuery(limit=2, since="1h", after=after)
            page = await requests_view(backend, query, now=now)
            ids += [row.id for row in page.requests]
            if (after := page.next) is None:
                break
            now += 3600
        assert ids == [f"r-{n}" for n in range(8, -1, -1)]
        for token in ("x", "x~1", "~", f"{'9' * 50}~{'9' * 50}", "é~é"):
            with pytest.raises(BadCursor):
                await requests_view(backend, RequestsQuery(since="1h", after=token), now=now)


async def test_a_row_says_what_the_commands_say(cluster: Cluster) -> None:
    long = {"errorCode": "JOB_STALLED", "message": "<script>" * 300}
    events = [*a_life("r-1", end="failed"), lifecycle("stalled", "r-2", uid="2", error=long)]
    async with seeing(cluster, *events) as (backend, _):
        failed, stalled = (await requests_view(backend, RequestsQuery(q="r-"), now=STORED + 60)).requests
        assert (failed.says, failed.exit_code, failed.duration) == ("JOB_EXECUTION_FAILED: it failed", 1, 10)
        assert (failed.created, failed.terminal) == ("2026-01-15T08:00:00Z", True)
        assert stalled.says.endswith("…")
        assert len(stalled.says) == 300
        assert "duration" in failed.model_dump(by_alias=True)


async def test_a_row_does_not_repeat_the_exit_code_before_the_last_words(cluster: Cluster) -> None:
    error = {"errorCode": "JOB_EXECUTION_FAILED", "message": "container main ended with exit code 3: no\u202e customer"}
    async with seeing(cluster, lifecycle("failed", "r-1", exitCode=3, error=error)) as (backend, _):
        [row] = (await requests_view(backend, RequestsQuery())).requests
        assert (row.says, row.exit_code) == ("no  customer", 3)


async def test_a_stream_from_the_position_misses_nothing(cluster: Cluster) -> None:
    async with seeing(cluster, *lives(2)) as (backend, _):
        page = await requests_view(backend, RequestsQuery())
        assert page.position == (await backend.reader.since(0))[-1].position


async def test_an_empty_range_is_named(cluster: Cluster) -> None:
    async with seeing(cluster) as (backend, _):
        with pytest.raises(Problem) as caught:
            await requests_view(backend, RequestsQuery(since="1h", until="2h"))
        assert (caught.value.status, caught.value.code, caught.value.errors[0].path) == (400, "EMPTY_RANGE", "since")


async def test_counts_of_a_day_and_of_now(cluster: Cluster) -> None:
    waiting = [lifecycle("created", f"w-{n}", uid=f"w-{n}", time=STORED) for n in range(3)]
    running = [lifecycle("started", "s", uid="s", podId="p", podName="p", time=STORED)]
    old = a_life("old", time=STORED - 90_000)
    async with seeing(cluster, *old, *lives(6), *waiting, *running) as (backend, _):
        summary = await summed_up(backend, now=STORED + 600)
        assert summary.totals == {Phase.CREATED: 9, Phase.SUCCEEDED: 4, Phase.FAILED: 2}
        assert summary.now == {"running": 1, "waiting": 3, "stalled": 0, "suspended": 0}
        assert (await summary_view(backend)).now == summary.now
