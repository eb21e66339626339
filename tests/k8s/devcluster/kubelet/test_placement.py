"""Which pods the only node accepts, and what is left of pods that were deleted while it was down."""

from pathlib import Path
from typing import Any

import pytest

from k8s.devcluster.kubelet import kubelet
from k8s.devcluster.kubelet.node import LABELS
from k8s.devcluster.loops import Options
from k8s.devcluster.rules.placement import refusal
from tests.k8s.devcluster.in_process import NAMESPACE, Cluster, cluster, make_job, make_pod

ARCHITECTURE = "kubernetes.io/arch"
NODE: dict[str, Any] = {"metadata": {"name": "devcluster", "labels": LABELS}}
HOST = "kubernetes.io/hostname"


def placed(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "default", "labels": {"app": "a"}}, "spec": {"containers": [], **spec}}


def affinity(**expression: Any) -> dict[str, Any]:
    term = {"matchExpressions": [expression]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    return {"affinity": {"nodeAffinity": required}}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, True),
        ({"nodeSelector": {"kubernetes.io/os": "linux"}}, True),
        ({"nodeSelector": {"kubernetes.io/os": "linux", "disk": "ssd"}}, False),
        (affinity(key=ARCHITECTURE, operator="In", values=[LABELS[ARCHITECTURE]]), True),
        (affinity(key=ARCHITECTURE, operator="NotIn", values=[LABELS[ARCHITECTURE]]), False),
        (affinity(key="disk", operator="NotIn", values=["ssd"]), True),
        (affinity(key=ARCHITECTURE, operator="Exists"), True),
        (affinity(key=ARCHITECTURE, operator="DoesNotExist"), False),
        (affinity(key="cores", operator="Gt", values=["3"]), False),
        ({"affinity": {"nodeAffinity": {}}}, True),
    ],
)
def test_pod_fits_when_the_node_has_what_it_asks_for(spec: dict[str, Any], expected: bool) -> None:
    assert (refusal(placed(**spec), NODE, ()) is None) is expected


