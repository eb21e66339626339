"""A pod whose main container is done is told of if another container keeps it running for too long."""

from typing import Any

import pytest

from events.jobs.observed import Job
from events.jobs.pods import Pod, Role
from events.lifecycle.sidecars import PATIENCE, kept_running, next_look
from tests.events.samples import NOON, condition, make_container, make_job, running

PROXY = make_container("proxy", role=Role.OTHER, started=NOON + 1)
DUE = NOON + 3 + PATIENCE


def waiting(*others: Any, **fields: Any) -> Pod:
    """A pod whose main container ended 3 seconds after noon."""
    main = {"finished": NOON + 3, "exit_code": 0}
    return running(**main | fields, containers=others or (PROXY,))


def test_it_is_told_after_a_while_with_the_name_of_the_container() -> None:
    assert kept_running(make_job(), [waiting()], now=DUE - 0.1) == []
    assert next_look(make_job(), [waiting()], now=NOON) == DUE
    (told,) = kept_running(make_job(), [waiting()], now=DUE)
    assert (told.key, told.time) == ("stalled/SIDECAR_RUNNING", DUE)
    message = "container main has ended, and container proxy keeps pod p1 running"
    error = {"errorCode": "SIDECAR_RUNNING", "message": message, "container": "proxy"}
    assert told.detail == {"attempt": 1, "error": error}
    assert next_look(make_job(), [waiting()], now=DUE) is None


def test_a_main_container_that_has_failed_waits_for_its_sidecar_too() -> None:
    assert len(kept_running(make_job(), [waiting(exit_code=3)], now=DUE)) == 1


def test_several_pods_are_told_of_once() -> None:
    assert len(kept_running(make_job(), [waiting(), waiting(uid="another")], now=DUE)) == 1


@pytest.mark.parametrize(
    ("job", "pod"),
    [
        (make_job(), running(containers=(PROXY,))),
        (make_job(), waiting(make_container("proxy", role=Role.SIDECAR, started=NOON + 1))),
        (make_job(), waiting(make_container("proxy", role=Role.OTHER, started=NOON + 1, finished=NOON + 2))),
        (make_job(), waiting(make_container("proxy", role=Role.OTHER, waiting_reason="ErrImagePull"))),
        (make_job(), waiting(deleted=NOON + 9)),
        (make_job(), waiting(phase="Succeeded")),
        (make_job(conditions=(condition("FailureTarget", at=4),)), waiting()),
    ],
)
def test_nothing_is_told_where_no_container_keeps_the_pod(job: Job, pod: Pod) -> None:
    assert kept_running(job, [pod], now=DUE + 100) == []
    assert next_look(job, [pod], now=NOON) is None
