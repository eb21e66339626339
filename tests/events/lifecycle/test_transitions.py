"""The transitions that a Job and its Pods show, whenever they are looked at: phases, ids and order."""

import random
from typing import Any

import pytest
from hypothesis import given, strategies as st
from msgspec.structs import replace

from events.jobs.observed import Job, Verdict
from events.jobs.pods import Pod
from events.lifecycle.transitions import transitions
from events.names import Payload
from events.phases import TERMINAL, Phase
from tests.events.lifecycle.shown import find, keys
from tests.events.samples import NOON, condition, ended_by, failed, make_job, make_pod, running, succeeded

COMPLETE = (condition("SuccessCriteriaMet", at=6), condition("Complete", at=6, reason="CompletionsReached"))


def failed_condition(reason: str = "BackoffLimitExceeded", message: str = "too often") -> tuple[Any, ...]:
    return (condition("FailureTarget", at=6, reason=reason), condition("Failed", at=7, reason=reason, message=message))


def verdict(phase: Phase = Phase.CANCELLED, code: str = "CANCELLED", *, at: float = 4) -> str:
    return Verdict(phase=phase, error_code=code, message="as asked", at=NOON + at).to_annotation()


def test_new_job_was_created_and_nothing_more() -> None:
    (created,) = transitions(make_job(), [make_pod()])
    assert (created.key, created.id(make_job()), created.time) == ("created", "uid-1/created", NOON)
    asked = {"type": "dev.jobrelay.job.requested", "parallelism": 1, "priority": 0}
    named = {"jobId": "uid-1", "jobName": "mail-abc", "namespace": "default"}
    assert created.detail == {"attempt": 1, **named, "request": asked}
    assert not created.terminal


def test_started_is_the_first_pod_that_ran() -> None:
    first, second = succeeded("p2", at=3), running("p1", at=4)
    started = find(Phase.STARTED, make_job(), second, first)
    assert (started.key, started.time) == ("started", NOON + 2)
    assert started.detail == {"attempt": 1, "podId": "uid-p2", "podName": "p2", "node": "node-1"}


def test_started_is_shown_though_the_pod_has_ended_since() -> None:
    job = make_job(conditions=COMPLETE, succeeded=1)
    assert keys(job, succeeded()) == ["created", "started", "succeeded"]


# --- suspended, resumed


def test_suspension_is_identified_by_its_time() -> None:
    job = make_job(suspend=True, conditions=(condition("Suspended", at=9),), suspended_by="request")
    suspended = find(Phase.SUSPENDED, job)
    assert (suspended.key, suspended.time) == ("suspended/2026-11-21T12:00:09Z", NOON + 9)
    assert suspended.detail == {"attempt": 1, "by": "request"}


def test_suspension_that_jobrelay_did_not_make_is_external() -> None:
    job = make_job(suspend=True, conditions=(condition("Suspended", at=9),))
    assert find(Phase.SUSPENDED, job).detail["by"] == "external"


def test_job_that_waits_for_its_payload_is_not_suspended() -> None:
    job = make_job(suspend=True, conditions=(condition("Suspended", at=0),), payload=Payload.PENDING)
    assert keys(job) == ["created"]


def test_first_release_is_no_resumption() -> None:
    resumed = (condition("Suspended", at=2, status=False, reason="JobResumed"),)
    assert keys(make_job(conditions=resumed, released="2026-11-21T12:00:02Z")) == ["created"]


def test_job_just_released_for_the_first_time_is_not_suspended() -> None:
    # The Job controller takes a moment to change the condition after spec.suspend.
    job = make_job(suspend=False, released="x", conditions=(condition("Suspended", at=0),))
    assert keys(job) == ["created"]


def test_suspension_that_was_resumed_at_once_is_still_shown() -> None:
    job = make_job(suspend=False, suspended_by="request", conditions=(condition("Suspended", at=9),))
    assert keys(job) == ["created", "suspended/2026-11-21T12:00:09Z"]


@pytest.mark.parametrize("marks", [{}, {"suspended_by": "request"}, {"suspended_by": "external", "released": "x"}])
def test_resumption_is_shown_after_a_suspension_that_was_published(marks: dict[str, str]) -> None:
    job = make_job(conditions=(condition("Suspended", at=12, status=False),), **marks)
    assert keys(job) == ["created", "resumed/2026-11-21T12:00:12Z"]


