"""Requests that no client should send: each is answered with the rule it breaks, creates nothing, and is kept."""

import json
from typing import Any

import pytest

from adapters.base import Kind, Topic
from adapters.memory import MemoryBroker
from events.names import REQUESTED_TYPE
from k8s.api.cluster import Cluster
from tests.handler.relay import Client, detail, running
from tests.handler.samples import until
from tests.paths import ROOT

CASES: list[dict[str, Any]] = json.loads((ROOT / "tests" / "hostile" / "requests.json").read_text())
POLICY: dict[str, Any] = {"images": ("registry.example/*",), "max_memory": "4Gi"}
STRUCTURED = {"content-type": "application/cloudevents+json"}
# An event that cannot be read has no id by which its answer could be found.
ANSWERED = [case for case in CASES if case["code"] != "INVALID_EVENT"]


def body(case: dict[str, Any]) -> bytes:
    number = CASES.index(case)
    attributes = {"specversion": "1.0", "type": REQUESTED_TYPE, "source": "/hostile", "id": f"e-{number}"}
    data = {"id": f"r-{number}", **case["data"]}
    return json.dumps({**attributes, "datacontenttype": "application/json", "data": data}).encode()


def test_there_are_at_least_thirty_cases_with_distinct_names() -> None:
    assert len({case["name"] for case in CASES}) == len(CASES) >= 30


async def test_every_case_is_answered_with_its_rule_and_kept_and_creates_nothing(
    broker: MemoryBroker, cluster: Cluster
) -> None:
    async with running(broker, cluster, **POLICY) as client:
        for case in CASES:
            broker.put(Topic(Kind.REQUESTS), STRUCTURED, body(case))
        for case in ANSWERED:
            rejected = await client.reached(f"r-{CASES.index(case)}", "rejected")
            judge(case, detail(rejected)["error"])
        await until(lambda: all_kept(client))
        letters = {letter.body: letter.headers for letter in await client.dead()}
        for case in CASES:
            headers = letters[body(case)]
            assert (case["name"], headers["jobrelay-code"]) == (case["name"], case["code"])
        assert await cluster.list_jobs("default", "") == []
        answers = [event for case in ANSWERED for event in await client.events(f"r-{CASES.index(case)}")]
        assert "hunter2" not in repr([event.get_data() for event in answers])
        assert "hunter2" not in repr(list(letters.values()))


def judge(case: dict[str, Any], error: dict[str, Any]) -> None:
    assert (case["name"], error["errorCode"]) == (case["name"], case["code"])
    fields = {field["path"]: field["message"] + field.get("allowed", "") for field in error["fields"]}
    assert case["path"] in fields, case["name"]
    assert case["said"] in fields[case["path"]], case["name"]


async def all_kept(client: Client) -> bool:
    return len(await client.dead()) == len(CASES)


@pytest.mark.parametrize("case", [case for case in CASES if case["schema"]], ids=lambda case: str(case["name"]))
def test_what_the_schema_can_check_is_not_left_to_the_policy(case: dict[str, Any]) -> None:
    assert case["code"] == "INVALID_REQUEST"
