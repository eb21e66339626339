"""The first page and the page of one request: what people need is there, without a script."""

import re
from typing import Any

from k8s.api.cluster import Cluster
from tests.handler.console.pages.looking import Seen, looking, seen
from tests.handler.history.recording.records import a_life, lifecycle

MOST_BYTES = 30_000


def lives(count: int) -> list[Any]:
    """As many requests that have ended, with ids as most have them."""
    ends = ("succeeded", "failed")
    return [
        event
        for number in range(count)
        for event in a_life(f"00000000-0000-4000-8000-{number:012}", end=ends[number % 2])
    ]


async def test_the_first_page_says_what_to_do_while_there_is_nothing(cluster: Cluster) -> None:
    async with looking(cluster) as page:
        shown = await seen(page, "/")
        assert "No requests yet" in shown.text
        assert "/submit" in shown.links
        shown = await seen(page, "/?service=nobody&phase=failed")
        assert "No such requests" in shown.text
        # Each filter can be taken away by itself.
        assert {"/?phase=failed", "/?service=nobody"} <= set(shown.links)


async def test_fifty_requests_fit_a_page_of_thirty_kilobytes(cluster: Cluster) -> None:
    async with looking(cluster, *lives(51)) as page:
        html = await (await page.get("/")).text()
        assert html.count("data-number=") == 50 + 1  # and the row that others are made from
        assert len(html.encode()) <= MOST_BYTES


async def test_the_list_goes_on_with_the_filters_that_are_on(cluster: Cluster) -> None:
    async with looking(cluster, *lives(60)) as page:
        shown = await seen(page, "/?service=billing&limit=20")
        older = next(link for link in shown.links if "after=" in link)
        assert "service=billing" in older
        shown = await seen(page, older)
        assert "/?service=billing" in shown.links, "the way back to the newest"
        assert not any("data-live" in table for table in shown.of("table")), "only the first page is live"


async def test_a_failed_request_says_why_first(cluster: Cluster) -> None:
    tail = "Traceback:\n  <b>no</b> customer"
    failed = lifecycle(
        "failed", uid="uid-r-1", exitCode=3, logTail=tail, duration=10,
        error={"errorCode": "JOB_EXECUTION_FAILED", "message": "BackoffLimitExceeded"},
    )  # fmt: skip
    async with looking(cluster, *a_life("r-1")[:2], failed) as page:
        number = _numbers(await seen(page, "/"))[0]
        shown = await seen(page, f"/requests/{number}")
        why, _, rest = shown.text.partition("Timeline")
        for words in ("failed", "exit 3", "JOB_EXECUTION_FAILED", "<b>no</b> customer"):
            assert words in why
        for words in ("created", "started", "Pods", "r-1-0", "Log", "Facts", "/shop", "cause-r-1", "night"):
            assert words in rest
        assert f"/submit?again={number}" in shown.links
        assert [one["data-request"] for one in shown.of("main")] == [str(number)]


async def test_what_can_be_asked_of_a_request_depends_on_who_looks(cluster: Cluster) -> None:
    created = lifecycle("created", jobId="uid-1", jobName="job", namespace="jobs")
    async with looking(cluster, created) as page:
        shown = await seen(page, f"/requests/{_numbers(await seen(page, '/'))[0]}")
        assert {form.get("action", "").rpartition("/")[2] for form in shown.of("form")} >= {"suspend", "cancel"}
    async with looking(cluster, created, ui_read_only="on") as page:
        first = await seen(page, "/")
        shown = await seen(page, f"/requests/{_numbers(first)[0]}")
        posted = [form["action"] for form in first.of("form") + shown.of("form") if form.get("method") == "post"]
        assert posted == []
        assert "/submit" not in first.links


async def test_a_request_that_is_not_there_is_a_page_with_a_way_back(cluster: Cluster) -> None:
    async with looking(cluster, ui_base_path="/jobs") as page:
        shown = await seen(page, "/requests/999", status=404)
        assert "NOT_FOUND" in shown.text
        assert "/jobs/" in shown.links
        assert all(link.startswith(("/jobs/", "#")) for link in shown.links)


async def test_wrong_parameters_are_named_on_the_page(cluster: Cluster) -> None:
    async with looking(cluster) as page:
        shown = await seen(page, "/?fase=failed", status=400)
        assert "fase" in shown.text
        assert "phase" in shown.text


def _numbers(shown: Seen) -> list[int]:
    """Of the requests in a list, without the row that others are made from."""
    return [int(found[1]) for link in shown.links if (found := re.fullmatch(r".*/requests/([1-9]\d*)", link))]
