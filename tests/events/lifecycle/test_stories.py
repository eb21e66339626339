"""What is told of each end of a pod or Job, recorded from a real kubelet or in the shapes that it writes."""

from typing import Any

import pytest

from events.lifecycle.transitions import Transition
from tests.events.lifecycle.played import PLAYED
from tests.events.lifecycle.stories import Story, recorded

NO_PROGRAM = (
    "container main could not be run: nosuchprogram: not found "
    '(exec: "nosuchprogram": executable file not found in $PATH: unknown)'
)


def keys(story: Story) -> list[str]:
    return [one.key for one in story.told()]


def last(story: Story) -> dict[str, Any]:
    return story.told()[-1].detail


def find(story: Story, key: str) -> Transition:
    (found,) = [one for one in story.told() if one.key == key]
    return found


@pytest.mark.parametrize(
    ("scenario", "code", "exit_code", "container", "says"),
    [
        ("kubelet-no-such-program", "JOB_EXECUTION_FAILED", 128, "main", NO_PROGRAM),
        ("kubelet-log-as-message", "JOB_EXECUTION_FAILED", 3, "main", "exit code 3: no newline"),
        ("kubelet-init-fails", "JOB_EXECUTION_FAILED", 7, "fetch", "exit code 7: cannot reach the database"),
        ("kubelet-second-container-fails", "JOB_EXECUTION_FAILED", 9, "upload", "exit code 9: bucket is gone"),
        ("kubelet-on-failure", "JOB_EXECUTION_FAILED", 4, "main", "exit code 4 after 1 restart"),
        ("kubelet-out-of-memory", "OOM_KILLED", 137, "main", "exit code 137 (OOMKilled)"),
        ("kubelet-ignores-sigterm", "DEADLINE_EXCEEDED", 137, "main", "longer than specified deadline"),
        ("kubelet-plain-sidecar-stays", "DEADLINE_EXCEEDED", 137, "proxy", "longer than specified deadline"),
    ],
)
def test_a_recorded_failure_names_its_container_exit_code_and_last_line(
    scenario: str, code: str, exit_code: int, container: str, says: str
) -> None:
    detail = last(recorded(scenario))
    assert (detail["error"]["errorCode"], detail["exitCode"]) == (code, exit_code)
    assert detail["error"]["container"] == container
    assert says in detail["error"]["message"]
    assert "backoff limit" not in detail["error"]["message"]


def test_a_program_that_cannot_be_run_never_started() -> None:
    story = recorded("kubelet-no-such-program")
    assert keys(story) == ["created", "failed"]
    assert not {"startedAt", "duration", "logTail", "result"} & last(story).keys()


@pytest.mark.parametrize(
    ("scenario", "cause", "container", "says"),
    [
        ("kubelet-image-refused", "IMAGE_PULL", "main", "connection refused"),
        ("kubelet-init-image-missing", "IMAGE_PULL", "one", "connection refused"),
        ("kubelet-missing-configmap", "CREATE_CONTAINER", "main", 'configmap "none" not found'),
        ("kubelet-missing-secret-volume", "CREATE_CONTAINER", None, 'secret "none" not found'),
    ],
)
def test_a_recorded_pod_that_cannot_start_is_told_once(
    scenario: str, cause: str, container: str | None, says: str
) -> None:
    story = recorded(scenario)
    assert keys(story) == ["created", f"stalled/{cause}"]
    assert last(story)["error"].get("container") == container
    assert says in last(story)["error"]["message"]


@pytest.mark.parametrize(("job", "says"), [("nev", "pull policy of Never"), ("bad", "couldn't parse image name")])
def test_an_image_that_is_never_pulled_is_told(job: str, says: str) -> None:
    story = recorded("kubelet-image-never", job=job)
    assert keys(story) == ["created", "stalled/IMAGE_PULL"]
    assert says in last(story)["error"]["message"]


def test_the_end_of_an_init_container_s_log_is_told() -> None:
    assert last(recorded("kubelet-init-fails"))["logTail"] == "cannot reach the database\n"


