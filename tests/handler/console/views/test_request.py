"""One request: whole, with what happened to it."""

from typing import Any

import pytest

from handler.console.http.problems import Problem
from handler.console.views.request import EventsQuery, events_view, request_view
from k8s.api.cluster import Cluster
from tests.handler.console.views.seen import seeing
from tests.handler.history.recording.records import STORED, a_life, lifecycle

TRACE = "0af7651916cd43dd8448eb211c80319c"


async def test_a_request_is_shown_whole(cluster: Cluster) -> None:
    async with seeing(cluster, *a_life("r-1")) as (backend, _):
        detail = await request_view(backend, 1, now=STORED + 60)
        assert (detail.id, detail.phase, detail.tags, detail.may) == ("r-1", "succeeded", ["night"], ["again"])
        assert detail.trace_id is None
        assert detail.position == 3


@pytest.mark.parametrize(
    ("traceparent", "trace_id"),
    [(f"00-{TRACE}-b7ad6b7169203331-01", TRACE), ("00-0-0-0", None), (f"00-{TRACE.upper()}-b7ad6b7169203331-01", None)],
)
async def test_its_trace_is_named(cluster: Cluster, traceparent: str, trace_id: str | None) -> None:
    event = lifecycle("created", attributes={"traceparent": traceparent})
    async with seeing(cluster, event) as (backend, _):
        assert (await request_view(backend, 1)).trace_id == trace_id


async def test_a_request_that_waits_says_for_what_and_at_which_place(cluster: Cluster) -> None:
    events = [lifecycle("created"), lifecycle("queued", reason="limit", position=7)]
    events.append(lifecycle("queued", suffix="-2", time=STORED + 1, reason="limit", position=3))
    async with seeing(cluster, *events) as (backend, _):
        detail = await request_view(backend, 1)
        assert (detail.place, detail.says) == (3, "too many run, place 3")
        assert detail.may == ["suspend", "cancel"]


async def test_a_schedule_shows_its_last_runs(cluster: Cluster) -> None:
    events: list[Any] = [lifecycle("scheduled", "nightly", uid="s", schedule="0 3 * * *")]
    for n in range(12):
        events += a_life(f"nightly@{n:02}", time=STORED + n)
    events += a_life("nightly-not@1")
    async with seeing(cluster, *events) as (backend, _):
        detail = await request_view(backend, 1)
        assert [run.id for run in detail.runs] == [f"nightly@{n:02}" for n in range(11, 1, -1)]
        assert detail.may == ["suspend", "resume", "cancel"]


async def test_a_request_that_is_not_there_is_a_problem(cluster: Cluster) -> None:
    async with seeing(cluster) as (backend, _):
        for number in (1, 0, 10**30):
            with pytest.raises(Problem, match="no request with number") as caught:
                await request_view(backend, number)
            assert (caught.value.status, caught.value.code) == (404, "NOT_FOUND")


async def test_its_events_come_in_pages_and_in_words(cluster: Cluster) -> None:
    progress = [lifecycle("progress", suffix=f"-{n}", succeeded=n, total=9, time=STORED + 3) for n in range(5)]
    async with seeing(cluster, lifecycle("created"), *progress) as (backend, _):
        first = await events_view(backend, 1, EventsQuery(limit=4))
        assert [event.says for event in first.events][1:] == [f"{n} of 9 done" for n in range(3)]
        assert first.next is not None
        rest = await events_view(backend, 1, EventsQuery(limit=4, after=first.next))
        assert [event.phase for event in rest.events] == ["progress", "progress"]
        assert rest.next is None
        assert rest.events[-1].event["data"]["detail"]["succeeded"] == 4
