"""What is answered is what the document says, and what the pages show."""

from pathlib import Path
from typing import Any

import pytest

from adapters.base import Kind, Topic
from adapters.memory import MemoryBroker
from events.cloudevent.event import build
from handler.console.http.answers import dumped
from handler.console.views.models import Told
from k8s.api.cluster import Cluster
from tests.handler.console.actions.acting import Site, site
from tests.handler.console.api.described import faults
from tests.handler.console.asking import bare
from tests.handler.samples import make_command, make_request, until

HOSTILE = "<script>alert('x')</script>\u202e"


async def filled(here: Site) -> dict[str, int]:
    """Numbers of a request that ended, a schedule, and a dead letter."""
    result = '{"n": 1.50, "half": "\\ud800"}'
    done = make_request("a/b c%2F", script=f"echo hello; echo '{result}' > /dev/termination-log", tags=[HOSTILE])
    nightly = make_request("nightly", schedule="0 3 * * *")
    await here.client.publish(done, make_request("bad", script="exit 3"), nightly)
    await here.client.command(make_command("cancel", "nobody", actor="ada"))
    refused = build({"specversion": "1.0", "type": "x", "source": "/tests", "id": "?"}, {"not": "for us"})
    await here.client.broker.publish(Topic(Kind.REQUESTS), refused)
    ended = await here.recorded("a/b c%2F", "succeeded")
    scheduled = await here.recorded("nightly", "scheduled")
    await here.recorded("bad", "failed")
    await here.answered()

    async def letter() -> int | None:
        found: Any = await (await here.page.get("/api/v1/dead")).json()
        return found["letters"][0]["number"] if found["letters"] else None

    return {"request": ended.pk, "schedule": scheduled.pk, "letter": await until(letter)}


async def test_every_answer_is_as_the_document_says(broker: MemoryBroker, cluster: Cluster) -> None:
    async with site(broker, cluster) as here:
        numbers = await filled(here)
        document: Any = await (await here.page.get("/api/v1/openapi.json")).json()
        for path, methods in document["paths"].items():
            if "get" not in methods or "application/json" not in methods["get"]["responses"]["200"]["content"]:
                continue
            for name in ("request", "schedule") if path.startswith("/requests/") else ("letter",):
                asked = f"/api/v1{path}".replace("{number}", str(numbers[name])).replace("{eventId}", "e-1")
                answer = await here.page.get(asked)
                assert answer.status == 200, asked
                assert answer.headers["Content-Type"] == "application/json", asked
                assert not faults(document, path, await answer.json()), asked
        one: Any = await (await here.page.get(f"/api/v1/requests/{numbers['request']}")).json()
        assert (one["id"], one["tags"]) == ("a/b c%2F", [HOSTILE])


PROBLEMS = [
    ("/requests?limt=3", 400, "INVALID_PARAMETERS"),
    ("/requests?limit=0&phase=gone&since=yesterday", 400, "INVALID_PARAMETERS"),
    ("/requests?since=1h&until=2h", 400, "EMPTY_RANGE"),
    ("/requests?after=x", 400, "BAD_CURSOR"),
    ("/requests/99", 404, "NOT_FOUND"),
    ("/requests/999999999999999999/events", 404, "NOT_FOUND"),
    ("/requests/1?x=1", 400, "INVALID_PARAMETERS"),
    ("/requests/one", 404, "NOT_FOUND"),
    ("/me?x=1", 400, "INVALID_PARAMETERS"),
    ("/dead?broker=kafka", 404, "NOT_FOUND"),
    ("/dead/1?broker=kafka", 404, "NOT_FOUND"),
]


async def test_problems_name_all_that_is_wrong(broker: MemoryBroker, cluster: Cluster) -> None:
    async with site(broker, cluster) as here:
        document: Any = await (await here.page.get("/api/v1/openapi.json")).json()
        for asked, status, code in PROBLEMS:
            answer = await here.page.get(f"/api/v1{asked}")
            problem = await answer.json(content_type="application/problem+json")
            assert (answer.status, problem["code"]) == (status, code), asked
            assert not faults(document, "/requests/{number}", problem, status=404)
        answer = await here.page.get("/api/v1/requests?limt=3&limit=0&phase=gone&since=yesterday")
        errors = (await answer.json(content_type=None))["errors"]
        assert {error["path"].partition(".")[0] for error in errors} == {"limt", "limit", "phase", "since"}
        assert "did you mean limit?" in str(errors)


async def test_without_a_history_it_says_so(tmp_path: Path) -> None:
    async with bare(tmp_path) as (page, _):
        answer = await page.get("/api/v1/requests")
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
        assert (await answer.json(content_type=None))["code"] == "HISTORY_UNAVAILABLE"


@pytest.mark.parametrize("text", ["half \ud800", "whole"])
def test_anything_can_be_written_as_json(text: str) -> None:
    told = Told(position=1, id="1", phase="x", time=None, says=text, event={text: [text]})
    assert dumped(told).decode().count("whole" if text == "whole" else "half ?") == 3