def test_an_init_container_that_works_for_long_is_not_the_start() -> None:
    story = recorded("kubelet-init-works-long")
    assert keys(story) == ["created", "started", "succeeded"]
    assert find(story, "started").detail["attempt"] == 1
    assert last(story)["startedAt"] == "2026-11-28T05:17:43Z"


def test_a_sidecar_that_keeps_the_pod_running_is_told_and_does_not_hide_the_result() -> None:
    story = recorded("kubelet-plain-sidecar-stays")
    assert keys(story) == ["created", "started", "stalled/SIDECAR_RUNNING", "failed"]
    stalled = find(story, "stalled/SIDECAR_RUNNING")
    assert stalled.detail["error"]["container"] == "proxy"
    assert last(story)["result"] == "done"
    assert "logTail" not in last(story)


def test_a_container_that_ends_soon_after_the_main_one_is_no_sidecar() -> None:
    assert keys(recorded("kubelet-second-container-fails")) == ["created", "started", "failed"]


@pytest.mark.parametrize(("log", "told"), [(None, {}), ("Traceback\n", {"logTail": "Traceback\n"})])
def test_a_result_of_a_container_that_fails_is_a_result(log: str | None, told: dict[str, str]) -> None:
    detail = last(recorded("kubelet-message-and-failure", log=log))
    assert detail["result"] == {"rows": 3}
    assert {name: detail[name] for name in ("logTail",) if name in detail} == told


def test_a_message_that_kubernetes_has_cut_is_text_and_says_so() -> None:
    detail = last(recorded("kubelet-message-too-long"))
    assert detail["resultTruncated"] is True
    assert detail["result"].endswith("line-899-xxxxxxxx")


def test_a_drain_is_told_as_the_end_of_an_attempt() -> None:
    story = recorded("kubelet-evicted-by-api")
    assert keys(story) == ["created", "started", "retrying/1"]
    error = {"errorCode": "EVICTED", "message": "Eviction API: evicting", "container": "main"}
    assert last(story) == {"attempt": 1, "error": error}


@pytest.mark.parametrize(
    ("name", "code", "exit_code"),
    [
        ("evicted by the kubelet, having logged", "EVICTED", 137),
        ("node shut down", "NODE_SHUTDOWN", 137),
        ("node gone", "NODE_LOST", None),
        ("pod deleted by somebody", "DELETED_POD", 137),
        ("refused by the node: too little CPU", "ADMISSION", None),
        ("refused by the node: a device", "ADMISSION", None),
        ("pod ran out of its own time", "DEADLINE_EXCEEDED", 137),
        ("container lost by its node", "JOB_EXECUTION_FAILED", None),
    ],
)
def test_what_ended_a_pod_is_told_and_not_how_its_container_took_it(
    name: str, code: str, exit_code: int | None
) -> None:
    detail = last(PLAYED[name])
    assert (detail["error"]["errorCode"], detail.get("exitCode"), detail["attempt"]) == (code, exit_code, 1)
    assert "backoff limit" not in detail["error"]["message"]
    assert ("logTail" in detail) is (exit_code == 137)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("evicted by the kubelet, replaced", "EVICTED"),
        ("node shut down, replaced", "NODE_SHUTDOWN"),
        ("drained, replaced", "EVICTED"),
        ("preempted, replaced", "PREEMPTED"),
        ("node unreachable, replaced", "NODE_LOST"),
        ("pod deleted by somebody, replaced", "DELETED_POD"),
        ("refused by the node, replaced", "ADMISSION"),
    ],
)
def test_a_pod_that_is_replaced_is_told_before_the_success_of_the_next(name: str, code: str) -> None:
    told = PLAYED[name].told()
    retrying = find(PLAYED[name], "retrying/1")
    assert (retrying.detail["error"]["errorCode"], retrying.detail["attempt"]) == (code, 1)
    assert (told[-1].key, told[-1].detail["attempt"]) == ("succeeded", 2)


def test_a_container_without_an_image_is_told_though_another_runs() -> None:
    story = PLAYED["image of another container missing"]
    assert set(keys(story)) == {"created", "started", "stalled/IMAGE_PULL"}
    assert find(story, "stalled/IMAGE_PULL").detail["error"]["container"] == "proxy"
