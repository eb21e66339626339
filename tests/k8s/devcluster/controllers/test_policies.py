"""Job policies with a real kubelet: which failure counts, which index is tried again, when enough has succeeded."""

from pathlib import Path
from typing import Any

from k8s.devcluster.api.eviction import evict
from k8s.devcluster.api.target import DeleteOptions
from k8s.devcluster.controllers.jobpolicy import FAILURES, IGNORED_FAILURES, match
from k8s.devcluster.loops import Options
from k8s.devcluster.resources import Obj
from tests.k8s.devcluster.in_process import NAMESPACE, Cluster, cluster, counters, make_job

INDEXED: Obj = {"completionMode": "Indexed"}


def rule(action: str, *codes: int, **more: Any) -> Obj:
    return {"action": action, "onExitCodes": {"operator": "In", "values": list(codes)} | more}


def condition(status: Obj, kind: str) -> tuple[str, str]:
    """Reason and message of the condition of this type."""
    found = next(item for item in status["conditions"] if item["type"] == kind)
    return found["reason"], found.get("message", "")


def created(running: Cluster, job: str) -> list[Obj]:
    """Every pod the Job ever had, as it was created."""
    return [
        obj
        for resource, change, obj in running.history
        if (resource, change) == ("pods", "ADDED") and obj["metadata"]["labels"]["job-name"] == job
    ]


async def test_first_matching_rule_decides_and_an_ignored_failure_does_not_count(tmp_path: Path) -> None:
    script = "test -e ../seen || { touch ../seen; exit 3; }; exit 42"
    policy = {"rules": [rule("Ignore", 3), rule("FailJob", 3, 42)]}
    async with cluster(tmp_path) as running:
        running.store.create("jobs", make_job("policy", script, podFailurePolicy=policy))
        status = await running.finished("policy")
        assert counters(status) == {"failed": 1}
        reason, message = condition(status, "Failed")
        assert reason == "PodFailurePolicy"
        assert message.endswith("failed with exit code 42 matching FailJob rule at index 1")
        assert len(created(running, "policy")) == 2


async def test_failing_job_stops_its_other_pods_and_counts_them(tmp_path: Path) -> None:
    script = 'test "$JOB_COMPLETION_INDEX" = 1 && exit 7; sleep 600'
    spec = INDEXED | {"completions": 2, "parallelism": 2, "podFailurePolicy": {"rules": [rule("FailJob", 7)]}}
    async with cluster(tmp_path) as running:
        running.store.create("jobs", make_job("all", script, **spec))
        status = await running.finished("all")
        assert counters(status) == {"failed": 2}
        assert condition(status, "Failed")[0] == "PodFailurePolicy"


