"""What is read of a pod: which request it is of, how it ended, which containers will write no more."""

from typing import Any

import orjson
import pytest

from events.names import Annotation
from handler.history.base import PodRun
from handler.history.logs.watching import Pods, _Feed, parse
from k8s.api.wire import ObjectMeta
from k8s.base import Malformed
from tests.handler.history.logs.wards import make_seen

T1, T2, E1, E2 = "2026-11-21T12:00:01Z", "2026-11-21T12:00:02Z", 1_795_262_401.0, 1_795_262_402.0


def status(name: str, **state: Any) -> dict[str, Any]:
    return {"name": name, "state": state}


def running(name: str) -> dict[str, Any]:
    return status(name, running={"startedAt": T1})


def ended(name: str, code: int = 0) -> dict[str, Any]:
    reason = "Error" if code else "Completed"
    return status(name, terminated={"exitCode": code, "reason": reason, "startedAt": T1, "finishedAt": T2})


def pod(phase: str, *main: dict[str, Any], init: Any = (), metadata: Any = None, spec: Any = None) -> bytes:
    """A pod with these statuses of containers."""
    notes = {Annotation.ID: "r", Annotation.SOURCE: "/s", "batch.kubernetes.io/job-completion-index": "7"}
    labels = {"batch.kubernetes.io/controller-uid": "j", "batch.kubernetes.io/job-name": "job"}
    meta = {"name": "p", "namespace": "n", "uid": "u", "labels": labels, "annotations": notes}
    names = [{"name": one["name"]} for one in main]
    before = [{"name": one["name"], "restartPolicy": "Always" if one["name"] == "proxy" else None} for one in init]
    wanted = {"nodeName": "node-1", "restartPolicy": "Never", "containers": names, "initContainers": before}
    seen = {"phase": phase, "containerStatuses": [*main], "initContainerStatuses": [*init]}
    return orjson.dumps({"metadata": meta | (metadata or {}), "spec": wanted | (spec or {}), "status": seen})


def parts(raw: bytes) -> dict[str, tuple[bool, bool, bool]]:
    return {part.name: (part.ran, part.running, part.ended) for part in parse(raw).parts}


def test_a_pod_that_has_ended() -> None:
    seen = parse(pod("Failed", ended("main", 3)))
    assert seen.run == PodRun(
        uid="u", name="p", namespace="n", node="node-1", index=7, attempt=1, started=E1, finished=E2, exit_code=3,
        reason="Error",
    )  # fmt: skip
    assert (seen.job, seen.job_uid, seen.id, seen.source) == ("job", "j", "r", "/s")
    assert (seen.over, seen.deleted, seen.gone, seen.begun) == (True, False, False, True)


def test_a_pod_that_runs_has_no_end() -> None:
    seen = parse(pod("Running", running("main"), ended("other", 1)))
    assert (seen.run.started, seen.run.finished, seen.run.exit_code, seen.run.reason) == (E1, None, None, None)
    assert parts(pod("Running", running("main"), ended("other", 1))) == {
        "main": (True, True, False),
        "other": (True, False, True),
    }
    assert not parse(pod("Pending")).begun


def test_an_evicted_pod_says_so() -> None:
    raw = orjson.loads(pod("Failed"))
    raw["status"]["reason"] = "Evicted"
    seen = parse(orjson.dumps(raw))
    assert (seen.run.reason, seen.over, seen.parts) == ("Evicted", True, ())


def test_who_will_be_run_again_has_not_ended() -> None:
    both = ended("main", 1), ended("other")
    assert [ended for _, _, ended in parts(pod("Running", *both, spec={"restartPolicy": "OnFailure"})).values()] == [
        False,
        True,
    ]
    assert not any(ended for _, _, ended in parts(pod("Running", *both, spec={"restartPolicy": "Always"})).values())
    deleted = {"deletionTimestamp": T2}
    assert all(
        ended
        for _, _, ended in parts(pod("Running", *both, metadata=deleted, spec={"restartPolicy": "OnFailure"})).values()
    )


def test_sidecars_end_with_their_pod() -> None:
    init = ended("prepare"), ended("proxy", 1)
    assert parts(pod("Running", running("main"), init=init)) == {
        "main": (True, True, False),
        "prepare": (True, False, True),
        "proxy": (True, False, False),
    }
    assert parts(pod("Succeeded", ended("main"), init=init))["proxy"] == (True, False, True)


def test_a_container_that_could_not_be_run_has_never_run() -> None:
    never = status("main", terminated={"exitCode": 128, "reason": "StartError", "startedAt": "1970-01-01T00:00:00Z"})
    assert parts(pod("Failed", never)) == {"main": (False, False, True)}


def test_numbers_that_fit_no_column_are_left_out() -> None:
    notes = {Annotation.ATTEMPT: "9" * 12, "batch.kubernetes.io/job-completion-index": "9" * 12}
    seen = parse(pod("Failed", ended("main", 2**40), metadata={"annotations": notes}))
    assert (seen.run.attempt, seen.run.index, seen.run.exit_code) == (1, None, None)


def test_what_no_request_is_called_is_no_request() -> None:
    notes = {Annotation.ID: "r" * 20_000, Annotation.SOURCE: "/s", Annotation.ATTEMPT: "3"}
    seen = parse(pod("Pending", metadata={"annotations": notes}))
    assert (seen.id, seen.source, seen.run.attempt) == ("", "", 3)


@pytest.mark.parametrize("raw", [b"", b"[]", b'{"metadata": 1}', b'{"metadata": {"name": "p", "labels": {"a": 1}}}'])
def test_what_is_no_pod_is_malformed(raw: bytes) -> None:
    with pytest.raises(Malformed):
        parse(raw)


async def test_pods_that_are_done_are_known_again_by_their_uids_until_they_go() -> None:
    pods = Pods()
    feed = _Feed(pods)
    feed.changed(make_seen("a"), 1)
    feed.changed(make_seen("b"), 2)
    assert pods.changes == {"a", "b"}
    pods.done("a")
    pods.changes.clear()
    feed.changed(make_seen("a", deleted=True), 3)
    feed.changed(make_seen("b"), 4)
    assert (pods.changes, pods.get("a")) == (set(), None)
    listed = feed.listing()
    listed.append((make_seen("c"), 5))
    await feed.replaced(listed, version=5)
    assert pods.changes == {"b", "c"}
    found = pods.get("b")
    assert found is not None
    assert found.gone
    pods.done("b")
    feed.removed(ObjectMeta(uid="c"), 6)
    pods.done("c")
    # Nothing of them is left.
    assert (pods._open, pods._done, feed._known) == ({}, set(), set())
