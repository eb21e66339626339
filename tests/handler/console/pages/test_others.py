"""The pages beside the list of requests: what people need is there, without a script, and what was said is text."""

import re
import time
from typing import Any

import pytest

from adapters.memory import MemoryBroker
from handler.history.base import Action
from k8s.api.cluster import Cluster
from tests.handler.console.pages.filled import bury, filled, waiting
from tests.handler.console.pages.looking import Seen, seen
from tests.handler.console.pages.test_hostile import HOSTILE, NAME
from tests.handler.controller.scheduling import cron_jobs, make_schedule
from tests.handler.history.recording.records import lifecycle
from tests.handler.relay import running
from tests.handler.samples import until

PAGES = ("/queue", "/schedules", "/dead", "/audit", "/stats")
MOST_BYTES = 30_000
EVENT = b'{"specversion":"1.0","id":"e-1","source":"/shop","type":"com.example.paid","data":"<b>"}'


def actions(count: int, **fields: Any) -> list[Action]:
    said = {"actor": "ada", "verb": "cancel", "request_id": "r-1", "outcome": "accepted", "code": None} | fields
    return [Action(id=f"control/{number:03}", time=time.time() - number, **said) for number in range(count)]


def forms_of(page: Seen, method: str) -> list[str]:
    return [form["action"] for form in page.of("form") if form.get("method") == method]


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/queue", "Nothing waits"),
        ("/schedules", "No schedules"),
        ("/dead", "No dead letters"),
        ("/dead?code=X", "No such dead letters"),
        ("/audit", "Nobody asked for anything yet"),
        ("/audit?actor=eve", "Nothing found"),
        ("/stats", "No requests in this time"),
    ],
)
async def test_pages_without_anything_say_what_that_means(
    cluster: Cluster, broker: MemoryBroker, path: str, says: str
) -> None:
    async with filled(cluster, broker) as (page, _):
        shown = await seen(page, path)
    assert says in shown.text
    assert shown.inline == []
    assert len(shown.ids) == len(set(shown.ids))


async def test_what_waits_stands_by_its_place_and_what_stalls_on_top(cluster: Cluster, broker: MemoryBroker) -> None:
    events = [event for place in range(1, 41) for event in waiting(place, place=place)]
    events += [
        lifecycle("created", "stuck", uid="uid-s"),
        lifecycle("stalled", "stuck", uid="uid-s", error={"errorCode": "UNSCHEDULABLE", "message": "no GPU"}),
    ]
    async with filled(cluster, broker, *events) as (page, _):
        shown = await seen(page, "/queue")
    text = shown.text
    assert text.index("UNSCHEDULABLE") < text.index("40 waiting") < text.index("too many run")
    assert text.index("waits-001") < text.index("waits-002") < text.index("waits-020")
    assert "waits-021" not in text
    assert "Requests, high priority" in text
    assert "/?phase=queued" in shown.links


async def test_schedules_can_be_asked_to_run_pause_and_go(cluster: Cluster, broker: MemoryBroker) -> None:
    async with running(broker, cluster) as client:
        await client.publish(make_schedule(f"a/b {NAME}"[:60], cron="0 0 1 1 *"))

        async def look() -> bool:
            return bool(await cron_jobs(cluster))

        await until(look)
    async with filled(cluster, broker) as (page, _):
        shown = await seen(page, "/schedules")
        verbs = [action.partition("?")[0].rpartition("/")[2] for action in forms_of(shown, "post")]
        assert verbs == ["run", "suspend", "cancel"]
        assert all(action.startswith("/schedules/a%2Fb%20%22") for action in forms_of(shown, "post"))
        assert all("job=default%2F" in action for action in forms_of(shown, "post"))
        assert "confirm" in [field.get("name") for field in shown.of("input")]
        assert_text_alone(shown)
    async with filled(cluster, broker, ui_read_only="on") as (page, _):
        assert forms_of(await seen(page, "/schedules"), "post") == []


async def test_dead_letters_are_chosen_shown_and_asked_for(cluster: Cluster, broker: MemoryBroker) -> None:
    bury(
        broker,
        EVENT,
        code="INVALID_REQUEST",
        reason="job: is missing",
        **{"content-type": "application/cloudevents+json"},
    )
    bury(broker, bytes(range(256)), reason="no text")
    async with filled(cluster, broker) as (page, _):
        shown = await seen(page, "/dead?code=INVALID_R*")
        assert forms_of(shown, "post") == ["/dead/actions"]
        [chosen] = [field["value"] for field in shown.of("input") if field.get("name") == "letter"]
        assert chosen.startswith("memory/1/")
        assert "/dead/1?broker=memory" in shown.links
        one = await seen(page, "/dead/1?broker=memory")
        assert forms_of(one, "post") == ["/dead/1/replay?broker=memory", "/dead/1/drop?broker=memory"]
        assert chosen.endswith(next(field["value"] for field in one.of("input") if field.get("name") == "digest"))
        assert '"data":"<b>"' in one.text
        assert "00000050" in one.text, "its bytes"
        two = await seen(page, "/dead/2")
        assert "00000010 10 11 12" in two.text
        assert "AAECAwQ" in two.text
        await seen(page, "/dead/3", status=404)


