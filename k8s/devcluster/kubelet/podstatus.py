"""Makes the status of a pod from what is known of its containers. Pure."""

from collections.abc import Sequence

from k8s.devcluster.conditions import set_condition
from k8s.devcluster.kubelet import podphase
from k8s.devcluster.kubelet.containerstatus import ContainerStatus
from k8s.devcluster.kubelet.downward import ADDRESS
from k8s.devcluster.resources import Obj
from k8s.devcluster.times import now

MESSAGES_BYTES = 12 * 1024  # Of all containers of a pod together, in Kubernetes.


def report(
    pod: Obj,
    *,
    inits: Sequence[ContainerStatus],
    containers: Sequence[ContainerStatus],
    prepared: bool,
    over: bool,
    verdict: tuple[str, str] | None = None,
) -> None:
    """Write the status into `pod["status"]`. `prepared`: its volumes are there. `over`: nothing more will run.

    `verdict`: reason and message, if the kubelet itself has ended the pod. It has failed then.
    """
    status, policy = pod.setdefault("status", {}), pod["spec"]["restartPolicy"]
    if over:
        phase = "Failed" if verdict else podphase.phase_at_the_end(inits, containers)
    else:
        before = status.get("phase") or "Pending"
        phase = podphase.phase_while_alive(policy, inits, containers, before=before)
    moment = now()
    status["phase"] = phase
    if over and verdict:
        status["reason"], status["message"] = verdict
    if pod["metadata"].get("generation"):
        status["observedGeneration"] = pod["metadata"]["generation"]
    status.setdefault("startTime", moment)
    status |= {"hostIP": ADDRESS, "hostIPs": [{"ip": ADDRESS}]}
    if prepared:
        status |= {"podIP": ADDRESS, "podIPs": [{"ip": ADDRESS}]}
    limit = MESSAGES_BYTES // (len(inits) + len(containers))
    if inits:
        status["initContainerStatuses"] = [container.to_api(limit=limit) for container in inits]
    status["containerStatuses"] = [container.to_api(limit=limit) for container in containers]
    for new in podphase.conditions(phase, inits, containers, prepared=prepared and not over):
        set_condition(pod, new, at=moment)


def report_unschedulable(pod: Obj, why: str) -> None:
    new = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": why}
    set_condition(pod, new, at=now())
