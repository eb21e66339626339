"""Verdicts are given for what Kubernetes does not end by itself, and never twice."""

import time
from typing import Any

import pytest

from events.jobs.observed import Condition, Job, Verdict
from events.jobs.pods import Pod, Role
from events.names import Payload
from events.phases import Phase
from handler.controller.verdicts import PAYLOAD_SECONDS, due, next_due
from tests.events.samples import make_container, make_pod


def make_job(**fields: Any) -> Job:
    defaults: dict[str, Any] = {
        "namespace": "jobs", "name": "job-1", "uid": "u", "version": 1, "created": 1000.0, "request_id": "1",
        "source": "/s", "start_time": 1001.0, "start_timeout": 10,
    }  # fmt: skip
    return Job(**defaults | fields)


def test_start_timeout_counts_from_the_jobs_start() -> None:
    job = make_job()
    assert due(job, [], now=1010.9) is None
    verdict = due(job, [make_pod(waiting_reason="ImagePullBackOff")], now=1011)
    assert verdict is not None
    assert (verdict.phase, verdict.error_code, verdict.at) == (Phase.FAILED, "START_TIMEOUT", 1011)
    assert "10 s" in verdict.message
    assert verdict.message.endswith("; IMAGE_PULL: ImagePullBackOff")


@pytest.mark.parametrize(
    ("job", "pods"),
    [
        (make_job(), [make_pod(started=1005.0)]),
        (make_job(ready=1), []),
        (make_job(succeeded=1), []),
        (make_job(failed=1), []),
        (make_job(suspend=True), []),
        (make_job(start_time=None), []),
        (make_job(start_timeout=None), []),
    ],
)
def test_no_start_timeout_once_a_pod_ran_or_while_suspended(job: Job, pods: list[Pod]) -> None:
    assert due(job, pods, now=5000) is None


def test_a_job_whose_event_nobody_brings_is_ended_in_the_end() -> None:
    job = make_job(suspend=True, start_time=None, payload=Payload.PENDING)
    assert next_due(job, []) == 1000 + PAYLOAD_SECONDS
    assert due(job, [], now=999 + PAYLOAD_SECONDS) is None
    verdict = due(job, [], now=1000 + PAYLOAD_SECONDS)
    assert verdict is not None
    assert (verdict.phase, verdict.error_code) == (Phase.FAILED, "START_TIMEOUT")
    assert due(make_job(suspend=True, start_time=None), [], now=1e9) is None


def test_init_containers_work_before_the_clock_runs_again() -> None:
    def pod(**fields: Any) -> Pod:
        return make_pod(waiting_reason="PodInitializing", containers=[make_container("i", role=Role.INIT, **fields)])

    assert due(make_job(), [pod(started=1005.0)], now=9000) is None
    assert next_due(make_job(), [pod(started=1005.0)]) is None
    done = pod(started=1005.0, finished=2000.0, exit_code=0)
    assert due(make_job(), [done], now=2009) is None
    assert next_due(make_job(), [done]) == 2010
    assert due(make_job(), [done], now=2010) is not None


def test_a_pod_that_ended_just_before_a_start_does_not_belong_to_it() -> None:
    before = make_pod(created=1000.0, started=1000.0, finished=1000.0, phase="Succeeded", exit_code=0)
    assert due(make_job(succeeded=1), [before], now=1011) is not None
    later = make_pod(created=1000.0, started=1001.0, finished=1002.0, phase="Succeeded", exit_code=0)
    assert due(make_job(succeeded=1), [later], now=1011) is None


def test_a_job_whose_pods_somebody_has_taken_away_starts_none() -> None:
    killed = make_pod(created=1001.0, started=1002.0, deleted=1030.0, killed=1020.0, gone=True)
    goes = make_pod(created=1001.0, started=1002.0)
    assert due(make_job(parallelism=0, active=1), [goes], now=5000) is None
    assert next_due(make_job(parallelism=0), [killed]) == 1030
    verdict = due(make_job(parallelism=0), [killed], now=1030)
    assert verdict is not None
    assert verdict.message.endswith("; its parallelism is 0")


def test_a_sidecar_that_runs_is_no_work() -> None:
    proxy = make_container("proxy", role=Role.SIDECAR, started=1002.0)
    assert due(make_job(), [make_pod(waiting_reason="PodInitializing", containers=[proxy])], now=1011) is not None


def test_the_start_timeout_counts_anew_after_a_suspension() -> None:
    before = make_pod(created=899.0, started=900.0, killed=990.0, deleted=1020.0)
    assert due(make_job(), [before], now=1010) is None
    assert due(make_job(), [before], now=1011) is not None
    just_before = make_pod(created=1000.0, started=1000.0, killed=1001.0, deleted=1031.0)
    assert due(make_job(), [just_before], now=1011) is not None