def test_rules_match_exit_codes_and_conditions_of_the_pod_alone() -> None:
    ended = {"name": "main", "state": {"terminated": {"exitCode": 5}}}
    disrupted = {"type": "DisruptionTarget", "status": "True"}
    pod = {
        "metadata": {"namespace": "n", "name": "p"},
        "status": {"containerStatuses": [ended], "conditions": [disrupted]},
    }

    def matched(rule: Obj) -> bool:
        return match({"spec": {"podFailurePolicy": {"rules": [rule]}}}, pod) is not None

    assert matched(rule("Count", 5))
    assert not matched(rule("Count", 5, containerName="other"))
    assert matched(rule("Count", 1, operator="NotIn"))
    assert not matched(rule("Count", 5, operator="NotIn"))
    assert matched({"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]})
    assert not matched({"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "False"}]})


async def test_each_index_is_tried_again_up_to_its_own_limit(tmp_path: Path) -> None:
    script = 'test "$JOB_COMPLETION_INDEX" = 0 || exit 1'
    spec = INDEXED | {"completions": 2, "parallelism": 2, "backoffLimitPerIndex": 2, "backoffLimit": 50}
    async with cluster(tmp_path) as running:
        running.store.create("jobs", make_job("each", script, **spec))
        status = await running.finished("each")
        assert (status["completedIndexes"], status["failedIndexes"]) == ("0", "1")
        assert counters(status) == {"succeeded": 1, "failed": 3}
        assert condition(status, "Failed") == ("FailedIndexes", "Job has failed indexes")
        numbers = [
            pod["metadata"]["annotations"][FAILURES] for pod in created(running, "each") if name_has(pod, "each-1-")
        ]
        assert numbers == ["0", "1", "2"]


def name_has(pod: Obj, prefix: str) -> bool:
    return str(pod["metadata"]["name"]).startswith(prefix)


async def test_an_index_waits_after_its_own_failures_while_others_go_on(tmp_path: Path) -> None:
    script = 'test "$JOB_COMPLETION_INDEX" = 0 && exit 1; exit 0'
    spec = INDEXED | {"completions": 3, "parallelism": 2, "backoffLimitPerIndex": 1, "backoffLimit": 50}
    async with cluster(tmp_path, Options(backoff=2.0, ready_lag=0.05)) as running:
        running.store.create("jobs", make_job("turns", script, **spec))
        status = await running.finished("turns")
        label = "batch.kubernetes.io/job-completion-index"
        assert [pod["metadata"]["labels"][label] for pod in created(running, "turns")] == ["0", "1", "2", "0"]
        assert condition(status, "Failed")[0] == "FailedIndexes"


async def test_fail_index_gives_up_at_once_and_ignored_failures_are_counted_apart(tmp_path: Path) -> None:
    script = (
        'test "$JOB_COMPLETION_INDEX" = 0 && exit 9; '
        'test "$JOB_COMPLETION_INDEX" = 1 && { test -e ../seen || { touch ../seen; exit 3; }; }; exit 0'
    )
    spec = INDEXED | {
        "completions": 2,
        "parallelism": 2,
        "backoffLimitPerIndex": 5,
        "podFailurePolicy": {"rules": [rule("FailIndex", 9), rule("Ignore", 3)]},
        "backoffLimit": 50,
    }
    async with cluster(tmp_path) as running:
        running.store.create("jobs", make_job("mixed", script, **spec))
        status = await running.finished("mixed")
        assert (status["completedIndexes"], status["failedIndexes"]) == ("1", "0")
        assert counters(status) == {"succeeded": 1, "failed": 1}
        again = created(running, "mixed")[-1]["metadata"]["annotations"]
        assert (again[FAILURES], again[IGNORED_FAILURES]) == ("0", "1")


async def test_too_many_failed_indexes_end_the_job_while_others_run(tmp_path: Path) -> None:
    script = 'test "$JOB_COMPLETION_INDEX" = 2 && sleep 600; exit 1'
    spec = INDEXED | {
        "completions": 3, "parallelism": 3, "backoffLimitPerIndex": 0, "maxFailedIndexes": 1, "backoffLimit": 50,
    }  # fmt: skip
    async with cluster(tmp_path) as running:
        running.store.create("jobs", make_job("many", script, **spec))
        status = await running.finished("many")
        assert condition(status, "Failed")[0] == "MaxFailedIndexesExceeded"
        assert counters(status) == {"failed": 3}


async def test_success_of_the_wanted_indexes_ends_the_job_and_its_pods(tmp_path: Path) -> None:
    script = 'test "$JOB_COMPLETION_INDEX" = 2 || sleep 600'
    policy = {"rules": [{"succeededIndexes": "0-1", "succeededCount": 2}, {"succeededIndexes": "2"}]}
    spec = INDEXED | {"completions": 3, "parallelism": 3, "successPolicy": policy}
    async with cluster(tmp_path) as running:
        running.store.create("jobs", make_job("leader", script, **spec))
        status = await running.finished("leader")
        assert condition(status, "Complete") == ("SuccessPolicy", "Matched rules at index 1")
        assert counters(status) == {"succeeded": 1}
        await running.until(lambda: [pod["status"]["phase"] for pod in running.pods("leader")] == ["Succeeded"])


async def test_pod_is_replaced_only_after_its_end_where_the_policy_says_failed(tmp_path: Path) -> None:
    script = (
        "trap 'until test -e ../go; do sleep 0.02; done; exit 1' TERM; touch ../ready; while :; do sleep 0.02; done"
    )
    spec: Obj = {"podReplacementPolicy": "Failed", "backoffLimit": 3}
    async with cluster(tmp_path) as running:
        running.store.create("jobs", make_job("slow", script, **spec))
        first = await running.running_pod("slow")
        await running.until((tmp_path / "pods/ready").exists)
        running.store.delete("pods", NAMESPACE, first["metadata"]["name"])
        await running.until(lambda: running.status("slow").get("terminating") == 1)
        assert len(created(running, "slow")) == 1
        (tmp_path / "pods/go").touch()
        await running.until(lambda: len(created(running, "slow")) == 2)
        ends = [
            obj["status"]["phase"]
            for resource, _, obj in running.history
            if resource == "pods" and obj["metadata"]["uid"] == first["metadata"]["uid"]
        ]
        assert ends[-1] == "Failed"


async def test_work_queue_ends_when_a_worker_has_succeeded_and_all_have_ended(tmp_path: Path) -> None:
    script = "mkdir ../first 2>/dev/null && exit 0; until test -e ../go; do sleep 0.05; done"
    async with cluster(tmp_path) as running:
        running.store.create("jobs", make_job("queue", script, parallelism=3))
        assert "completions" not in running.job("queue")["spec"]
        await running.until(lambda: counters(running.status("queue")).get("succeeded") == 1)
        assert counters(running.status("queue"))["active"] == 2
        (tmp_path / "pods/go").touch()
        assert counters(await running.finished("queue")) == {"succeeded": 3}
        assert len(created(running, "queue")) == 3


async def test_evicted_pod_is_no_failure_of_the_job_where_its_policy_ignores_it(tmp_path: Path) -> None:
    ignore = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}
    script = "until test -e ../go; do sleep 0.02; done"
    spec: Obj = {"podFailurePolicy": {"rules": [ignore]}, "backoffLimit": 0}
    async with cluster(tmp_path) as running:
        running.store.create("jobs", make_job("moved", script, **spec))
        first = await running.running_pod("moved")
        options = DeleteOptions(propagation=None, grace=1, uid=None, resource_version=None, dry_run=False)
        evict(running.store, (NAMESPACE, first["metadata"]["name"]), options)
        await running.until(lambda: len(created(running, "moved")) == 2)
        (tmp_path / "pods/go").touch()
        assert counters(await running.finished("moved")) == {"succeeded": 1}


async def test_job_that_another_controller_manages_is_left_alone(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        running.store.create("jobs", make_job("theirs", managedBy="kueue.x-k8s.io/multikueue"))
        running.store.create("jobs", make_job("ours"))
        await running.finished("ours")
        assert running.status("theirs") == {}
