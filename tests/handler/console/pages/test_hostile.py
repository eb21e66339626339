"""Whatever events say is shown as text: it is no markup, turns no text around, and fits the page."""

import re
from typing import Any

import pytest

from handler.console.pages.rendering import Urls
from k8s.api.cluster import Cluster
from tests.handler.console.pages.looking import Seen, looking, seen
from tests.handler.history.recording.records import lifecycle

SCRIPT = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>"
TURNED = "\u202egnp.exe\u2066\u200f"
NAME = f"{SCRIPT} {TURNED} ../a b%2F?x=1#y"
"""As hostile as attributes of events can be."""
HOSTILE = f"{NAME}\x07\x1b[31m"


def hostile(phase: str, of: str = NAME, **detail: Any) -> Any:
    """An event that says such things wherever it can."""
    return lifecycle(
        phase, of, uid="uid-1", service=HOSTILE[:60], image=HOSTILE, function=HOSTILE, podId="pod-1", podName=HOSTILE,
        node=HOSTILE, jobId="uid-1", jobName=HOSTILE, namespace=HOSTILE[:60], exitCode=1, logTail=HOSTILE,
        error={"errorCode": HOSTILE, "message": HOSTILE}, tags=[HOSTILE, *(f"<b>{n}" for n in range(99))],
        attributes={"requestsource": f"/{NAME}", "causationid": NAME}, **detail,
    )  # fmt: skip


def assert_harmless(shown: Seen) -> None:
    assert shown.inline == []
    # One file of ours each; nothing that was said.
    assert [name for name, _ in shown.tags if name in ("script", "img")] == ["script", "img"]
    assert all("data-sum" in attributes for attributes in shown.of("b"))
    assert all(link.startswith(("/", "#")) for link in shown.links)
    assert not re.search("[\u202e\u2066\u200f\x07\x1b]", shown.text)


async def test_it_is_text_on_each_page(cluster: Cluster) -> None:
    async with looking(cluster, hostile("created"), hostile("started"), hostile("failed", result=HOSTILE)) as page:
        first = await seen(page, "/")
        assert_harmless(first)
        assert "<script>alert(1)</script>" in first.text
        [path] = {link for link in first.links if re.fullmatch(r"/requests/[1-9]\d*", link)}
        shown = await seen(page, path)
        assert_harmless(shown)
        assert r"\u202egnp.exe\u2066\u200f" in shown.text
        assert r"\u0007\u001b[31m" in shown.text
        # Whoever follows a link to others of the same kind gets those.
        for link in {link for link in shown.links if link.startswith(("/?service", "/?source", "/?tag=%22"))}:
            assert path in (await seen(page, link)).links, link


async def test_what_is_asked_for_is_text_too(cluster: Cluster) -> None:
    async with looking(cluster) as page:
        answer = await page.get("/", params={"q": HOSTILE, "tag": SCRIPT, "service": TURNED})
        shown = Seen(await answer.text())
        assert_harmless(shown)
        assert [field["value"] for field in shown.of("input") if field.get("name") == "q"] == [HOSTILE]
        answer = await page.get("/", params={SCRIPT: TURNED})
        assert answer.status == 400
        assert_harmless(Seen(await answer.text()))


async def test_huge_texts_are_cut_on_the_page(cluster: Cluster) -> None:
    long = "x" * 150_000
    events = [
        lifecycle("created", "r" * 1000, uid="uid-1", tags=["t" * 250 for _ in range(100)]),
        lifecycle(
            "failed", "r" * 1000, uid="uid-1", error={"errorCode": "E" * 200, "message": long}, result="y" * 60_000
        ),
    ]
    async with looking(cluster, *events) as page:
        first = await page.get("/")
        assert len(await first.text()) < 10_000
        shown = Seen(await first.text())
        [path] = {link for link in shown.links if re.fullmatch(r"/requests/[1-9]\d*", link)}
        answer = await page.get(path)
        assert len(await answer.text()) < 120_000
        assert f"/api/v1{path}" in Seen(await answer.text()).links


@pytest.mark.parametrize("segment", ["a/b", "a b", "50%", "%2F", "ü", "?#&", "a\\b", "\ud800"])
def test_ids_of_any_kind_are_one_segment_of_a_path(segment: str) -> None:
    made = Urls("/jobs")("/schedules", segment, "run", source="/a b", job=None)
    assert re.fullmatch(r"/jobs/schedules/[A-Za-z0-9%._~-]+/run\?source=%2Fa\+b", made)
