"""Makes the status of a pod from what is known of its containers. Pure."""

from dataclasses import dataclass, field

from k8s.devcluster.conditions import set_condition
from k8s.devcluster.kubelet.containers import Exit
from k8s.devcluster.kubelet.downward import ADDRESS
from k8s.devcluster.resources import Obj
from k8s.devcluster.times import now, rfc3339


@dataclass(slots=True)
class ContainerStatus:
    """What a container of a pod is doing. At first it is waiting."""

    name: str
    image: str
    state: Obj = field(default_factory=lambda: {"waiting": {"reason": "ContainerCreating"}})
    last: Obj = field(default_factory=dict)
    restarts: int = 0
    identifier: str = ""
    started: float = 0.0
    sidecar: bool = False  # An init container that runs as long as the others do.

    def wait(self, reason: str, message: str = "") -> None:
        self.state = {"waiting": {"reason": reason} | ({"message": message} if message else {})}

    def run(self, started: float, identifier: str) -> None:
        self.started, self.identifier = started, identifier
        self.state = {"running": {"startedAt": rfc3339(started)}}

    def end(self, ended: Exit, *, message: str) -> None:
        terminated = {
            "exitCode": ended.code,
            "reason": ended.reason,
            # A container that never ran has no times.
            "startedAt": rfc3339(self.started) if self.started else None,
            "finishedAt": rfc3339(ended.finished) if self.started else None,
            "containerID": self.identifier,
        }
        self.state = {"terminated": terminated | ({"message": message} if message else {})}

    @property
    def is_running(self) -> bool:
        return "running" in self.state

    @property
    def exit_code(self) -> int | None:
        """None while it has not ended."""
        code = self.state.get("terminated", {}).get("exitCode")
        return None if code is None else int(code)

    def to_api(self) -> Obj:
        status: Obj = {
            "name": self.name,
            "state": self.state,
            "lastState": self.last,
            "ready": self.is_running,
            "restartCount": self.restarts,
            "image": self.image,
            "imageID": "",
            "started": self.is_running,
        }
        if self.identifier:
            status["containerID"] = self.identifier
        return status


def report(pod: Obj, *, phase: str, inits: list[ContainerStatus], containers: list[ContainerStatus]) -> None:
    """Write the status into `pod["status"]`."""
    status = pod.setdefault("status", {})
    status["phase"] = phase
    moment = now()
    status.setdefault("startTime", moment)
    status |= {"hostIP": ADDRESS, "hostIPs": [{"ip": ADDRESS}]}
    if inits:
        status["initContainerStatuses"] = [container.to_api() for container in inits]
    status["containerStatuses"] = [container.to_api() for container in containers]
    if phase != "Pending":
        status |= {"podIP": ADDRESS, "podIPs": [{"ip": ADDRESS}]}
        ready = phase == "Running" and all(container.is_running for container in containers)
        initialized = all(container.exit_code == 0 or container.sidecar for container in inits)
        for kind, value in (("Initialized", initialized), ("Ready", ready), ("ContainersReady", ready)):
            set_condition(pod, {"type": kind, "status": str(value)}, at=moment)
    set_condition(pod, {"type": "PodScheduled", "status": "True"}, at=moment)


def report_unschedulable(pod: Obj, why: str) -> None:
    new = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": why}
    set_condition(pod, new, at=now())
