"""The phase and the conditions that follow from the states of a pod's containers, by a real kubelet's rules. Pure."""

from collections.abc import Sequence

from k8s.devcluster.kubelet.containerstatus import ContainerStatus
from k8s.devcluster.resources import Obj

Statuses = Sequence[ContainerStatus]


def phase_while_alive(policy: str, inits: Statuses, containers: Statuses, *, before: str) -> str:
    """The phase of a pod that has not ended. `policy`: its restartPolicy. `before`: its last phase."""
    if not is_initialized(inits, containers) or any(status.has_never_run for status in containers):
        return "Pending"
    if any(status.is_running for status in containers):
        return "Running"
    restarts = policy == "Always" or (policy == "OnFailure" and any(status.last_code for status in containers))
    return "Running" if restarts else before


def phase_at_the_end(inits: Statuses, containers: Statuses) -> str:
    """How a sidecar ended says nothing about the pod."""
    codes = [status.exit_code for status in (*inits, *containers) if not status.sidecar]
    return "Succeeded" if all(code == 0 for code in codes) else "Failed"


def is_initialized(inits: Statuses, containers: Statuses) -> bool:
    """Whether the containers had their turn."""
    return all(status.is_done for status in inits) or any(not status.has_never_run for status in containers)


def conditions(phase: str, inits: Statuses, containers: Statuses, *, prepared: bool) -> list[Obj]:
    """`prepared`: its volumes are there, and it has not ended."""
    initialized = _initialized(phase, inits, containers)
    ready = _ready(phase, [*(status for status in inits if status.sidecar), *containers])
    return [
        {"type": "PodReadyToStartContainers", "status": str(prepared)},
        {"type": "Initialized"} | initialized,
        {"type": "Ready"} | ready,
        {"type": "ContainersReady"} | ready,
        {"type": "PodScheduled", "status": "True"},
    ]


def _initialized(phase: str, inits: Statuses, containers: Statuses) -> Obj:
    if phase == "Succeeded":
        return {"status": "True", "reason": "PodCompleted"}
    if is_initialized(inits, containers):
        return {"status": "True"}
    names = " ".join(status.name for status in inits if not status.is_done)
    message = f"containers with incomplete status: [{names}]"
    return {"status": "False", "reason": "ContainersNotInitialized", "message": message}


def _ready(phase: str, statuses: Statuses) -> Obj:
    if phase == "Succeeded":
        return {"status": "False", "reason": "PodCompleted"}
    if phase == "Failed":
        return {"status": "False", "reason": "PodFailed"}
    names = " ".join(status.name for status in statuses if not status.is_running)
    if not names:
        return {"status": "True"}
    return {"status": "False", "reason": "ContainersNotReady", "message": f"containers with unready status: [{names}]"}
