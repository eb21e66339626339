"""When a Job lacks a pod that it should have, and what Kubernetes' Events about that mean."""

from typing import Any

import pytest
from msgspec.structs import replace

from events.jobs.pods import Pod, Role
from events.lifecycle.podless import Mystery, Notice, mystery, podless_since, stalled
from events.names import Payload
from tests.events.samples import NOON, condition, failed, make_container, make_job, make_pod, running, succeeded

STARTED = NOON + 1
QUOTA = 'Error creating: pods "x-1" is forbidden: exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0'
SECURITY = 'Error creating: pods "x-1" is forbidden: violates PodSecurity "restricted:latest": privileged'
ACCOUNT = 'Error creating: pods "x-1" is forbidden: error looking up service account ns/a: serviceaccount "a" not found'


def notice(message: str, *, first: float = 2, last: float = 9) -> Notice:
    return Notice(reason="FailedCreate", message=message, first=NOON + first, last=NOON + last)


def codes(*notices: Notice, since: float = STARTED) -> list[str]:
    return [transition.detail["error"]["errorCode"] for transition in stalled(notices, since=since, attempt=1)]


def test_a_started_job_without_a_pod_is_podless_since_its_start() -> None:
    assert podless_since(make_job(start_time=STARTED), []) == STARTED


def test_a_job_whose_pods_have_ended_is_podless_since_the_last_end() -> None:
    pods = [failed("a", at=5), succeeded("b", at=7)]
    assert podless_since(make_job(start_time=STARTED), pods) == NOON + 7


@pytest.mark.parametrize(
    ("job", "pods"),
    [
        ({"start_time": None}, []),
        ({"suspend": True}, []),
        ({"payload": Payload.PENDING}, []),
        ({"deleted": NOON}, []),
        ({"active": 1}, []),
        ({"conditions": (condition("Complete", at=3),)}, []),
        ({"conditions": (condition("FailureTarget", at=3),)}, []),
        ({"conditions": (condition("SuccessCriteriaMet", at=3),)}, []),
        ({}, [make_pod()]),
        ({}, [failed("a"), running("b")]),
    ],
)
def test_a_job_that_has_a_pod_or_should_have_none_is_not_podless(job: dict[str, Any], pods: list[Pod]) -> None:
    assert podless_since(make_job(**{"start_time": STARTED, **job}), pods) is None


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (QUOTA, "QUOTA"),
        ('Error creating: pods "x" is forbidden: failed quota: q: must specify limits.cpu for: main', "QUOTA"),
        (SECURITY, "FORBIDDEN"),
        (ACCOUNT, "FORBIDDEN"),
        ('Error creating: pods "x" is forbidden: no PriorityClass with name low was found', "FORBIDDEN"),
        ('Error creating: admission webhook "w.example" denied the request: no', "FORBIDDEN"),
        ('Error creating: Pod "x" is invalid: spec.containers[0].image: Required value', "FORBIDDEN"),
    ],
)
def test_a_cause_that_does_not_pass_by_itself_has_a_code(message: str, code: str) -> None:
    (found,) = stalled([notice(message)], since=STARTED, attempt=2)
    assert (found.key, found.time) == (f"stalled/{code}", NOON + 2)
    assert found.detail == {"attempt": 2, "error": {"errorCode": code, "message": message}}


@pytest.mark.parametrize("message", ["Error creating: etcdserver: request timed out", "Error creating: EOF", ""])
def test_a_cause_that_may_pass_by_itself_is_not_reported(message: str) -> None:
    assert codes(notice(message)) == []


def test_each_cause_is_reported_once_from_its_first_notice_whatever_the_order() -> None:
    first, again, other = (
        notice(QUOTA, first=3),
        notice(QUOTA.replace("x-1", "x-2"), first=5),
        notice(SECURITY, first=4),
    )
    for notices in ([first, again, other], [other, again, first]):
        found = stalled(notices, since=STARTED, attempt=1)
        assert [(transition.suffix, transition.time) for transition in found] == [
            ("QUOTA", NOON + 3),
            ("FORBIDDEN", NOON + 4),
        ]
        assert "x-1" in found[0].detail["error"]["message"]


def test_notices_from_before_the_last_pod_are_ignored_and_a_series_counts_from_then() -> None:
    assert codes(notice(QUOTA, first=2, last=4), since=NOON + 5) == []
    (found,) = stalled([notice(QUOTA, first=2, last=6)], since=NOON + 5, attempt=1)
    assert found.time == NOON + 5


@pytest.mark.parametrize("waits", [{}, {"waiting_reason": "ContainerCreating"}, {"waiting_reason": "PodInitializing"}])
def test_events_may_explain_a_pod_that_a_node_prepares(waits: dict[str, str]) -> None:
    job, pods = (
        make_job(start_time=STARTED),
        [make_pod("b", created=NOON + 3), make_pod("a", created=NOON + 2, **waits)],
    )
    assert mystery(job, pods) == Mystery(about="uid-a", since=NOON + 2, preparing=True)


@pytest.mark.parametrize(
    "pod",
    [
        make_pod(node=None),
        make_pod(waiting_reason="ErrImagePull"),
        make_pod(waiting_reason="PodInitializing", containers=[make_container("init", role=Role.INIT, started=NOON)]),
        make_pod(deleted=NOON + 1),
        running(),
        failed(),
    ],
)
def test_nothing_has_to_be_explained_where_the_pod_says_why_or_works(pod: Pod) -> None:
    assert mystery(make_job(start_time=STARTED, active=1), [pod]) is None


@pytest.mark.parametrize("reason", ["FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox"])
def test_a_pod_without_its_volume_or_network_cannot_create_its_containers(reason: str) -> None:
    told = Notice(reason=reason, message="no such Secret", first=NOON + 2, last=NOON + 9)
    assert codes(told) == ["CREATE_CONTAINER"]
    assert codes(replace(told, reason="Unhealthy")) == []
