"""What batch/v1 offers for Jobs of several pods, as seen from the broker. Holds on any cluster."""

from typing import Any

import pytest

from tests.e2e.conftest import Stage
from tests.e2e.observer import detail

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]


async def ended(stage: Stage, name: str) -> dict[str, Any]:
    end = await stage.observer.ended(name, seconds=stage.seconds())
    phases = [phase for phase in stage.observer.phases(name) if phase not in ("progress", "retrying")]
    assert phases[:2] == ["created", "started"]
    assert len(phases) == 3
    return detail(end)


async def test_an_indexed_job_reports_the_result_of_each_index(stage: Stage) -> None:
    results = (await ended(stage, "indexed"))["results"]
    assert [(result["index"], result["result"]) for result in results] == [(0, 0), (1, 1), (2, 2)]


async def test_a_work_queue_succeeds_once_all_of_its_pods_have(stage: Stage) -> None:
    results = (await ended(stage, "work-queue"))["results"]
    assert [result["exitCode"] for result in results] == [0, 0]


async def test_an_index_over_its_own_limit_fails_the_job_but_not_other_indexes(stage: Stage) -> None:
    found = await ended(stage, "each-index")
    assert found["error"]["errorCode"] == "FAILED_INDEXES"
    assert found["failedIndexes"] == "1"
    assert [result["index"] for result in found["results"]] == [0, 2]


async def test_a_success_policy_ends_the_job_with_the_first_success(stage: Stage) -> None:
    found = await ended(stage, "any-index")
    assert found["results"] == [{"index": 0, "exitCode": 0, "result": 0}]


async def test_a_failure_policy_fails_the_job_at_once(stage: Stage) -> None:
    found = await ended(stage, "policy")
    assert found["error"]["errorCode"] == "POD_FAILURE_POLICY"
    assert found["exitCode"] == 42