async def test_the_audit_says_who_asked_for_what_and_goes_on(cluster: Cluster, broker: MemoryBroker) -> None:
    async with filled(cluster, broker, actions=[*actions(60)]) as (page, _):
        shown = await seen(page, "/audit?actor=ada")
        assert shown.text.count("accepted") == 50 + 1  # and the choice in the form
        assert "/?id=r-1" in shown.links
        older = next(link for link in shown.links if "after=" in link)
        assert "actor=ada" in older
        assert "/audit?actor=ada" in (await seen(page, older)).links, "the way back to the newest"
        await seen(page, "/audit?after=x", status=400)


async def test_statistics_have_numbers_percentiles_and_a_chart(cluster: Cluster, broker: MemoryBroker) -> None:
    events = [event for number in range(3) for event in [lifecycle("created", f"r-{number}", uid=f"u-{number}")]]
    events += [lifecycle("failed", f"r-{number}", uid=f"u-{number}", duration=30, exitCode=1) for number in range(2)]
    async with filled(cluster, broker, *events) as (page, _):
        shown = await seen(page, "/stats?since=1000d")
        assert "66" not in shown.text
        assert "100.0 %" in shown.text
        assert [link for link in shown.links if link.startswith("/stats?service=billing")]
        assert len(shown.of("rect")) == 1
        assert "p95" in (await seen(page, "/stats?since=1000d&service=billing")).text
        await seen(page, "/stats?step=hour&since=1000d", status=400)


async def test_what_was_said_is_text_on_each_page(cluster: Cluster, broker: MemoryBroker) -> None:
    bury(broker, HOSTILE.encode(), code="X", reason=HOSTILE, **{"x-it": NAME})
    events = waiting(1, place=1, name=NAME, reason=HOSTILE[:100], service=HOSTILE[:60])
    hostile = actions(2, actor=HOSTILE, verb=HOSTILE, request_id=NAME, outcome=HOSTILE, code=HOSTILE)
    async with filled(cluster, broker, *events, actions=hostile) as (page, _):
        for path in (*PAGES, "/dead/1"):
            shown = await seen(page, path)
            assert_text_alone(shown)
            if path not in ("/schedules", "/stats"):
                assert "<script>alert(1)</script>" in shown.text, path
        for path in PAGES:
            answer = await page.get(path, params=dict.fromkeys(("actor", "code", "service", "q", "nonsense"), HOSTILE))
            assert answer.status == 400
            assert_text_alone(Seen(await answer.text()))
        for path, name in (("/audit", "actor"), ("/dead", "code"), ("/stats", "service"), ("/schedules", "q")):
            shown = Seen(await (await page.get(path, params={name: HOSTILE})).text())
            assert_text_alone(shown)
            if path != "/schedules":
                assert HOSTILE in [field.get("value") for field in shown.of("input")]


async def test_full_pages_stay_small(cluster: Cluster, broker: MemoryBroker) -> None:
    for number in range(60):
        bury(broker, EVENT, code="INVALID_REQUEST", reason=f"{number} " + "why " * 100)
    events = [
        event
        for place in range(1, 61)
        for event in waiting(place, place=place, name=f"00000000-0000-4000-8000-{place:012}")
    ]
    events += [
        event
        for number in range(60)
        for event in [lifecycle("created", f"s-{number}", uid=f"u-{number}", service=f"service-{number}")]
    ]
    async with filled(cluster, broker, *events, actions=actions(60)) as (page, _):
        for path in ("/queue", "/dead", "/audit", "/stats?since=1000d"):
            html = await (await page.get(path)).text()
            assert len(html.encode()) <= MOST_BYTES, path


def assert_text_alone(shown: Seen) -> None:
    """Nothing that was said is markup, leads to another host, or turns text around."""
    assert shown.inline == []
    assert [name for name, _ in shown.tags if name in ("script", "img")] == ["script", "img"]
    assert all(link.startswith(("/", "#")) for link in shown.links)
    assert not re.search("[\u202e\u2066\u200f\x07\x1b]", shown.text)
