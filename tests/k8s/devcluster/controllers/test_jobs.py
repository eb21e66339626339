"""The Job controller, with a real kubelet, against states recorded from Kubernetes."""

import time
from pathlib import Path
from typing import Any

import pytest

from k8s.devcluster.controllers.jobpolicy import Backoff
from k8s.devcluster.controllers.tally import TRACKING, Tally, failure_time, format_indexes, parse_indexes
from k8s.devcluster.loops import Options
from k8s.devcluster.resources import Obj
from k8s.devcluster.times import parse_time, rfc3339
from tests.k8s.devcluster.in_process import NAMESPACE, cluster, conditions, counters, make_job
from tests.patience import within

SLOW = Options(backoff=0.05, ready_lag=0.3)  # a lag long enough for a test to look before it is over


def reasons(status: Obj) -> dict[str, str]:
    return {item["type"]: item["reason"] for item in status["conditions"]}


async def test_success_goes_through_the_states_of_kubernetes(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        running.store.create("jobs", make_job("ok", "sleep 0.3"))
        status = await running.finished("ok")
        assert [state[1:] for state in running.job_states("ok")[-4:]] == [
            ((), {"active": 1}),
            ((), {"active": 1, "ready": 1}),
            (("SuccessCriteriaMet",), {}),
            (("SuccessCriteriaMet", "Complete"), {"succeeded": 1}),
        ]
        assert set(reasons(status).values()) == {"CompletionsReached"}
        assert status["uncountedTerminatedPods"] == {}
        assert status["completionTime"] >= status["startTime"]


async def test_ready_is_counted_a_lag_after_the_pod_runs(tmp_path: Path) -> None:
    async with cluster(tmp_path, SLOW) as running:
        running.store.create("jobs", make_job("slow", "sleep 600"))
        await running.running_pod("slow")
        started = time.monotonic()
        assert counters(running.status("slow")) == {"active": 1}
        await running.until(lambda: running.status("slow").get("ready"))
        assert time.monotonic() - started > SLOW.ready_lag / 2


async def test_failure_is_announced_before_it_is_counted(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        running.store.create("jobs", make_job("bad", "exit 3"))
        status = await running.finished("bad")
        assert [state[1:] for state in running.job_states("bad")[-2:]] == [
            (("FailureTarget",), {}),
            (("FailureTarget", "Failed"), {"failed": 1}),
        ]
        assert set(reasons(status).values()) == {"BackoffLimitExceeded"}
        assert "completionTime" not in status


async def test_failed_pod_is_noted_as_uncounted_before_its_finalizer_is_removed(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        running.store.create("jobs", make_job("bad", "exit 3"))
        await running.finished("bad")
        pod = running.pods("bad")[0]
        seen: list[str] = []
        for resource, _, obj in running.history:
            uncounted = (obj.get("status") or {}).get("uncountedTerminatedPods") or {}
            if resource == "jobs" and uncounted.get("failed") == [pod["metadata"]["uid"]]:
                seen.append("uncounted")
            if resource == "pods" and obj["status"]["phase"] == "Failed":
                seen.append("held" if obj["metadata"].get("finalizers") else "released")
        assert seen == ["held", "uncounted", "released"]


async def test_pod_has_the_metadata_that_its_job_gives_it(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        job = make_job("tagged", "sleep 600")
        job["spec"]["template"]["metadata"] = {"annotations": {"who": "me"}, "labels": {"a": "b"}}
        uid = running.store.create("jobs", job)["metadata"]["uid"]
        metadata = (await running.running_pod("tagged"))["metadata"]
        assert metadata["name"].startswith("tagged-")
        assert metadata["annotations"] == {"who": "me"}
        assert metadata["finalizers"] == [TRACKING]
        assert metadata["labels"] == {
            "a": "b",
            "batch.kubernetes.io/controller-uid": uid,
            "batch.kubernetes.io/job-name": "tagged",
            "controller-uid": uid,
            "job-name": "tagged",
        }
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "tagged", "uid": uid}
        flags = {"controller": True, "blockOwnerDeletion": True}
        assert metadata["ownerReferences"] == [owner | flags]


async def test_retries_up_to_the_limit(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        running.store.create("jobs", make_job("retry", "exit 7", backoffLimit=2))
        status = await running.finished("retry")
        assert status["failed"] == len(running.pods("retry")) == 3
        assert reasons(status)["Failed"] == "BackoffLimitExceeded"


async def test_next_pod_waits_for_the_backoff(tmp_path: Path) -> None:
    async with cluster(tmp_path, Options(backoff=2.0, ready_lag=0.05)) as running:
        script = "test -e ../once || { touch ../once; exit 1; }"
        running.store.create("jobs", make_job("retry", script, backoffLimit=1))
        await running.until(lambda: running.status("retry").get("failed"))
        assert counters(running.status("retry")) == {"failed": 1}
        status = await running.finished("retry")
        assert counters(status) == {"failed": 1, "succeeded": 1}
        first, second = sorted(pod["status"]["startTime"] for pod in running.pods("retry"))
        assert parse_time(second) - parse_time(first) >= 1


def test_backoff_doubles_up_to_ten_minutes_and_ends_with_a_success() -> None:
    backoff = Backoff(first=10.0)
    waits = []
    for _ in range(8):
        backoff.note("uid", Tally(failed=[ended_pod(at=1000)]))
        waits.append(backoff.remaining("uid", now=1000))
    assert waits == [10, 20, 40, 80, 160, 320, 600, 600]
    backoff.note("uid", Tally(succeeded=[ended_pod(at=1001)]))
    assert backoff.remaining("uid", now=1001) == 0


def ended_pod(*, at: float) -> Obj:
    return {"metadata": {"creationTimestamp": rfc3339(at)}}


@pytest.mark.parametrize(
    ("indexes", "text"),
    [([], ""), ([0], "0"), ([1, 0], "0,1"), ([0, 1, 2], "0-2"), ([7, 1, 3, 4, 5], "1,3-5,7")],
)
def test_indexes_are_written_as_kubernetes_does(indexes: list[int], text: str) -> None:
    assert format_indexes(indexes) == text
    assert parse_indexes(text, below=None) == set(indexes)


async def test_indexed_job_runs_each_index_once(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        spec: dict[str, Any] = {"completions": 3, "parallelism": 2, "completionMode": "Indexed"}
        running.store.create("jobs", make_job("idx", "echo $JOB_COMPLETION_INDEX >>../ran", **spec))
        status = await running.finished("idx")
        assert (status["completedIndexes"], status["succeeded"]) == ("0-2", 3)
        assert sorted((tmp_path / "pods" / "ran").read_text().split()) == ["0", "1", "2"]
        names = {pod["metadata"]["name"].rpartition("-")[0] for pod in running.pods("idx")}
        assert names == {"idx-0", "idx-1", "idx-2"}
        assert {pod["spec"]["hostname"] for pod in running.pods("idx")} == names


async def test_failed_index_is_tried_again(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        spec: dict[str, Any] = {"completions": 2, "parallelism": 2, "completionMode": "Indexed"}
        script = "echo x >>../ran$JOB_COMPLETION_INDEX; test $JOB_COMPLETION_INDEX = 0 || test $(wc -l <../ran1) = 2"
        running.store.create("jobs", make_job("idx", script, backoffLimit=1, **spec))
        status = await running.finished("idx")
        assert counters(status) == {"succeeded": 2, "failed": 1}
        assert (tmp_path / "pods" / "ran0").read_text() == "x\n"


async def test_no_more_pods_than_parallelism_run(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        running.store.create("jobs", make_job("par", "sleep 0.2", completions=5, parallelism=2))
        status = await running.finished("par")
        assert status["succeeded"] == len(running.pods("par")) == 5
        assert max(state[2].get("active", 0) for state in running.job_states("par")) == 2


async def test_lower_parallelism_removes_pods_without_failures(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        running.store.create("jobs", make_job("par", "sleep 600", completions=3, parallelism=3))
        await running.until(lambda: running.status("par").get("ready") == 3)
        patch(running.store, "par", parallelism=1)
        await running.until(lambda: counters(running.status("par")) == {"active": 1, "ready": 1})
        await running.until(lambda: len(running.pods("par")) == 1)


async def test_deadline_ends_a_running_job(tmp_path: Path) -> None:
    async with cluster(tmp_path, Options(backoff=0.05, ready_lag=0.2)) as running:
        running.store.create("jobs", make_job("late", "sleep 600", activeDeadlineSeconds=2))
        status = await running.finished("late")
        assert reasons(status)["Failed"] == "DeadlineExceeded"
        assert [state[1:] for state in running.job_states("late")[-4:]] == [
            (("FailureTarget",), {"terminating": 1}),
            (("FailureTarget",), {"terminating": 1, "failed": 1}),
            (("FailureTarget",), {"failed": 1}),
            (("FailureTarget", "Failed"), {"failed": 1}),
        ]
        assert running.pods("late") == []


async def test_suspended_job_starts_when_it_is_resumed(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        running.store.create("jobs", make_job("held", "sleep 0.2", suspend=True))
        await running.until(lambda: "Suspended" in conditions(running.status("held")))
        assert running.pods("held") == []
        assert "startTime" not in running.status("held")
        patch(running.store, "held", suspend=False)
        status = await running.finished("held")
        assert conditions(status) == ["!Suspended", "SuccessCriteriaMet", "Complete"]
        assert reasons(status)["Suspended"] == "JobResumed"


async def test_suspending_removes_pods_and_start_time(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        running.store.create("jobs", make_job("pause", "sleep 600"))
        pod = await running.running_pod("pause")
        patch(running.store, "pause", suspend=True)
        await running.until(lambda: running.pods("pause") == [])
        await running.until(lambda: counters(running.status("pause")) == {})
        status = running.status("pause")
        assert conditions(status) == ["Suspended"]
        assert "startTime" not in status
        patch(running.store, "pause", suspend=False)
        assert (await running.running_pod("pause"))["metadata"]["uid"] != pod["metadata"]["uid"]
        assert "startTime" in running.status("pause")


@pytest.mark.stricter
@pytest.mark.parametrize("mode", ["suspended", "running", "indexed"])
async def test_verdict_fails_a_job_within_about_a_second(tmp_path: Path, mode: str) -> None:
    async with cluster(tmp_path) as running:
        spec: dict[str, Any] = {"suspend": mode == "suspended"}
        if mode == "indexed":
            spec |= {"completions": 2, "parallelism": 2, "completionMode": "Indexed"}
        running.store.create("jobs", make_job("doomed", "sleep 600", **spec))
        if mode == "suspended":
            await running.until(lambda: "Suspended" in conditions(running.status("doomed")))
        else:
            await running.running_pod("doomed")
        patch(running.store, "doomed", suspend=False, parallelism=0, activeDeadlineSeconds=1)
        started = time.monotonic()
        status = await running.finished("doomed")
        assert time.monotonic() - started < within(3)
        assert reasons(status)["Failed"] == "DeadlineExceeded"
        assert reasons(status)["FailureTarget"] == "DeadlineExceeded"
        assert mode != "suspended" or not any(r == "pods" for r, _, _ in running.history)


async def test_deleted_pod_counts_as_failed_and_is_replaced(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        once = tmp_path / "once"
        script = f'test -e "{once}" && exit 0; touch "{once}"; sleep 600'
        running.store.create("jobs", make_job("evict", script, backoffLimit=2))
        pod = await running.running_pod("evict")
        await running.until(once.exists)  # A pod runs before its script has done anything.
        running.store.delete("pods", NAMESPACE, pod["metadata"]["name"])
        status = await running.finished("evict")
        assert counters(status) == {"succeeded": 1, "failed": 1}
        assert running.get("pods", pod["metadata"]["name"]) is None


async def test_on_failure_restarts_count_against_the_limit(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        template = {"restartPolicy": "OnFailure"}
        running.store.create("jobs", make_job("loop", "exit 1", template=template, backoffLimit=2))
        status = await running.finished("loop")
        assert reasons(status)["Failed"] == "BackoffLimitExceeded"
        assert status["failed"] == 1


async def test_refused_pod_is_reported_by_an_event_and_tried_again(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        hard = {"metadata": {"name": "q", "namespace": NAMESPACE}, "spec": {"hard": {"pods": "0"}}}
        running.store.create("resourcequotas", hard)
        running.store.create("jobs", make_job("blocked"))
        await running.until(lambda: len(running.store.list("events")) >= 2)
        first = running.store.list("events")[0]
        assert (first["reason"], first["type"]) == ("FailedCreate", "Warning")
        assert first["involvedObject"]["uid"] == running.job("blocked")["metadata"]["uid"]
        assert "exceeded quota: q, requested: pods=1, used: pods=0" in first["message"]
        assert counters(running.status("blocked")) == {}
        running.store.delete("resourcequotas", NAMESPACE, "q")
        assert "Complete" in conditions(await running.finished("blocked"))


async def test_job_that_is_being_deleted_removes_the_finalizers_of_its_pods(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        job = make_job("delx", "sleep 600")
        job["metadata"]["finalizers"] = ["jobrelay.dev/lifecycle"]
        running.store.create("jobs", job)
        pod = await running.running_pod("delx")
        running.store.delete("jobs", NAMESPACE, "delx", propagation="Background")
        name = pod["metadata"]["name"]
        found = await running.until(
            lambda: (
                not running.store.get("pods", NAMESPACE, name)["metadata"].get("finalizers")
                and running.get("pods", name)
            )
        )
        assert found["status"]["phase"] == "Running"
        assert "deletionTimestamp" not in found["metadata"]


async def test_pod_that_fits_no_node_stays_pending(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        running.store.create("jobs", make_job("nofit", template={"nodeSelector": {"disk": "ssd"}}))
        await running.until(lambda: running.pods("nofit") and running.store.list("events"))
        pod = running.pods("nofit")[0]
        assert pod["status"]["phase"] == "Pending"
        scheduled = pod["status"]["conditions"][0]
        assert (scheduled["type"], scheduled["status"]) == ("PodScheduled", "False")
        assert scheduled["reason"] == "Unschedulable"
        assert "didn't match Pod's node affinity/selector" in scheduled["message"]
        assert running.store.list("events")[0]["reason"] == "FailedScheduling"


async def test_two_hundred_jobs_created_at_once_all_run(tmp_path: Path) -> None:
    async with cluster(tmp_path, Options(ready_lag=0.05, capacity=20)) as running:
        for number in range(200):
            running.store.create("jobs", make_job(f"many-{number}", "echo x >>../ran"))
        for number in range(200):
            await running.finished(f"many-{number}")
        assert len((tmp_path / "pods" / "ran").read_text().split()) == 200


def patch(store: Any, name: str, **spec: Any) -> None:
    store.mutate("jobs", NAMESPACE, name, lambda job: job["spec"].update(spec))


def test_a_pod_whose_container_never_ran_failed_when_it_was_deleted() -> None:
    state = {"terminated": {"exitCode": 137, "startedAt": None, "finishedAt": None}}
    metadata = {"creationTimestamp": "2026-11-21T12:00:00Z", "deletionTimestamp": "2026-11-21T12:00:05Z"}
    pod = {"metadata": metadata, "status": {"containerStatuses": [{"name": "main", "state": state}]}}
    assert failure_time(pod) == parse_time("2026-11-21T12:00:05Z")
