"""The detail of the terminal event: result, exit code, error, and when a verdict decides."""

import json
from typing import Any

import orjson
import pytest

from events.jobs.attempts import next_attempt_at
from events.jobs.observed import Job, Verdict
from events.jobs.pods import Pod
from events.lifecycle.outcome import outcome, unread
from events.lifecycle.results import MAX_RESULTS
from events.lifecycle.transitions import transitions
from events.phases import Phase
from tests.events.samples import NOON, condition, ended_by, failed, make_job, succeeded

BACKOFF = "Job has reached the specified backoff limit"
COMPLETE = (condition("Complete", at=9, reason="CompletionsReached"),)


def broken(reason: str = "BackoffLimitExceeded", message: str = "") -> Job:
    return make_job(conditions=(condition("Failed", at=9, reason=reason, message=message),), failed=1)


def given(phase: Phase, code: str, **fields: Any) -> Job:
    text = Verdict(phase=phase, error_code=code, message="because", at=NOON + 4).to_annotation()
    return make_job(verdict=text, **fields)


def end(job: Job, *pods: Pod) -> tuple[Phase, dict[str, Any]]:
    last = transitions(job, pods)[-1]
    assert last.terminal
    assert last.key == last.phase
    assert last.time == NOON + 9
    return last.phase, last.detail


def test_complete_job_succeeded_with_its_result() -> None:
    job = make_job(conditions=COMPLETE, succeeded=1)
    phase, detail = end(job, succeeded(at=5, message='{"total": 3}\n'))
    assert phase is Phase.SUCCEEDED
    assert detail == {
        "attempt": 1,
        "duration": 5,
        "startedAt": "2026-11-21T12:00:04Z",
        "finishedAt": "2026-11-21T12:00:09Z",
        "exitCode": 0,
        "result": {"total": 3},
    }


@pytest.mark.parametrize(
    ("message", "result"),
    [
        ("plain words\n", "plain words"),
        ("NaN", "NaN"),
        ("{", "{"),
        ("3", 3),
        ("null", None),
        ("  x ", "  x "),
        ("[" * 2000, "[" * 2000),
        ("[" * 500 + "]" * 500, "[" * 500 + "]" * 500),
    ],
)
def test_result_is_json_if_it_parses_and_else_text(message: str, result: object) -> None:
    _, detail = end(make_job(conditions=COMPLETE), succeeded(message=message))
    assert detail["result"] == result
    orjson.dumps(detail)


@pytest.mark.parametrize("message", [None, "", "\n"])
def test_empty_result_is_absent(message: str | None) -> None:
    _, detail = end(make_job(conditions=COMPLETE), succeeded(message=message))
    assert "result" not in detail


def test_success_after_failures_describes_the_pod_that_succeeded() -> None:
    job = make_job(conditions=COMPLETE, backoff_limit=3, failed=1)
    _, detail = end(job, failed("a", at=8, message="boo"), succeeded("b", at=5, message="ok"))
    assert (detail["attempt"], detail["exitCode"], detail["result"]) == (2, 0, "ok")
    assert "logTail" not in detail


def test_success_is_still_shown_when_the_pods_are_gone() -> None:
    phase, detail = end(make_job(conditions=COMPLETE, start_time=NOON + 1, succeeded=1))
    assert phase is Phase.SUCCEEDED
    assert detail == {
        "attempt": 1,
        "duration": 8,
        "startedAt": "2026-11-21T12:00:01Z",
        "finishedAt": "2026-11-21T12:00:09Z",
    }


def test_no_log_is_read_for_a_job_that_succeeded_after_a_failure() -> None:
    pods = [failed("a", at=3), succeeded("b", at=8)]
    assert unread(make_job(conditions=COMPLETE, backoff_limit=3, failed=1, succeeded=1), pods) is None
    assert unread(make_job(failed=1), pods[:1]) is None
    assert unread(broken(), pods[:1]) == (pods[0], pods[0].main)


def test_several_results_are_listed_by_index() -> None:
    pods = [succeeded(f"p{index}", index=index, message=f"{index}") for index in (2, 10, 0)]
    _, detail = end(make_job(conditions=COMPLETE, indexed=True), *pods)
    assert detail["results"] == [
        {"index": 0, "exitCode": 0, "result": 0},
        {"index": 2, "exitCode": 0, "result": 2},
        {"index": 10, "exitCode": 0, "result": 10},
    ]
    assert "result" not in detail
    assert "resultsTruncated" not in detail


def test_several_results_without_index_are_listed_by_pod_in_order_of_their_ends() -> None:
    pods = [succeeded("a", at=5), succeeded("b", at=3, message="x")]
    _, detail = end(make_job(conditions=COMPLETE), *pods)
    assert detail["results"] == [{"podName": "b", "exitCode": 0, "result": "x"}, {"podName": "a", "exitCode": 0}]


def test_results_are_cut_to_their_limit_and_marked_as_cut() -> None:
    pods = [succeeded(f"p{index}", index=index, message="x" * 4000) for index in range(9)]
    _, detail = end(make_job(conditions=COMPLETE), *pods)
    assert [result["index"] for result in detail["results"]] == [0, 1, 2, 3]
    assert len(json.dumps(detail["results"], separators=(",", ":"))) <= MAX_RESULTS
    assert detail["resultsTruncated"] is True


