"""Decoding Pods: which container is the main one, what each of them and the infrastructure say."""

from typing import Any

import pytest

from events.jobs.pods import Role
from events.problems import brief
from k8s.reading.metadata import MAX_WORD
from k8s.reading.pod import DEFAULT_CONTAINER, MAX_CONTAINERS, parse_pod, pod_of
from tests.events.samples import NOON
from tests.k8s.objects import make_pod
from tests.k8s.reading.test_job import seen


def test_recorded_pods_that_wait_say_why() -> None:
    pod = parse_pod(seen("job-image-cannot-be-pulled", "pods")[-1])
    assert pod.main is not None
    assert pod.main.waiting_reason == "ImagePullBackOff"
    assert pod.main.waiting_message == "Back-off pulling image missing/image:1"
    assert pod.started is None
    pod = parse_pod(seen("job-unschedulable", "pods")[-1])
    assert pod.scheduled_reason == "Unschedulable"
    assert pod.scheduled_message


def test_recorded_index_of_a_pod_is_known() -> None:
    assert {parse_pod(raw).index for raw in seen("job-indexed", "pods")} == {0, 1, 2}


def test_main_container_comes_first_and_the_others_as_in_the_manifest() -> None:
    def names(*containers: str, **annotations: str) -> list[str]:
        # The kubelet writes statuses in the order of names.
        statuses = [{"name": name, "state": {"terminated": {"exitCode": 1}}} for name in sorted(containers)]
        pod = make_pod("p", "a", containerStatuses=statuses)
        pod["spec"] = {"containers": [{"name": name} for name in containers]}
        pod["metadata"]["annotations"] = annotations
        return [container.name for container in pod_of(pod).containers]

    assert names("zoo", "main", "ant") == ["main", "zoo", "ant"]
    assert names("worker", "ant") == ["worker", "ant"]
    assert names("a", "b", **{DEFAULT_CONTAINER: "b"}) == ["b", "a"]


def test_init_containers_and_sidecars_are_known_from_the_manifest() -> None:
    running = {"state": {"running": {"startedAt": "2026-11-21T12:00:00Z"}}}
    pod = make_pod(
        "p",
        "a",
        containerStatuses=[{"name": "main", "state": {"waiting": {"reason": "PodInitializing"}}}],
        initContainerStatuses=[{"name": "fetch", **running}, {"name": "proxy", **running}],
    )
    always = {"name": "proxy", "restartPolicy": "Always"}
    pod["spec"] = {"containers": [{"name": "main"}], "initContainers": [{"name": "fetch"}, always]}
    found = pod_of(pod)
    assert [(one.name, one.role, one.running) for one in found.containers] == [
        ("main", Role.MAIN, False),
        ("fetch", Role.INIT, True),
        ("proxy", Role.SIDECAR, True),
    ]
    assert found.started is None


@pytest.mark.parametrize("never", ["1970-01-01T00:00:00Z", None])
def test_a_program_that_could_not_be_run_has_never_started(never: str | None) -> None:
    ended = {"exitCode": 128, "reason": "StartError", "startedAt": never, "finishedAt": "2026-11-21T12:00:09Z"}
    pod = pod_of(make_pod("p", "a", containerStatuses=[{"name": "main", "state": {"terminated": ended}}]))
    assert pod.main is not None
    assert (pod.started, pod.main.finished, pod.main.exit_code) == (None, NOON + 9, 128)


def test_pods_own_reason_and_disruption_are_beside_those_of_its_containers() -> None:
    ended = {"name": "main", "state": {"terminated": {"exitCode": 137, "reason": "Error", "message": "bye"}}}
    disrupted = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "TerminationByKubelet",
        "lastTransitionTime": "2026-11-21T12:00:09Z",
    }
    shown = make_pod("p", "a", reason="Evicted", message="disk", containerStatuses=[ended], conditions=[disrupted])
    pod = pod_of(shown)
    assert pod.main is not None
    assert (pod.reason, pod.message, pod.main.reason, pod.main.message) == ("Evicted", "disk", "Error", "bye")
    assert pod.disruption is not None
    assert (pod.disruption.reason, pod.disruption.at) == ("TerminationByKubelet", NOON + 9)


def test_a_container_ended_while_it_waited_for_a_restart_shows_its_last_run() -> None:
    former = {"exitCode": 4, "startedAt": "2026-11-21T12:00:01Z", "finishedAt": "2026-11-21T12:00:02Z"}
    status = {
        "name": "main",
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": former},
    }
    waiting = pod_of(make_pod("p", "a", phase="Running", containerStatuses=[status])).main
    failed = pod_of(make_pod("p", "a", phase="Failed", containerStatuses=[status])).main
    assert waiting is not None
    assert failed is not None
    assert (waiting.started, waiting.exit_code, waiting.waiting_reason) == (NOON + 1, None, "CrashLoopBackOff")
    assert (failed.started, failed.exit_code, failed.waiting_reason) == (NOON + 1, 4, None)


@pytest.mark.parametrize(("others", "room"), [(0, 4096), (11, 1024)])
def test_a_message_as_long_as_kubernetes_keeps_may_be_cut(others: int, room: int) -> None:
    def is_cut(size: int) -> bool:
        ended = {"terminated": {"exitCode": 0, "message": "x" * size}}
        beside = [{"name": f"c{number}"} for number in range(others)]
        pod = pod_of(make_pod("p", "a", containerStatuses=[*beside, {"name": "main", "state": ended}]))
        assert pod.main is not None
        return pod.main.cut

    assert is_cut(room)
    assert not is_cut(room - 1)


def test_of_many_containers_those_are_kept_that_tell_most() -> None:
    def ended(name: str, code: int, second: int) -> dict[str, Any]:
        at = f"2026-11-21T12:00:{second:02d}Z"
        return {"name": name, "state": {"terminated": {"exitCode": code, "startedAt": at, "finishedAt": at}}}

    statuses = [ended(f"c{number}", 0, number % 50) for number in range(5000)]
    statuses += [{"name": "main", "state": {"running": {}}}, ended("bad", 1, 1), ended("late", 0, 59)]
    pod = make_pod("p", "a", containerStatuses=statuses)
    pod["spec"]["containers"] = [{"name": one["name"]} for one in statuses]
    found = pod_of(pod)
    assert len(found.containers) == MAX_CONTAINERS
    assert found.main is not None
    assert found.main.name == "main"
    assert {"bad", "late"} < {one.name for one in found.containers}


def test_what_is_said_of_a_pod_is_kept_as_far_as_it_is_repeated() -> None:
    long = "x" * 100_000
    waiting = {"name": "main", "state": {"waiting": {"reason": long, "message": long}}}
    unscheduled = {"type": "PodScheduled", "status": "False", "reason": long, "message": long}
    disrupted = {"type": "DisruptionTarget", "status": "True", "reason": long, "message": long}
    pod = pod_of(
        make_pod("p", "a", reason=long, message=long, conditions=[unscheduled, disrupted], containerStatuses=[waiting])
    )
    assert pod.main is not None
    assert pod.disruption is not None
    reasons = (pod.reason, pod.scheduled_reason, pod.main.waiting_reason, pod.disruption.reason)
    messages = (pod.message, pod.scheduled_message, pod.main.waiting_message, pod.disruption.message)
    assert {len(reason or "") for reason in reasons} == {MAX_WORD}
    assert set(messages) == {brief(long)}
