"""Verdicts are given for what Kubernetes does not end by itself, and never twice."""

from typing import Any

import pytest

from events.jobs.observed import Condition, Job, Verdict
from events.jobs.pods import Pod, Role
from events.phases import Phase
from handler.controller.verdicts import due, next_due
from tests.events.samples import make_container, make_pod


def make_job(**fields: Any) -> Job:
    defaults: dict[str, Any] = {
        "namespace": "jobs", "name": "job-1", "uid": "u", "version": "1", "created": 1000.0, "request_id": "1",
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


def test_init_containers_work_before_the_clock_runs_again() -> None:
    def pod(**fields: Any) -> Pod:
        return make_pod(waiting_reason="PodInitializing", containers=[make_container("i", role=Role.INIT, **fields)])

    assert due(make_job(), [pod(started=1005.0)], now=9000) is None
    assert next_due(make_job(), [pod(started=1005.0)]) is None
    done = pod(started=1005.0, finished=2000.0, exit_code=0)
    assert due(make_job(), [done], now=2009) is None
    assert next_due(make_job(), [done]) == 2010
    assert due(make_job(), [done], now=2010) is not None


def test_a_sidecar_that_runs_is_no_work() -> None:
    proxy = make_container("proxy", role=Role.SIDECAR, started=1002.0)
    assert due(make_job(), [make_pod(waiting_reason="PodInitializing", containers=[proxy])], now=1011) is not None


def test_the_start_timeout_counts_anew_after_a_suspension() -> None:
    before = make_pod(started=900.0, deleted=990.0)
    assert due(make_job(), [before], now=1010) is None
    assert due(make_job(), [before], now=1011) is not None


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
