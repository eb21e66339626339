"""The only node, for the API. rules/placement.py decides what fits it; kubelet.py runs that."""

import os
import platform
from collections.abc import Callable

from k8s.devcluster.discovery import VERSION
from k8s.devcluster.kubelet.downward import ADDRESS
from k8s.devcluster.resources import Obj
from k8s.devcluster.rules.placement import NODE
from k8s.devcluster.store.store import Store
from k8s.devcluster.times import now

GPU = "nvidia.com/gpu"
LABELS = {
    "kubernetes.io/hostname": NODE,
    "kubernetes.io/os": "linux",
    "kubernetes.io/arch": {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine()),
}
_CONDITIONS = (
    ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
)


def register(store: Store, *, pods: int, gpus: int) -> None:
    """Create the node, or update it. Labels, taints and `unschedulable` are its user's to set.

    `pods`: how many run at once. `gpus`: how many it claims to have; containers see none.
    """
    if ("", NODE) not in store.shelf("nodes").versions:
        store.create("nodes", {"metadata": {"name": NODE}})
    store.mutate("nodes", "", NODE, _label)
    store.mutate("nodes", "", NODE, _reporter(pods, gpus), subresource="status")


def current_node(store: Store) -> Obj | None:
    """READ-ONLY. None: somebody has deleted it."""
    version = store.shelf("nodes").versions.get(("", NODE))
    return None if version is None else version.obj


def _label(node: Obj) -> None:
    node["metadata"]["labels"] = (node["metadata"].get("labels") or {}) | LABELS


def _reporter(pods: int, gpus: int) -> Callable[[Obj], None]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    amounts = {"cpu": str(os.cpu_count() or 1), "memory": f"{memory // 1024}Ki", "pods": str(pods)}
    if gpus:
        amounts[GPU] = str(gpus)

    def report(node: Obj) -> None:
        status = node.setdefault("status", {})
        status |= {"capacity": amounts, "allocatable": amounts}
        status["addresses"] = [{"type": "InternalIP", "address": ADDRESS}, {"type": "Hostname", "address": NODE}]
        status["daemonEndpoints"] = {"kubeletEndpoint": {"Port": 0}}
        status["nodeInfo"] = {
            "machineID": "", "systemUUID": "", "bootID": "", "kernelVersion": platform.release(),
            "osImage": platform.system(), "containerRuntimeVersion": "process://1", "kubeProxyVersion": "",
            "kubeletVersion": VERSION["gitVersion"], "operatingSystem": "linux",
            "architecture": LABELS["kubernetes.io/arch"],
        }  # fmt: skip
        moment = now()
        status["conditions"] = [
            {
                "type": kind,
                "status": value,
                "lastHeartbeatTime": moment,
                "lastTransitionTime": moment,
                "reason": reason,
                "message": message,
            }
            for kind, value, reason, message in _CONDITIONS
        ]

    return report