def test_job_unsuspended_by_a_verdict_is_not_resumed() -> None:
    job = make_job(
        conditions=(condition("Suspended", at=4, status=False), *failed_condition("DeadlineExceeded")),
        suspended_by="request",
        verdict=verdict(at=4.9),
    )
    assert keys(job) == ["created", "cancelled"]


def test_resumption_before_a_verdict_is_still_shown() -> None:
    job = make_job(
        conditions=(condition("Suspended", at=3, status=False),), suspended_by="request", verdict=verdict(at=4)
    )
    assert keys(job) == ["created", "resumed/2026-11-21T12:00:03Z"]


# --- stalled


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        ("ErrImagePull", "IMAGE_PULL"),
        ("ImagePullBackOff", "IMAGE_PULL"),
        ("InvalidImageName", "IMAGE_PULL"),
        ("ErrImageNeverPull", "IMAGE_PULL"),
        ("RegistryUnavailable", "IMAGE_PULL"),
        ("CreateContainerConfigError", "CREATE_CONTAINER"),
        ("CreateContainerError", "CREATE_CONTAINER"),
        ("RunContainerError", "CREATE_CONTAINER"),
        ("ContainerCannotRun", "CREATE_CONTAINER"),
    ],
)
def test_waiting_container_is_stalled_by_its_cause(reason: str, cause: str) -> None:
    pod = make_pod(created=NOON + 1, waiting_reason=reason, waiting_message="no such image")
    stalled = find(Phase.STALLED, make_job(), pod)
    assert (stalled.key, stalled.time) == (f"stalled/{cause}", NOON + 1)
    error = {"errorCode": cause, "message": "no such image", "container": "main"}
    assert stalled.detail == {"attempt": 1, "error": error}


def test_stalled_container_without_message_has_its_reason_as_message() -> None:
    stalled = find(Phase.STALLED, make_job(), make_pod(waiting_reason="ErrImagePull"))
    assert stalled.detail["error"]["message"] == "ErrImagePull"


def test_pod_that_no_node_accepts_is_stalled() -> None:
    pod = make_pod(scheduled_reason="Unschedulable", scheduled_message="0/3 nodes")
    stalled = find(Phase.STALLED, make_job(), pod)
    assert stalled.detail["error"] == {"errorCode": "UNSCHEDULABLE", "message": "0/3 nodes"}


@pytest.mark.parametrize(
    "pod",
    [
        make_pod(waiting_reason="ContainerCreating"),
        make_pod(waiting_reason="PodInitializing"),
        make_pod(scheduled_reason="SchedulingGated"),
        make_pod(waiting_reason="ErrImagePull", deleted=NOON + 2),
        make_pod(waiting_reason="ErrImagePull", deleted=NOON + 2, gone=True),
        make_pod(waiting_reason="ErrImagePull", phase="Failed"),
    ],
)
def test_pod_that_may_yet_run_or_never_will_is_not_stalled(pod: Pod) -> None:
    assert not any(key.startswith("stalled") for key in keys(make_job(), pod))


def test_cause_is_shown_once_however_many_pods_have_it() -> None:
    pods = [make_pod(f"p{number}", created=NOON + number, waiting_reason="ErrImagePull") for number in (3, 1, 2)]
    assert keys(make_job(), *pods, make_pod("p4", scheduled_reason="Unschedulable")) == [
        "created",
        "stalled/UNSCHEDULABLE",
        "stalled/IMAGE_PULL",
    ]


def test_job_with_a_verdict_is_not_stalled_any_more() -> None:
    assert keys(make_job(verdict=verdict()), make_pod(waiting_reason="ErrImagePull")) == ["created"]


# --- retrying


def test_failed_pod_is_retried_while_the_limit_allows() -> None:
    job = make_job(backoff_limit=2, failed=1)
    retrying = find(Phase.RETRYING, job, failed(message="boo\n"))
    assert (retrying.key, retrying.time) == ("retrying/1", NOON + 5)
    message = "container main ended with exit code 3: boo"
    error = {"errorCode": "JOB_EXECUTION_FAILED", "message": message, "container": "main"}
    assert retrying.detail == {"attempt": 1, "error": error}