def test_failed_job_has_its_error_and_the_tail_of_its_log() -> None:
    phase, detail = end(broken(message=BACKOFF), failed(at=5, message="boo\n"))
    assert phase is Phase.FAILED
    assert detail == {
        "attempt": 1,
        "duration": 5,
        "startedAt": "2026-11-21T12:00:04Z",
        "finishedAt": "2026-11-21T12:00:09Z",
        "exitCode": 3,
        "error": {
            "errorCode": "JOB_EXECUTION_FAILED",
            "message": "container main ended with exit code 3: boo",
            "container": "main",
        },
        "logTail": "boo\n",
    }


@pytest.mark.parametrize(
    ("condition_reason", "pod_reason", "code"),
    [
        ("DeadlineExceeded", "Error", "DEADLINE_EXCEEDED"),
        ("DeadlineExceeded", "OOMKilled", "DEADLINE_EXCEEDED"),
        ("SomethingNew", "OOMKilled", "OOM_KILLED"),
        ("PodFailurePolicy", "Error", "POD_FAILURE_POLICY"),
    ],
)
def test_failure_has_the_code_and_message_of_its_cause(condition_reason: str, pod_reason: str, code: str) -> None:
    _, detail = end(broken(condition_reason, "so says Kubernetes"), failed(reason=pod_reason))
    assert detail["error"] == {"errorCode": code, "message": "so says Kubernetes", "container": "main"}


def test_a_message_that_only_counts_failures_is_replaced_by_the_last_of_them() -> None:
    _, detail = end(broken(message=BACKOFF), ended_by("Evicted", message="low on memory"))
    assert detail["error"] == {"errorCode": "EVICTED", "message": "Evicted: low on memory", "container": "main"}
    assert detail["exitCode"] == 137


def test_it_stays_where_nothing_is_known_of_the_pods() -> None:
    _, detail = end(broken(message=BACKOFF))
    assert detail["error"] == {"errorCode": "JOB_EXECUTION_FAILED", "message": BACKOFF}


def test_last_failed_pod_speaks_for_the_job() -> None:
    pods = [failed("a", at=8, exit_code=9, message="last"), failed("b", at=4, reason="OOMKilled", message="first")]
    _, detail = end(broken(), *pods)
    assert (detail["attempt"], detail["exitCode"], detail["logTail"]) == (2, 9, "last")
    assert detail["error"]["errorCode"] == "JOB_EXECUTION_FAILED"


def test_failure_whose_pods_are_gone_has_the_attempts_that_kubernetes_counted() -> None:
    job = make_job(conditions=broken().conditions, failed=3)
    _, detail = end(job)
    assert detail["attempt"] == 3
    assert not {"exitCode", "logTail", "startedAt", "duration"} & set(detail)


def test_end_is_never_before_its_start() -> None:
    _, detail = end(broken(), failed(started=NOON + 30))
    assert detail["duration"] == 0


@pytest.mark.parametrize(
    ("phase", "code"), [(Phase.CANCELLED, "CANCELLED"), (Phase.FAILED, "START_TIMEOUT"), (Phase.FAILED, "TIMEOUT")]
)
def test_verdict_has_the_last_word(phase: Phase, code: str) -> None:
    job = given(phase, code, conditions=broken("DeadlineExceeded").conditions)
    assert end(job, failed())[0] is phase
    assert end(job, failed())[1]["error"] == {"errorCode": code, "message": "because", "container": "main"}


def test_verdict_outranks_even_success() -> None:
    assert end(given(Phase.CANCELLED, "CANCELLED", conditions=COMPLETE))[0] is Phase.CANCELLED


def test_verdict_waits_for_the_end_of_the_job() -> None:
    job = given(Phase.CANCELLED, "CANCELLED", conditions=(condition("FailureTarget", at=5),))
    assert outcome(job) is None


def test_verdict_on_a_job_being_deleted_is_shown_at_once() -> None:
    phase, detail = end(given(Phase.CANCELLED, "DELETED", deleted=NOON + 9))
    assert phase is Phase.CANCELLED
    assert detail["error"]["errorCode"] == "DELETED"


def test_job_being_deleted_unfinished_has_no_end_until_a_verdict() -> None:
    assert outcome(make_job(deleted=NOON + 9)) is None


def test_a_job_that_failed_because_somebody_had_deleted_it_is_cancelled() -> None:
    # Foreground: its pods went first, and nobody led who would have given a verdict.
    job = make_job(deleted=NOON + 4, conditions=broken().conditions, failed=1, retry='{"limit":3,"delay":1}')
    phase, detail = end(job)
    assert (phase, detail["error"]["errorCode"]) == (Phase.CANCELLED, "DELETED")
    assert next_attempt_at(job) is None


def test_job_being_deleted_after_its_success_was_decided_has_succeeded() -> None:
    decided = (condition("SuccessCriteriaMet", at=9),)
    assert outcome(make_job(conditions=decided)) is None
    assert end(make_job(conditions=decided, deleted=NOON + 12))[0] is Phase.SUCCEEDED


def test_deletion_after_the_end_does_not_change_the_outcome() -> None:
    assert end(make_job(conditions=broken().conditions, deleted=NOON + 9))[0] is Phase.FAILED
    assert end(make_job(conditions=COMPLETE, deleted=NOON + 20))[0] is Phase.SUCCEEDED


def test_unreadable_verdict_leaves_the_outcome_to_kubernetes() -> None:
    assert end(make_job(verdict="{", conditions=COMPLETE))[0] is Phase.SUCCEEDED


@pytest.mark.parametrize("types", [(), ("Suspended",), ("SuccessCriteriaMet",), ("FailureTarget",)])
def test_job_that_is_not_over_has_no_outcome(types: tuple[str, ...]) -> None:
    assert outcome(make_job(conditions=tuple(condition(type_, at=3) for type_ in types))) is None