@pytest.mark.parametrize("counts", [{"failed": 1}, {"succeeded": 1}])
def test_a_pod_that_ended_before_a_suspension_does_not_switch_the_start_timeout_off(counts: dict[str, int]) -> None:
    phase = "Failed" if "failed" in counts else "Succeeded"
    before = make_pod(created=899.0, started=900.0, finished=950.0, phase=phase)
    job = make_job(**counts)
    assert due(job, [before, make_pod(uid="now")], now=1011) is not None
    assert due(make_job(**{name: count + 1 for name, count in counts.items()}), [before], now=1011) is None
    assert due(job, [before, make_pod(uid="now", started=1002.0)], now=1011) is None


@pytest.mark.parametrize(
    "pod",
    [
        make_pod(created=1001.0, started=1003.0, killed=4990.0, deleted=5020.0),
        make_pod(created=1000.0, started=1001.0),
        make_pod(created=1000.0, started=1001.0, finished=1001.0, phase="Succeeded"),
        make_pod(created=990.0, started=1001.0, phase="Running"),
    ],
    ids=["being drained", "created in the second before", "over at once", "first of many"],
)
def test_a_pod_of_this_start_that_ran_switches_the_start_timeout_off(pod: Pod) -> None:
    assert due(make_job(), [pod], now=5000) is None


def test_timeout_counts_from_acceptance_and_also_while_suspended() -> None:
    job = make_job(timeout=30, suspend=True)
    assert due(job, [], now=1029) is None
    verdict = due(job, [], now=1030)
    assert verdict is not None
    assert (verdict.phase, verdict.error_code) == (Phase.FAILED, "TIMEOUT")


def test_a_deleted_job_is_cancelled_whatever_else_is_due() -> None:
    verdict = due(make_job(deleted=1020.0, timeout=5), [], now=1021)
    assert verdict is not None
    assert (verdict.phase, verdict.error_code) == (Phase.CANCELLED, "DELETED")


@pytest.mark.parametrize("type_", ["Complete", "Failed"])
def test_a_job_that_kubernetes_has_ended_gets_no_verdict(type_: str) -> None:
    job = make_job(deleted=1020.0, timeout=5, conditions=(Condition(type=type_, status=True, at=1010.0),))
    assert due(job, [], now=5000) is None
    assert next_due(job, []) is None


@pytest.mark.parametrize("fields", [{}, {"deleted": 1020.0}, {"suspend": True, "start_time": None}])
def test_a_job_whose_success_is_decided_gets_no_verdict(fields: dict[str, Any]) -> None:
    """Suspended at that moment, it is not Complete before it is resumed."""
    decided = (Condition(type="SuccessCriteriaMet", status=True, at=1010.0),)
    job = make_job(timeout=5, conditions=decided, **fields)
    assert due(job, [], now=5000) is None
    assert next_due(job, []) is None


def test_a_job_whose_failure_is_decided_gets_no_verdict_unless_nothing_ends_it() -> None:
    decided = (Condition(type="FailureTarget", status=True, at=1010.0),)
    assert due(make_job(timeout=5, conditions=decided), [], now=5000) is None
    assert due(make_job(timeout=5, conditions=decided, suspend=True), [], now=5000) is not None
    assert due(make_job(deleted=1020.0, conditions=decided), [], now=5000) is not None


def test_a_verdict_is_given_once() -> None:
    given = Verdict(phase=Phase.CANCELLED, error_code="CANCELLED", message="m", at=1005.0).to_annotation()
    assert due(make_job(verdict=given, timeout=1), [], now=5000) is None
    assert next_due(make_job(verdict=given, timeout=1), []) is None


def test_an_unreadable_verdict_is_given_again() -> None:
    assert due(make_job(verdict="{", timeout=1), [], now=5000) is not None


def test_the_next_look_is_at_the_nearest_deadline() -> None:
    assert next_due(make_job(timeout=5), []) == 1005
    assert next_due(make_job(timeout=60), []) == 1011
    assert next_due(make_job(timeout=60, ready=1), []) == 1060
    assert next_due(make_job(start_timeout=None), []) is None


def test_a_job_of_thousands_of_pods_that_wait_is_judged_quickly() -> None:
    pods = [make_pod(f"p{number}", created=1001.0) for number in range(4000)]
    begun = time.process_time()
    assert due(make_job(), pods, now=1002) is None
    # A comparison of each with each took 0.4 s.
    assert time.process_time() - begun < 0.2
