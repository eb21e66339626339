"""The phases of a Job in a Kueue queue: it waits, starts, is stopped for other Jobs, and is admitted again."""

from typing import Any

import pytest

from events.jobs.observed import Job, Verdict
from events.lifecycle.outcome import unnoted, waits
from events.lifecycle.transitions import first_start
from events.names import Payload
from events.phases import Phase
from tests.events.lifecycle.shown import find, keys
from tests.events.samples import NOON, condition, failed, make_job, make_pod, running, succeeded

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


AGAIN = {
    "start_time": NOON + 12,
    "conditions": (condition("Suspended", at=12, status=False),),
    "suspended_by": "kueue",
    **NOTED,
}
EVICTED: dict[str, Any] = {"killed": NOON + 9, "deleted": NOON + 39}


@pytest.mark.parametrize("at", [3, 9, 10], ids=["before", "in that second", "by a clock that is ahead"])
def test_a_pod_had_started_before_its_job_was_stopped(at: float) -> None:
    assert keys(make_kueue_job(**STOPPED, **NOTED), running(at=at, created=NOON + 2, **EVICTED)) == [
        "created", "started", "suspended/2026-11-21T12:00:09Z",
    ]  # fmt: skip


@pytest.mark.parametrize("at", [15, 12, 11], ids=["after", "in that second", "by a clock that is behind"])
def test_a_job_was_resumed_before_its_pod_started(at: int) -> None:
    pod = running("p2", at=at, created=NOON + 12)
    started = f"started/2026-11-21T12:00:{at}Z"
    assert keys(make_kueue_job(**AGAIN), pod) == ["created", "resumed/2026-11-21T12:00:12Z", started]


def test_a_pod_that_is_ahead_of_its_job_waits_for_the_resumption() -> None:
    stopped = make_kueue_job(**STOPPED, **NOTED, suspended_by="kueue")
    starts = running("p2", at=14, created=NOON + 12)
    stalls = make_pod("p3", created=NOON + 12, waiting_reason="ErrImagePull")
    assert keys(stopped, starts, stalls) == ["created", "suspended/2026-11-21T12:00:09Z"]
    assert keys(make_kueue_job(**AGAIN), starts, stalls) == [
        "created", "resumed/2026-11-21T12:00:12Z", "stalled/IMAGE_PULL", "started/2026-11-21T12:00:14Z",
    ]  # fmt: skip


def test_the_first_start_is_told_alike_by_whoever_knows_only_a_later_pod() -> None:
    first, later = running(at=3, created=NOON + 2, **EVICTED), running("p2", at=15, created=NOON + 12)
    stopped = make_kueue_job(**STOPPED, **NOTED)
    told = find(Phase.STARTED, stopped, first)
    start = first_start(stopped, [first])
    assert start is not None
    again = make_kueue_job(**AGAIN, started=start.to_annotation())
    assert find(Phase.STARTED, again, later) == told
    assert find(Phase.STARTED, again) == told
    over = make_kueue_job(**{**AGAIN, "conditions": (condition("Complete", at=20),), "started": start.to_annotation()})
    assert find(Phase.SUCCEEDED, over, later).detail["startedAt"] == "2026-11-21T12:00:03Z"


def test_a_later_start_has_another_id_where_nobody_noted_the_first() -> None:
    """There was no leader when the Job was stopped."""
    unseen = make_kueue_job(**{**AGAIN, "suspended_by": None})
    assert find(Phase.STARTED, unseen, running(at=3, created=NOON + 2)).key == "started"
    later = running("p2", at=15, created=NOON + 12)
    assert find(Phase.STARTED, unseen, later).key == "started/2026-11-21T12:00:15Z"
    for note in ("{", '{"at": "x", "attempt": 1, "podId": "u", "podName": "p"}'):
        assert find(Phase.STARTED, make_kueue_job(**AGAIN, started=note), later).key == "started/2026-11-21T12:00:15Z"


def test_progress_after_an_eviction_is_not_from_before_it() -> None:
    job = make_kueue_job(**AGAIN, completions=3, succeeded=2)
    pods = [succeeded("a", at=5), running("b", at=2, gone=True, **EVICTED), succeeded("c", at=20)]
    assert find(Phase.PROGRESS, job, *pods).time == NOON + 20


@pytest.mark.parametrize("counted", [1, 2], ids=["at once", "with what the verdict ended"])
def test_a_verdict_ends_the_attempt_that_stalled(counted: int) -> None:
    """Kubernetes counts the pod that the verdict ends, or does not, by how it came to end."""
    pods = [failed("a", at=5), make_pod("b", created=NOON + 6, waiting_reason="ErrImagePull")]
    job = make_job(backoff_limit=3, failed=1)
    assert find(Phase.STALLED, job, *pods).detail["attempt"] == 2
    timeout = Verdict(phase=Phase.FAILED, error_code="TIMEOUT", message="m", at=NOON + 9).to_annotation()
    ended = make_pod("b", created=NOON + 6, killed=NOON + 9, deleted=NOON + 9, gone=True)
    job = make_job(backoff_limit=3, failed=counted, verdict=timeout, deleted=NOON + 10)
    assert find(Phase.FAILED, job, pods[0], ended).detail["attempt"] == 2


def test_a_job_stopped_before_its_start_was_noted_only_waits() -> None:
    assert keys(make_kueue_job(**STOPPED)) == ["created", "queued/kueue"]


def test_a_start_is_noted_once_and_not_for_a_job_that_is_over() -> None:
    assert unnoted(make_kueue_job(**STARTED))
    assert not unnoted(make_kueue_job(**STARTED, **NOTED))
    assert not unnoted(make_kueue_job(suspend=True))
    assert not unnoted(make_kueue_job(**STARTED, verdict=VERDICT))
    assert not unnoted(make_kueue_job(start_time=NOON + 2, conditions=(condition("Complete", at=5),)))
    assert not unnoted(make_job(**STARTED))
