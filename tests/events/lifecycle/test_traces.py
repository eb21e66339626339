"""Transitions over recordings of a real Kubernetes, looked for after each change of a Job or Pod."""

import pytest

from events.lifecycle.transitions import Transition
from tests.events.lifecycle.stories import recorded

SEEN = {
    "job-succeeds": ["created", "started", "succeeded"],
    "job-fails-at-once": ["created", "started", "failed"],
    "job-fails-after-retries": ["created", "started", "retrying/1", "retrying/2", "failed"],
    "job-deadline-exceeded": ["created", "started", "failed"],
    "job-image-cannot-be-pulled": ["created", "stalled/IMAGE_PULL"],
    "job-unschedulable": ["created", "stalled/UNSCHEDULABLE"],
    "job-indexed": ["created", "started", "progress/2.0", "succeeded"],
    "job-parallel-completions": ["created", "started", "progress/2.0", "succeeded"],
    "job-pod-deleted-is-replaced": ["created", "started", "retrying/1", "succeeded"],
    "job-created-suspended-then-resumed": [
        "created",
        "suspended/2026-11-21T22:16:59Z",
        "resumed/2026-11-21T22:17:01Z",
        "started",
        "succeeded",
    ],
    "job-suspended-while-running": [
        "created",
        "started",
        "suspended/2026-11-21T22:17:01Z",
        "resumed/2026-11-21T22:17:04Z",
        "succeeded",
    ],
    "job-deleted-while-running-background": ["created", "started"],
    "job-deleted-while-running-foreground": ["created", "started"],
    "job-deleted-with-finalizer-while-running": ["created", "started"],
    "job-ttl-deletes": ["created", "started", "succeeded"],
    "job-ttl-waits-for-finalizer": ["created", "started", "succeeded"],
}
"""The keys of all transitions, in the order in which a publisher that repeats nothing publishes them."""


def watched(scenario: str) -> dict[str, Transition]:
    """Every transition by its key, as it was when it was first seen."""
    return {transition.key: transition for transition in recorded(scenario).told()}


@pytest.mark.parametrize("scenario", SEEN)
def test_recorded_job_shows_its_transitions_in_order(scenario: str) -> None:
    assert list(watched(scenario)) == SEEN[scenario]


@pytest.mark.parametrize(
    ("scenario", "code", "exit_code", "attempt"),
    [
        ("job-fails-at-once", "JOB_EXECUTION_FAILED", 3, 1),
        ("job-fails-after-retries", "JOB_EXECUTION_FAILED", 7, 3),
        ("job-deadline-exceeded", "DEADLINE_EXCEEDED", 137, 1),
    ],
)
def test_recorded_failure_has_its_cause(scenario: str, code: str, exit_code: int | None, attempt: int) -> None:
    detail = watched(scenario)["failed"].detail
    assert (detail["error"]["errorCode"], detail.get("exitCode"), detail["attempt"]) == (code, exit_code, attempt)


def test_recorded_index_has_its_result() -> None:
    results = watched("job-indexed")["succeeded"].detail["results"]
    assert [result["index"] for result in results] == [0, 1, 2]
