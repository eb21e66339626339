"""How far ahead, and how urgent, a request may be: what is allowed, what is refused, and which setting says so."""

from datetime import UTC, datetime
from typing import Any

import pytest

from adapters.memory import MemoryBroker
from events.cloudevent.timestamp import format_epoch
from handler.intake.queueing import queue_refusals
from handler.settings.settings import Settings
from k8s.api.cluster import Cluster
from tests.handler.relay import detail, running
from tests.handler.samples import make_request as make_event
from tests.k8s.requests import make_request

NOW = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
DAY = 86_400


def refused(settings: dict[str, Any], **data: Any) -> dict[str, str]:
    found = queue_refusals(make_request(**data).request, Settings(**settings), now=NOW)
    return {refusal.path: str(refusal) for refusal in found}


@pytest.mark.parametrize(
    ("days", "most"), [(366, {}), (1, {"max_run_at_days": 1}), (36_500, {"max_run_at_days": 36_500})]
)
def test_a_time_passes_exactly_up_to_its_maximum(days: int, most: dict[str, Any]) -> None:
    assert refused(most, runAt=format_epoch(NOW + days * DAY)) == {}
    found = refused(most, runAt=format_epoch(NOW + days * DAY + 1))
    assert "JOBRELAY_MAX_RUN_AT_DAYS" in found["runAt"]
    assert f"at most {days} days" in found["runAt"]


def test_the_end_of_time_is_refused_and_not_quoted_and_a_time_that_is_past_is_none_to_wait_for() -> None:
    found = refused({}, runAt="9999-12-31T23:59:59Z")
    assert list(found) == ["runAt"]
    assert "9999" not in found["runAt"]
    assert refused({}, runAt="1970-01-01T00:00:00Z") == {}


def test_a_priority_passes_exactly_up_to_its_maximum() -> None:
    assert refused({}, priority=1000) == {}
    assert refused({"max_priority": 10}, priority=10) == {}
    assert (
        "JOBRELAY_MAX_PRIORITY allows (allowed: at most 10)" in refused({"max_priority": 10}, priority=11)["priority"]
    )
    assert list(refused({"max_priority": 0}, priority=1)) == ["priority"]
    assert refused({"max_priority": 0}) == {}


async def test_both_are_told_at_once_with_every_other_broken_rule_and_no_job_is_made(
    broker: MemoryBroker, cluster: Cluster
) -> None:
    async with running(broker, cluster, max_priority=5, max_parallelism=1, role="handler") as client:
        job = {"image": "busybox:1", "parallelism": 2}
        await client.publish(make_event("greedy", job=job, runAt="9999-01-01T00:00:00Z", priority=6))
        error = detail(await client.reached("greedy", "rejected"))["error"]
    assert error["errorCode"] == "FORBIDDEN"
    assert {field["path"] for field in error["fields"]} == {"job.parallelism", "runAt", "priority"}
