"""Progress among the transitions: its ids, its place in their order, and when there is none."""

from typing import Any

import pytest

from events.jobs.observed import Verdict
from events.jobs.usage import PodUsage, Usage, sampled
from events.lifecycle.transitions import transitions
from events.phases import Phase
from tests.events.lifecycle.shown import find, keys
from tests.events.samples import NOON, condition, failed, make_job, make_pod, running, succeeded


def used(at: float) -> Usage:
    usage = sampled(None, [PodUsage(name="p1", at=NOON + at, cpu=0.5, memory=4096)])
    assert usage is not None
    return usage


def test_counts_are_identified_by_their_values_and_dated_by_the_last_pod_counted() -> None:
    job = make_job(completions=3, parallelism=2, succeeded=1, failed=1, backoff_limit=6)
    pods = [succeeded("p1", at=5), failed("p2", at=7), succeeded("p3", at=9), running("p4", at=8)]
    progress = find(Phase.PROGRESS, job, *pods)
    assert (progress.key, progress.time) == ("progress/1.1", NOON + 7)
    assert progress.detail == {"attempt": 1, "succeeded": 1, "failed": 1, "total": 3}
    assert keys(job, *pods) == ["created", "started", "retrying/1", "progress/1.1"]


def test_a_job_that_any_pod_may_end_has_no_total() -> None:
    job = make_job(parallelism=2, succeeded=1)
    progress = find(Phase.PROGRESS, job, succeeded(), running("p2"))
    assert progress.detail == {"attempt": 1, "succeeded": 1, "failed": 0}


def test_a_job_with_one_completion_or_no_pod_that_ended_has_no_counts() -> None:
    assert keys(make_job(completions=1, failed=1), running()) == ["created", "started"]
    assert keys(make_job(completions=3), running()) == ["created", "started"]


def test_a_sample_is_identified_by_its_time_and_follows_what_came_before_it() -> None:
    usage = used(8)
    job = make_job(completions=3, succeeded=1)
    shown = transitions(job, [succeeded("p1", at=5), running("p2", at=6)], usage)
    assert [transition.key for transition in shown] == [
        "created",
        "started",
        "progress/1.0",
        "progress/2026-11-21T12:00:08Z",
    ]
    assert (shown[-1].time, shown[-1].detail["cpu"]) == (usage.at, 0.5)
    assert shown[-1].id(job) == "uid-1/progress/2026-11-21T12:00:08Z"


def test_there_is_no_progress_before_started() -> None:
    assert keys(make_job(completions=3, succeeded=1), make_pod(), usage=used(8)) == ["created"]
    assert keys(make_job(), running(at=9), usage=used(8)) == ["created", "started", "progress/2026-11-21T12:00:08Z"]


@pytest.mark.parametrize(
    "ending",
    [
        {"conditions": (condition("SuccessCriteriaMet", at=6),)},
        {"conditions": (condition("FailureTarget", at=6),)},
        {"deleted": NOON + 6},
        {"verdict": Verdict(phase=Phase.CANCELLED, error_code="C", message="", at=NOON).to_annotation()},
    ],
    ids=["success-is-certain", "failure-is-certain", "deleted", "verdict"],
)
def test_a_job_whose_end_is_decided_shows_no_more_progress(ending: dict[str, Any]) -> None:
    job = make_job(completions=3, succeeded=1, **ending)
    assert not [key for key in keys(job, running(), usage=used(8)) if key.startswith("progress")]


@pytest.mark.parametrize(("type_", "phase"), [("Complete", "succeeded"), ("Failed", "failed")])
def test_the_end_has_the_usage_if_a_sample_was_taken(type_: str, phase: str) -> None:
    job = make_job(conditions=(condition(type_, at=6),), completions=3, succeeded=3)
    assert keys(job, succeeded(), usage=used(4)) == ["created", "started", phase]
    with_usage, without = transitions(job, [succeeded()], used(4))[-1], transitions(job, [succeeded()])[-1]
    assert with_usage.detail["usage"]["peaks"] == {"cpu": 0.5, "memory": 4096}
    assert "usage" not in without.detail
    assert with_usage.key == without.key