def test_failed_pod_of_a_job_without_retries_is_not_retried() -> None:
    assert keys(make_job(failed=1), failed()) == ["created", "started"]


def test_every_failure_but_the_last_was_retried() -> None:
    job = make_job(backoff_limit=2, failed=3, conditions=failed_condition())
    pods = [failed("a", at=9), failed("b", at=3), failed("c", at=6)]
    assert keys(job, *pods) == ["created", "started", "retrying/1", "retrying/2", "failed"]
    assert [transition.time - NOON for transition in transitions(job, pods)] == [0, 2, 3, 6, 7]


def test_last_failure_before_a_deadline_was_not_retried() -> None:
    job = make_job(backoff_limit=6, failed=1, conditions=failed_condition("DeadlineExceeded"))
    assert keys(job, failed()) == ["created", "started", "failed"]


def test_failure_before_a_verdict_was_not_retried_unless_a_pod_came_after_it() -> None:
    job = make_job(backoff_limit=6, verdict=verdict(at=6))
    assert keys(job, failed("a", at=5)) == ["created", "started"]
    assert keys(job, failed("a", at=5), running("b", at=8)) == ["created", "started", "retrying/1"]


def test_failures_of_a_job_that_succeeded_were_all_retried() -> None:
    job = make_job(backoff_limit=6, conditions=COMPLETE, failed=1, succeeded=1)
    assert keys(job, failed("a", at=2), succeeded("b", at=2)) == ["created", "started", "retrying/1", "succeeded"]


def test_pod_killed_by_a_suspension_is_not_retried() -> None:
    job = make_job(backoff_limit=6, suspend=True, conditions=(condition("Suspended", at=6),))
    assert keys(job, failed(deleted=NOON + 6)) == ["created", "started", "suspended/2026-11-21T12:00:06Z"]


@pytest.mark.parametrize(
    ("pod", "code", "message"),
    [
        (ended_by("Evicted", message="disk is full"), "EVICTED", "Evicted: disk is full"),
        (failed(reason="OOMKilled"), "OOM_KILLED", "container main ended with exit code 3 (OOMKilled)"),
        (failed(reason="Error"), "JOB_EXECUTION_FAILED", "container main ended with exit code 3"),
    ],
)
def test_retry_says_why_the_pod_failed(pod: Pod, code: str, message: str) -> None:
    error = find(Phase.RETRYING, make_job(backoff_limit=1), pod).detail["error"]
    assert error == {"errorCode": code, "message": message, "container": "main"}


def test_a_pod_that_was_deleted_by_somebody_is_retried_once_kubernetes_counts_it() -> None:
    job, goes = make_job(backoff_limit=2), running(deleted=NOON + 31, killed=NOON + 1)
    ended = failed(deleted=NOON + 31, killed=NOON + 1, exit_code=137)
    assert keys(make_job(backoff_limit=2, failed=1), goes) == ["created", "started"]
    assert keys(job, ended) == ["created", "started"]
    retrying = find(Phase.RETRYING, make_job(backoff_limit=2, failed=1), ended)
    assert retrying.key == "retrying/1"
    assert retrying.detail["error"]["errorCode"] == "DELETED_POD"


def test_a_pod_that_disappeared_counts_as_a_failure_with_the_attempts_after_it() -> None:
    job = make_job(backoff_limit=2, failed=1, succeeded=1, conditions=COMPLETE)
    gone = running("a", deleted=NOON + 4, killed=NOON + 4, gone=True)
    seen = transitions(job, [gone, succeeded("b", at=20)])
    assert [one.key for one in seen] == ["created", "started", "retrying/1", "succeeded"]
    assert [one.detail["attempt"] for one in seen] == [1, 1, 1, 2]


def test_evicted_pod_that_never_ran_is_retried_after_a_later_start() -> None:
    evicted = replace(make_pod("a", phase="Failed", created=NOON + 1), reason="Evicted")
    job = make_job(backoff_limit=1)
    assert keys(job, evicted) == ["created", "retrying/1"]
    assert keys(job, evicted, running("b", at=4)) == ["created", "started", "retrying/1"]
    assert find(Phase.RETRYING, job, evicted).detail["error"] == {"errorCode": "EVICTED", "message": "Evicted"}


