"""PersistentVolumeClaims: pods wait for them, and they are kept and deleted as in Kubernetes."""

from pathlib import Path
from typing import Any

import pytest

from k8s.devcluster.controllers.claims import CLAIMS
from k8s.devcluster.errors import ApiError
from k8s.devcluster.store.store import Store
from tests.k8s.devcluster.in_process import NAMESPACE, Cluster, cluster, make_claim, make_pod

Obj = dict[str, Any]
EPHEMERAL = {"ephemeral": {"volumeClaimTemplate": {"spec": make_claim("x")["spec"]}}}


def mounted(name: str, script: str, volume: Obj | None = None) -> Obj:
    source = volume or {"persistentVolumeClaim": {"claimName": "disk"}}
    container = {"command": ["sh", "-c", script], "volumeMounts": [{"name": "v", "mountPath": "/data"}]}
    return make_pod(name, container=container, volumes=[{"name": "v"} | source])


def unschedulable(running: Cluster, name: str) -> str:
    conditions = (running.get("pods", name) or {})["status"].get("conditions") or []
    return "".join(item.get("message", "") for item in conditions if item.get("reason") == "Unschedulable")


async def test_pod_waits_for_its_claim_in_the_schedulers_words_and_runs_once_it_exists(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        running.store.create("pods", mounted("p", "echo kept >/data/file"))
        message = await running.until(lambda: unschedulable(running, "p"))
        assert message == (
            '0/1 nodes are available: persistentvolumeclaim "disk" not found. no new claims to deallocate, '
            "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
        )
        running.store.create(CLAIMS, make_claim("disk"))
        assert (await running.ended_pod("p"))["phase"] == "Succeeded"


async def test_claim_is_bound_without_a_pod(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        uid = running.store.create(CLAIMS, make_claim("disk"))["metadata"]["uid"]
        await running.until(lambda: running.store.get(CLAIMS, NAMESPACE, "disk")["status"]["phase"] == "Bound")
        claim = running.store.get(CLAIMS, NAMESPACE, "disk")
        assert claim["spec"]["volumeName"] == f"pvc-{uid}"
        assert claim["status"]["capacity"] == {"storage": "1Gi"}


async def test_claim_in_use_is_deleted_after_its_last_pod_with_its_files(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        running.store.create(CLAIMS, make_claim("disk"))
        running.store.create("pods", mounted("p", "touch /data/file; until test -e ../go; do sleep 0.02; done"))
        [file] = await running.until(lambda: [*(tmp_path / "claims").rglob("file")])
        running.store.delete(CLAIMS, NAMESPACE, "disk")
        running.store.create("pods", mounted("late", "true"))
        assert "is being deleted" in await running.until(lambda: unschedulable(running, "late"))
        assert running.get(CLAIMS, "disk") is not None
        (tmp_path / "pods/go").touch()
        await running.until(lambda: running.get(CLAIMS, "disk") is None)
        await running.until(lambda: not file.exists())
        running.store.create(CLAIMS, make_claim("disk"))
        assert (await running.ended_pod("late"))["phase"] == "Succeeded"


async def test_ephemeral_claim_comes_and_goes_with_its_pod(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        running.store.create("pods", mounted("p", "echo x >/data/file", EPHEMERAL))
        assert (await running.ended_pod("p"))["phase"] == "Succeeded"
        claim = running.store.get(CLAIMS, NAMESPACE, "p-v")
        assert claim["metadata"]["ownerReferences"][0]["kind"] == "Pod"
        running.store.delete("pods", NAMESPACE, "p", grace=0)
        await running.until(lambda: running.get(CLAIMS, "p-v") is None)


async def test_ephemeral_volume_does_not_take_a_claim_that_its_pod_does_not_own(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        running.store.create(CLAIMS, make_claim("p-v"))
        running.store.create("pods", mounted("p", "true", EPHEMERAL))
        assert "pod is not owner" in await running.until(lambda: unschedulable(running, "p"))


async def test_namespace_is_deleted_with_claims_and_the_pods_that_use_them(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        running.store.create("namespaces", {"metadata": {"name": "second"}})
        claim, pod = make_claim("disk"), mounted("p", "sleep 600")
        for obj in (claim, pod):
            obj["metadata"]["namespace"] = "second"
        running.store.create(CLAIMS, claim)
        running.store.create("pods", pod)
        await running.until(lambda: running.store.get("pods", "second", "p")["status"]["phase"] == "Running")
        running.store.delete("namespaces", "", "second")
        await running.until(lambda: len(running.store.list("namespaces")) == 2)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"accessModes": []}, "spec.accessModes"),
        ({"accessModes": ["Sometimes"]}, "spec.accessModes"),
        ({"resources": {}}, "spec.resources[storage]"),
        ({"resources": {"requests": {"storage": "0"}}}, "spec.resources[storage]"),
        ({"volumeMode": "Tape"}, "spec.volumeMode"),
    ],
)
def test_claims_that_are_not_valid_are_refused_by_field(store: Store, change: Obj, field: str) -> None:
    claim = make_claim("disk")
    claim["spec"] |= change
    with pytest.raises(ApiError) as caught:
        store.create(CLAIMS, claim)
    assert [cause["field"] for cause in (caught.value.details or {})["causes"]] == [field]


def test_only_the_size_of_a_claim_can_be_changed(store: Store) -> None:
    store.create(CLAIMS, make_claim("disk"))
    larger = {"requests": {"storage": "2Gi"}}
    store.mutate(CLAIMS, NAMESPACE, "disk", lambda claim: claim["spec"].update(resources=larger))
    with pytest.raises(ApiError, match="spec is immutable after creation"):
        store.mutate(CLAIMS, NAMESPACE, "disk", lambda claim: claim["spec"].update(accessModes=["ReadOnlyMany"]))
