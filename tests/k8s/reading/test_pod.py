"""Decoding Pods: which container is the main one, what each of them and the infrastructure say."""

import pytest

from events.jobs.pods import Role
from k8s.reading.pod import DEFAULT_CONTAINER, parse_pod, pod_of
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
