"""Jobs of several pods: retries, failures and results by index, and ends by policy."""

from typing import Any

import pytest

from events.jobs.observed import Job
from events.lifecycle.transitions import Transition, transitions
from events.phases import Phase
from tests.events.samples import condition, failed, make_job, running, succeeded

INDEXED: dict[str, Any] = {"indexed": True, "completions": 3, "parallelism": 3}
EACH: dict[str, Any] = {**INDEXED, "backoff_limit_per_index": 1, "backoff_limit": 2**31 - 1}


def retries(job: Job, *pods: Any) -> dict[str, Transition]:
    return {
        transition.suffix: transition for transition in transitions(job, pods) if transition.phase is Phase.RETRYING
    }


def end(job: Job, *pods: Any) -> dict[str, Any]:
    last = transitions(job, pods)[-1]
    assert last.terminal
    return last.detail


def ended(reason: str, **fields: Any) -> Job:
    conditions = (condition("Failed", at=9, reason=reason, message="as Kubernetes says"),)
    return make_job(**{**EACH, "conditions": conditions, **fields})


def test_a_retry_is_identified_by_its_index_where_each_index_has_a_limit() -> None:
    pods = [failed("a", at=4, index=2), failed("b", at=5, index=0), running("c", at=8, index=2)]
    found = retries(make_job(**EACH), *pods)
    assert list(found) == ["2.1", "0.1"]
    assert found["2.1"].key == "retrying/2.1"
    assert found["2.1"].detail == {
        "attempt": 1,
        "index": 2,
        "error": {
            "errorCode": "JOB_EXECUTION_FAILED",
            "message": "container main ended with exit code 3",
            "container": "main",
        },
    }


def test_an_index_that_has_used_up_its_limit_is_not_retried() -> None:
    pods = [failed("a", at=4, index=1), failed("b", at=7, index=1)]
    assert list(retries(make_job(**EACH), *pods)) == ["1.1"]
    assert retries(make_job(**{**EACH, "backoff_limit_per_index": 0}), *pods) == {}


def test_a_pod_of_another_index_proves_no_retry_once_the_job_is_failing() -> None:
    failing = make_job(**EACH, conditions=(condition("FailureTarget", at=8),))
    later = running("b", at=6, index=0)
    assert retries(failing, failed("a", at=4, index=1), later) == {}
    assert list(retries(failing, failed("a", at=4, index=1), running("b", at=6, index=1))) == ["1.1"]


def test_without_limits_per_index_retries_are_counted_over_all_indexes() -> None:
    pods = [failed("a", at=4, index=2), failed("b", at=5, index=0)]
    found = retries(make_job(**INDEXED, backoff_limit=1), *pods)
    assert list(found) == ["1"]
    assert found["1"].detail["index"] == 2


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("FailedIndexes", "FAILED_INDEXES"),
        ("MaxFailedIndexesExceeded", "MAX_FAILED_INDEXES"),
        ("PodFailurePolicy", "POD_FAILURE_POLICY"),
        ("BackoffLimitExceeded", "JOB_EXECUTION_FAILED"),
    ],
)
def test_a_failure_has_the_code_of_what_ended_the_job(reason: str, code: str) -> None:
    detail = end(ended(reason), failed("a", index=1))
    counted = reason == "BackoffLimitExceeded"
    message = "container main ended with exit code 3" if counted else "as Kubernetes says"
    assert detail["error"] == {"errorCode": code, "message": message, "container": "main"}


def test_a_failure_lists_the_failed_indexes_and_the_results_of_the_others() -> None:
    job = ended("FailedIndexes", failed_indexes="1", failed=1, succeeded=2)
    detail = end(job, succeeded("c", index=2, message='"two"'), failed("b", index=1), succeeded("a", index=0))
    assert detail["failedIndexes"] == "1"
    assert detail["results"] == [{"index": 0, "exitCode": 0}, {"index": 2, "exitCode": 0, "result": "two"}]


def test_a_success_policy_that_one_index_meets_lists_its_result_by_index() -> None:
    conditions = (condition("SuccessCriteriaMet", at=8), condition("Complete", at=9, reason="SuccessPolicy"))
    killed = failed("b", at=9, index=1, deleted=1.0)
    detail = end(make_job(**INDEXED, conditions=conditions, succeeded=1), succeeded("a", index=0, message="7"), killed)
    assert detail["results"] == [{"index": 0, "exitCode": 0, "result": 7}]
    assert "result" not in detail


def test_success_criteria_are_no_end_before_the_job_is_complete() -> None:
    job = make_job(**INDEXED, conditions=(condition("SuccessCriteriaMet", at=8),), succeeded=1)
    assert not transitions(job, [succeeded("a", index=0)])[-1].terminal