def test_pod_that_failed_without_saying_anything_still_has_an_error() -> None:
    silent = make_pod(phase="Failed")
    assert find(Phase.RETRYING, make_job(backoff_limit=1), silent).detail["error"]["message"] == "pod p1 failed"


def test_a_failure_that_names_no_end_does_not_count_itself() -> None:
    # An evicted pod that had run, as kubelets write it: without an end of its container.
    evicted = replace(running("a", at=3), phase="Failed", reason="Evicted")
    job = make_job(conditions=failed_condition(), failed=1)
    assert [one.detail["attempt"] for one in transitions(job, [evicted])] == [1, 1, 1]


def test_attempt_counts_the_failures_before() -> None:
    job = make_job(suspend=True, backoff_limit=3, conditions=(condition("Suspended", at=9),), failed=1)
    assert find(Phase.SUSPENDED, job, failed(at=5)).detail["attempt"] == 2


# --- order


def test_transitions_within_a_second_keep_their_order() -> None:
    job = make_job(backoff_limit=1, conditions=(condition("Suspended", at=2, status=False),), suspended_by="request")
    pods = [failed("a", at=2, started=NOON + 2), make_pod("b", created=NOON + 2, waiting_reason="ErrImagePull")]
    assert [transition.phase for transition in transitions(job, pods)] == [
        Phase.CREATED,
        Phase.RESUMED,
        Phase.STARTED,
        Phase.STALLED,
        Phase.RETRYING,
    ]


offsets = st.integers(-5, 20)
pods = st.builds(
    lambda name, phase, created, started, finished, deleted, gone, waiting, scheduled: make_pod(
        name,
        phase=phase,
        gone=gone and deleted is not None,
        created=NOON + created,
        started=None if started is None else NOON + started,
        finished=None if finished is None else NOON + finished,
        deleted=None if deleted is None else NOON + deleted,
        killed=None if deleted is None else NOON + deleted - 3,
        waiting_reason=waiting,
        scheduled_reason=scheduled,
    ),
    st.sampled_from("abcdef"),
    st.sampled_from(["Pending", "Running", "Succeeded", "Failed", "Unknown"]),
    offsets,
    st.none() | offsets,
    st.none() | offsets,
    st.none() | offsets,
    st.booleans(),
    st.sampled_from([None, "ErrImagePull", "ContainerCreating"]),
    st.sampled_from([None, "Unschedulable"]),
)
jobs = st.builds(
    lambda conditions, **fields: make_job(conditions=tuple(conditions), **fields),
    st.lists(
        st.builds(
            lambda type_, at, status: condition(type_, at=at, status=status),
            st.sampled_from(["Suspended", "FailureTarget", "Failed", "Complete", "SuccessCriteriaMet"]),
            offsets,
            st.booleans(),
        ),
        max_size=4,
        unique_by=lambda condition: condition.type,
    ),
    backoff_limit=st.integers(0, 3),
    failed=st.integers(0, 3),
    deleted=st.none() | st.just(NOON + 9),
    payload=st.none() | st.just("pending"),
    released=st.none() | st.just("x"),
    suspended_by=st.none() | st.just("request"),
    verdict=st.none() | st.just(verdict()) | st.just("garbage"),
)


@given(jobs, st.lists(pods, max_size=4, unique_by=lambda pod: pod.name))
def test_in_any_state_created_comes_first_a_terminal_phase_last_and_ids_are_unique(job: Job, pods: list[Pod]) -> None:
    seen = transitions(job, pods)
    phases = [transition.phase for transition in seen]
    assert phases[0] is Phase.CREATED
    assert all(phase not in TERMINAL for phase in phases[:-1])
    assert len({transition.id(job) for transition in seen}) == len(seen)
    if Phase.STARTED in phases and Phase.RETRYING in phases:
        assert phases.index(Phase.STARTED) < phases.index(Phase.RETRYING)


@given(jobs, st.lists(pods, max_size=4, unique_by=lambda pod: pod.name), st.randoms())
def test_order_in_which_pods_are_listed_changes_nothing(job: Job, pods: list[Pod], chance: random.Random) -> None:
    shuffled = pods.copy()
    chance.shuffle(shuffled)
    assert transitions(job, shuffled) == transitions(job, pods)