def near(kind: str, *, app: str = "a", key: str = HOST) -> dict[str, Any]:
    term = {"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": key}
    return {"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}


@pytest.mark.parametrize(
    ("spec", "others", "reason"),
    [
        (near("podAffinity"), [], None),  # the first pod with the label may start alone
        (near("podAffinity", app="b"), [placed()], "node(s) didn't match pod affinity rules"),
        (near("podAffinity", key="zone"), [placed()], "node(s) didn't match pod affinity rules"),
        (near("podAntiAffinity"), [placed()], "node(s) didn't match pod anti-affinity rules"),
        (near("podAntiAffinity"), [], None),
        ({}, [placed(**near("podAntiAffinity"))], "node(s) didn't satisfy existing pods anti-affinity rules"),
        (
            {"topologySpreadConstraints": [{"topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}]},
            [],
            "node(s) didn't match pod topology spread constraints (missing required label)",
        ),
        ({"topologySpreadConstraints": [{"topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}]}, [], None),
    ],
)
def test_affinity_to_other_pods_is_respected(
    spec: dict[str, Any], others: list[dict[str, Any]], reason: str | None
) -> None:
    found = refusal(placed(**spec), NODE, others)
    assert found is None if reason is None else reason in str(found)


def test_a_taint_keeps_out_what_does_not_tolerate_it() -> None:
    taint = {"key": "gpu", "value": "only", "effect": "NoSchedule"}
    node = NODE | {"spec": {"taints": [taint]}}
    assert "1 node(s) had untolerated taint {gpu: only}" in str(refusal(placed(), node, ()))
    for toleration in ({"key": "gpu", "operator": "Exists"}, {"key": "gpu", "value": "only"}, {"operator": "Exists"}):
        assert refusal(placed(tolerations=[toleration]), node, ()) is None
    assert refusal(placed(tolerations=[{"key": "gpu", "value": "none"}]), node, ()) is not None
    cordoned = NODE | {"spec": {"unschedulable": True}}
    assert "1 node(s) were unschedulable" in str(refusal(placed(), cordoned, ()))


def gpus(number: int) -> dict[str, Any]:
    return {"resources": {"limits": {"nvidia.com/gpu": str(number)}}}


async def test_gpus_are_given_out_once_and_a_pod_waits_for_those_in_use(tmp_path: Path) -> None:
    async with cluster(tmp_path, Options(gpus=2)) as running:
        script = "until test -e ../go; do sleep 0.02; done"
        holder = gpus(2) | {"command": ["sh", "-c", script]}
        running.store.create("pods", make_pod("holder", container=holder))
        await running.until(lambda: phase(running, "holder") == "Running")
        running.store.create("pods", make_pod("patient", container=gpus(1)))
        running.store.create("pods", make_pod("greedy", container=gpus(3)))
        message = await running.until(lambda: unschedulable(running, "patient"))
        assert message.startswith("0/1 nodes are available: 1 Insufficient nvidia.com/gpu. ")
        assert message.endswith("1 No preemption victims found for incoming pod.")
        (tmp_path / "pods/go").touch()
        assert (await running.ended_pod("patient"))["phase"] == "Succeeded"
        assert unschedulable(running, "greedy").endswith("1 Preemption is not helpful for scheduling.")


async def test_a_node_without_gpus_accepts_no_pod_that_asks_for_one(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        running.store.create("pods", make_pod("wants", container=gpus(1)))
        assert "Insufficient nvidia.com/gpu" in await running.until(lambda: unschedulable(running, "wants"))
        await running.until(lambda: running.store.list("events"))
        [event] = running.store.list("events")
        assert (event["reason"], event["source"]["component"]) == ("FailedScheduling", "default-scheduler")


async def test_a_pod_runs_once_the_node_has_the_label_it_asks_for(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        running.store.create("pods", make_pod("fast", nodeSelector={"disk": "ssd"}))
        await running.until(lambda: unschedulable(running, "fast"))
        running.store.mutate("nodes", "", "devcluster", lambda node: node["metadata"]["labels"].update(disk="ssd"))
        assert (await running.ended_pod("fast"))["phase"] == "Succeeded"
    async with cluster(tmp_path) as running:  # what a user changed on the node is kept
        assert running.store.get("nodes", "", "devcluster")["metadata"]["labels"]["disk"] == "ssd"


async def test_without_its_node_the_cluster_places_nothing_until_it_is_back(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        await running.until(lambda: running.store.list("nodes"))
        running.store.delete("nodes", "", "devcluster")
        running.store.create("pods", make_pod("p"))
        assert await running.until(lambda: unschedulable(running, "p")) == "no nodes available to schedule pods"
    async with cluster(tmp_path) as running:
        assert (await running.ended_pod("p"))["phase"] == "Succeeded"


async def test_a_deleted_pod_that_was_never_placed_does_not_hold_up_its_job(tmp_path: Path) -> None:
    template = {"nodeSelector": {"disk": "ssd"}}
    async with cluster(tmp_path) as running:
        job = make_job("stuck", template=template, podReplacementPolicy="Failed", backoffLimit=1)
        running.store.create("jobs", job)
        [pod] = await running.until(lambda: running.pods("stuck"))
        running.store.delete("pods", NAMESPACE, pod["metadata"]["name"])
        await running.until(lambda: running.status("stuck").get("failed") == 1)
        await running.until(lambda: running.status("stuck").get("active") == 1)


def unschedulable(running: Cluster, name: str) -> str:
    """Why the pod is unschedulable; empty when it is not."""
    conditions = (running.get("pods", name) or {})["status"].get("conditions") or []
    return "".join(item.get("message", "") for item in conditions if item["status"] == "False")


async def test_pod_without_room_is_reported_as_unschedulable_and_runs_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubelet, "PATIENCE", 0.05)
    async with cluster(tmp_path, Options(capacity=1)) as running:
        script = "until test -e ../go; do sleep 0.02; done"
        for name in ("first", "second"):
            running.store.create("pods", make_pod(name, container={"command": ["sh", "-c", script]}))
        message = await running.until(lambda: unschedulable(running, "second"))
        assert "Too many pods" in message
        assert unschedulable(running, "first") == ""
        (tmp_path / "pods/go").touch()
        assert (await running.ended_pod("second"))["phase"] == "Succeeded"


async def test_pod_for_another_node_is_left_alone(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        running.store.create("pods", make_pod("theirs", nodeName="elsewhere"))
        running.store.create("pods", make_pod("ours"))
        await running.ended_pod("ours")
        assert phase(running, "theirs") == "Pending"


def phase(running: Cluster, name: str) -> str:
    return str(running.store.get("pods", NAMESPACE, name)["status"]["phase"])


async def test_waiting_pod_can_be_deleted(tmp_path: Path) -> None:
    async with cluster(tmp_path, Options(capacity=1)) as running:
        running.store.create("pods", make_pod("first", container={"command": ["sleep", "60"]}))
        await running.until(lambda: phase(running, "first") == "Running")
        running.store.create("pods", make_pod("second"))
        running.store.delete("pods", NAMESPACE, "second")
        assert running.get("pods", "second") is None
        running.store.delete("pods", NAMESPACE, "first")
        running.store.create("pods", make_pod("third"))
        await running.ended_pod("third")
        ran = {obj["metadata"]["name"] for _, _, obj in running.history if obj["status"]["phase"] == "Running"}
        assert ran == {"first", "third"}


async def test_files_of_pods_that_are_gone_are_removed_at_the_start(tmp_path: Path) -> None:
    left = tmp_path / "pods/0000/containers/main"
    left.mkdir(parents=True)
    async with cluster(tmp_path) as running:
        pod = running.store.create("pods", make_pod("p"))
        await running.ended_pod("p")
        assert not left.exists()
    async with cluster(tmp_path) as running:
        await running.until(running.files(pod).exists)
