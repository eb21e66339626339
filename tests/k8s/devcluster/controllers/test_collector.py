"""What is deleted with something else: dependents with owners, Jobs after their TTL, objects with their namespace."""

import time
from pathlib import Path

import pytest

from k8s.devcluster.resources import Obj
from tests.k8s.devcluster.in_process import NAMESPACE, Cluster, cluster, conditions, make_job
from tests.patience import within

FINALIZER = "jobrelay.dev/lifecycle"


def make_owned(kind: str, name: str, *owners: Obj, block: bool = False) -> Obj:
    references = [
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"],
            "blockOwnerDeletion": block,
        }
        for owner in owners
    ]
    return {"kind": kind, "metadata": {"name": name, "namespace": NAMESPACE, "ownerReferences": references}}


def pod_changes(running: Cluster) -> list[tuple[str, bool, bool]]:
    """(type, being deleted, has the Job controller's finalizer) of each change."""
    return [
        (change, "deletionTimestamp" in obj["metadata"], bool(obj["metadata"].get("finalizers")))
        for resource, change, obj in running.history
        if resource == "pods"
    ]


async def test_background_deletion_deletes_the_pods_later(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        running.store.create("jobs", make_job("del", "sleep 600"))
        await running.running_pod("del")
        running.store.delete("jobs", NAMESPACE, "del", propagation="Background")
        assert running.get("jobs", "del") is None
        assert len(running.pods("del")) == 1
        await running.until(lambda: not running.pods("del"))
        # The collector deletes before the Job controller removes its finalizer: as recorded.
        changes = pod_changes(running)
        assert changes.index(("MODIFIED", True, True)) < changes.index(("MODIFIED", True, False))


async def test_foreground_deletion_waits_for_the_pods(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        running.store.create("jobs", make_job("delf", "trap 'sleep 0.3; exit' TERM; sleep 600 & wait"))
        await running.running_pod("delf")
        running.store.delete("jobs", NAMESPACE, "delf", propagation="Foreground")
        assert running.job("delf")["metadata"]["finalizers"] == ["foregroundDeletion"]
        await running.until(lambda: running.get("jobs", "delf") is None)
        assert running.pods("delf") == []
        # The Job controller removes its finalizer before the collector deletes: as recorded.
        changes = pod_changes(running)
        assert changes.index(("MODIFIED", False, False)) < changes.index(("MODIFIED", True, False))


async def test_orphaning_leaves_the_pods_without_an_owner(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        running.store.create("jobs", make_job("delo", "sleep 600"))
        pod = await running.running_pod("delo")
        running.store.delete("jobs", NAMESPACE, "delo")
        await running.until(lambda: running.get("jobs", "delo") is None)
        left = running.store.get("pods", NAMESPACE, pod["metadata"]["name"])["metadata"]
        assert "ownerReferences" not in left
        await running.until(
            lambda: not running.pods("delo")[0]["metadata"].get("finalizers"),
        )
        assert running.pods("delo")[0]["status"]["phase"] == "Running"


async def test_owned_secrets_and_configmaps_are_deleted_with_their_job(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        job = running.store.create("jobs", make_job("owner", suspend=True))
        other = running.store.create("jobs", make_job("other", suspend=True))
        running.store.create("secrets", make_owned("Secret", "mine", job))
        running.store.create("configmaps", make_owned("ConfigMap", "mine", job))
        running.store.create("secrets", make_owned("Secret", "shared", job, other))
        running.store.delete("jobs", NAMESPACE, "owner", propagation="Background")
        await running.until(lambda: not running.get("secrets", "mine"))
        await running.until(lambda: not running.get("configmaps", "mine"))

        def owners() -> list[str]:
            shared = running.store.get("secrets", NAMESPACE, "shared")
            return [owner["name"] for owner in shared["metadata"]["ownerReferences"]]

        await running.until(lambda: owners() == ["other"])


async def test_object_created_for_an_owner_that_is_gone_is_collected(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        job = running.store.create("jobs", make_job("gone", suspend=True))
        running.store.delete("jobs", NAMESPACE, "gone", propagation="Background")
        running.store.create("secrets", make_owned("Secret", "late", job))
        await running.until(lambda: not running.get("secrets", "late"))


@pytest.mark.stricter
async def test_finished_job_is_deleted_after_its_ttl_and_its_pods_before_it(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        running.store.create("jobs", make_job("ttl", ttlSecondsAfterFinished=1))
        await running.finished("ttl")
        finished = time.time()
        await running.until(lambda: running.get("jobs", "ttl") is None)
        assert time.time() - finished < within(2.5)

        def gone() -> list[str]:
            return [resource for resource, change, _ in running.history if change == "DELETED"]

        await running.until(lambda: len(gone()) == 2)
        assert gone() == ["pods", "jobs"]


async def test_ttl_waits_for_finalizers_but_deletes_the_pods(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        job = make_job("fin", ttlSecondsAfterFinished=0)
        job["metadata"]["finalizers"] = [FINALIZER]
        running.store.create("jobs", job)
        await running.finished("fin")
        await running.until(lambda: not running.pods("fin"))
        await running.until(lambda: running.job("fin")["metadata"]["finalizers"] == [FINALIZER])
        assert "deletionTimestamp" in running.job("fin")["metadata"]
        assert "Complete" in conditions(running.status("fin"))
        running.store.mutate("jobs", NAMESPACE, "fin", lambda job: job["metadata"].pop("finalizers"))
        await running.until(lambda: running.get("jobs", "fin") is None)


async def test_namespace_is_gone_once_everything_in_it_is_gone(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        running.store.create("namespaces", {"metadata": {"name": "team"}})
        job = make_job("held", "sleep 600")
        job["metadata"] |= {"namespace": "team", "finalizers": [FINALIZER]}
        running.store.create("jobs", job)
        running.store.create("configmaps", {"metadata": {"name": "c", "namespace": "team"}})
        await running.until(
            lambda: [p for p in running.store.list("pods", "team") if p["status"]["phase"] == "Running"]
        )
        running.store.delete("namespaces", "", "team")
        await running.until(lambda: not running.store.list("pods", "team"))
        await running.until(lambda: not running.store.list("configmaps", "team"))
        assert running.store.get("namespaces", "", "team")["status"]["phase"] == "Terminating"
        running.store.mutate("jobs", "team", "held", lambda job: job["metadata"].pop("finalizers"))
        await running.until(lambda: "team" not in names(running, "namespaces"))


def names(running: Cluster, resource: str) -> list[str]:
    return [found["metadata"]["name"] for found in running.store.list(resource)]
