"""The phases of a Job in a Kueue queue: it waits, starts, is stopped for other Jobs, and is admitted again."""

from typing import Any

import pytest

from events.jobs.observed import Job, Verdict
from events.lifecycle.outcome import unnoted, waits
from events.names import Payload
from events.phases import Phase
from tests.events.lifecycle.shown import find, keys
from tests.events.samples import NOON, condition, make_job, running

STARTED = {"start_time": NOON + 2, "conditions": (condition("Suspended", at=2, status=False),)}
STOPPED = {"suspend": True, "conditions": (condition("Suspended", at=9),)}
NOTED = {"released": "2026-11-21T12:00:02Z"}
VERDICT = Verdict(phase=Phase.CANCELLED, error_code="CANCELLED", message="m", at=NOON + 4).to_annotation()


def make_kueue_job(**fields: Any) -> Job:
    return make_job(kueue=True, **fields)


@pytest.mark.parametrize("conditions", [(), (condition("Suspended", at=0),)])
def test_until_kueue_admits_it_a_job_is_queued_not_suspended(conditions: Any) -> None:
    job = make_kueue_job(suspend=True, conditions=conditions)
    assert keys(job) == ["created", "queued/kueue"]
    queued = find(Phase.QUEUED, job)
    assert (queued.id(job), queued.time) == ("uid-1/queued/kueue", NOON)
    assert queued.detail == {"attempt": 1, "reason": "kueue"}


@pytest.mark.parametrize(
    "fields",
    [
        {"payload": Payload.PENDING},
        {"verdict": VERDICT},
        {"suspend": False},
        {"kueue": False},
        {"released": "x", "suspended_by": "kueue"},
    ],
)
def test_a_job_in_any_other_state_does_not_wait_for_kueue(fields: dict[str, Any]) -> None:
    job = make_job(**{"kueue": True, "suspend": True, **fields})
    assert not waits(job)
    assert "queued/kueue" not in keys(job)


def test_a_first_start_is_no_resumption_whether_noted_or_not() -> None:
    assert keys(make_kueue_job(**STARTED)) == ["created"]
    assert keys(make_kueue_job(**STARTED, **NOTED)) == ["created"]
    assert keys(make_kueue_job(**STARTED, **NOTED), running(at=3)) == ["created", "started"]


def test_a_job_that_started_and_is_stopped_is_suspended_by_kueue() -> None:
    job = make_kueue_job(**STOPPED, **NOTED)
    assert keys(job) == ["created", "suspended/2026-11-21T12:00:09Z"]
    assert find(Phase.SUSPENDED, job).detail["by"] == "kueue"


def test_a_job_being_stopped_is_not_suspended_before_kubernetes_says_so() -> None:
    job = make_kueue_job(**{**STARTED, **NOTED, "suspend": True, "start_time": None})
    assert keys(job) == ["created"]


def test_a_job_admitted_again_is_resumed_by_kueue() -> None:
    again = {"start_time": NOON + 12, "conditions": (condition("Suspended", at=12, status=False),)}
    job = make_kueue_job(**again, **NOTED, suspended_by="kueue")
    assert keys(job) == ["created", "resumed/2026-11-21T12:00:12Z"]
    assert find(Phase.RESUMED, job).detail["by"] == "kueue"


def test_a_job_stopped_before_its_start_was_noted_only_waits() -> None:
    assert keys(make_kueue_job(**STOPPED)) == ["created", "queued/kueue"]


def test_a_start_is_noted_once_and_not_for_a_job_that_is_over() -> None:
    assert unnoted(make_kueue_job(**STARTED))
    assert not unnoted(make_kueue_job(**STARTED, **NOTED))
    assert not unnoted(make_kueue_job(suspend=True))
    assert not unnoted(make_kueue_job(**STARTED, verdict=VERDICT))
    assert not unnoted(make_kueue_job(start_time=NOON + 2, conditions=(condition("Complete", at=5),)))
    assert not unnoted(make_job(**STARTED))
