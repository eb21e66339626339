"""Stories that no recording has, in the shapes in which kubelets and controllers write them."""

from collections.abc import Mapping
from typing import Any

from events.cloudevent.timestamp import format_epoch
from k8s.reading.pod import CONTROLLER_UID
from tests.events.lifecycle.stories import Change, Manifest, Story
from tests.events.samples import NOON

BACKOFF = "Job has reached the specified backoff limit"
KILLED: Manifest = {"exitCode": 137, "reason": "Error", "message": "saving what there is\n"}
"""How a container ends whose pod is ended; its message is the end of its log."""


def at(seconds: float) -> str:
    return format_epoch(NOON + seconds)


def disrupted(reason: str, message: str) -> Manifest:
    """Condition DisruptionTarget, since 9 seconds after noon."""
    return {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": reason,
        "message": message,
        "lastTransitionTime": at(9),
    }


def ended(name: str = "main", **terminated: Any) -> Manifest:
    """The status of a container that ran from 2 to 10 seconds after noon."""
    times = {"startedAt": at(2), "finishedAt": at(10)}
    return {"name": name, "state": {"terminated": {"exitCode": 0, "reason": "Completed", **times, **terminated}}}


def runs(name: str = "main") -> Manifest:
    return {"name": name, "state": {"running": {"startedAt": at(2)}}}


def waits(reason: str, message: str = "", *, name: str = "main") -> Manifest:
    return {"name": name, "state": {"waiting": {"reason": reason, **({"message": message} if message else {})}}}


def pod(name: str = "a", *, created: float = 0, deleted: float | None = None, **status: Any) -> Change:
    """A pod as it is 10 seconds after its creation; `deleted`: it was asked to go then, within 30 s."""
    metadata: Manifest = {
        "name": name,
        "namespace": "default",
        "uid": f"uid-{name}",
        "creationTimestamp": at(created),
        "labels": {CONTROLLER_UID: "uid-1"},
    }
    if deleted is not None:
        metadata |= {"deletionTimestamp": at(deleted + 30), "deletionGracePeriodSeconds": 30}
    log = {"terminationMessagePolicy": "FallbackToLogsOnError"}
    names = [one["name"] for one in status.get("containerStatuses", ())] or ["main"]
    spec = {"nodeName": "node-1", "containers": [{"name": one, **log} for one in names]}
    shown = {"phase": "Failed", **status}
    return Change(at=NOON + created + 10, kind="pods", manifest={"metadata": metadata, "spec": spec, "status": shown})


def job(*, seconds: float = 1, retries: int = 0, conditions: Mapping[str, str] | None = None, **status: Any) -> Change:
    """The Job, started at noon. `conditions`: types that are True, each with its reason."""
    told = [
        {"type": type_, "status": "True", "reason": reason, "message": _MESSAGES.get(reason, ""),
         "lastTransitionTime": at(seconds)}
        for type_, reason in (conditions or {}).items()
    ]  # fmt: skip
    manifest = {
        "metadata": {"name": "j", "namespace": "default", "uid": "uid-1", "creationTimestamp": at(0)},
        "spec": {"backoffLimit": retries, "completions": 1, "parallelism": 1},
        "status": {"startTime": at(0), **status, "conditions": told},
    }
    return Change(at=NOON + seconds, kind="jobs", manifest=manifest)


_MESSAGES = {"BackoffLimitExceeded": BACKOFF}
FAILED = {"FailureTarget": "BackoffLimitExceeded", "Failed": "BackoffLimitExceeded"}
COMPLETE = {"SuccessCriteriaMet": "CompletionsReached", "Complete": "CompletionsReached"}


def fails(end: Change) -> Story:
    """A Job without retries whose only pod ends so."""
    return Story(changes=[job(active=1), end, job(seconds=12, failed=1, conditions=FAILED)])


def replaced(end: Change) -> Story:
    """A Job with retries whose first pod ends so, and whose second pod succeeds."""
    good = pod("b", created=20, phase="Succeeded", containerStatuses=[ended(startedAt=at(22), finishedAt=at(30))])
    return Story(
        changes=[
            job(active=1, retries=2),
            end,
            job(seconds=12, active=1, failed=1, retries=2),
            good,
            job(seconds=31, succeeded=1, failed=1, retries=2, conditions=COMPLETE),
        ]
    )


def stuck(state: Change) -> Story:
    return Story(changes=[job(active=1), state])


def _refused(reason: str, message: str) -> Change:
    return pod(reason=reason, message=message)


SHUTDOWN: Manifest = {"reason": "Terminated", "message": "Pod was terminated in response to imminent node shutdown."}
PRESSURE: Manifest = {"reason": "Evicted", "message": "The node was low on resource: memory."}
KUBELETS = disrupted("TerminationByKubelet", "The node was low on resource: memory.")
UNREACHABLE = disrupted("DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint")
DRAIN = disrupted("EvictionByEvictionAPI", "Eviction API: evicting")
PREEMPTION = disrupted("PreemptionByScheduler", "default-scheduler: preempting to accommodate a higher priority pod")
COLLECTED = disrupted("DeletionByPodGC", "PodGC: node no longer exists")
CPU = "Pod was rejected: Node didn't have enough resource: cpu, requested: 4000, used: 1000, capacity: 4000"
DEVICE = "Allocate failed due to requested number of devices unavailable for nvidia.com/gpu, which is unexpected"

PLAYED: Mapping[str, Story] = {
    "evicted by the kubelet, having logged": fails(
        pod(**PRESSURE, conditions=[KUBELETS], containerStatuses=[ended(**KILLED)])
    ),
    "evicted by the kubelet, replaced": replaced(pod(**PRESSURE, conditions=[KUBELETS])),
    "node shut down": fails(pod(**SHUTDOWN, containerStatuses=[ended(**KILLED)])),
    "node shut down, replaced": replaced(pod(**SHUTDOWN, containerStatuses=[ended(**KILLED)])),
    "drained, replaced": replaced(pod(deleted=9, conditions=[DRAIN], containerStatuses=[ended(**KILLED)])),
    "preempted, replaced": replaced(pod(deleted=9, conditions=[PREEMPTION], containerStatuses=[ended(**KILLED)])),
    "node unreachable, replaced": replaced(
        pod(deleted=9, phase="Failed", conditions=[UNREACHABLE], containerStatuses=[ended(**KILLED)])
    ),
    "node gone": fails(pod(phase="Failed", conditions=[COLLECTED], containerStatuses=[runs()])),
    "pod deleted by somebody": fails(pod(deleted=9, containerStatuses=[ended(**KILLED)])),
    "pod deleted by somebody, replaced": replaced(pod(deleted=9, containerStatuses=[ended(**KILLED)])),
    "refused by the node: too little CPU": fails(_refused("OutOfcpu", CPU)),
    "refused by the node: a device": fails(_refused("UnexpectedAdmissionError", DEVICE)),
    "refused by the node, replaced": replaced(_refused("OutOfcpu", CPU)),
    "killed for its memory": fails(pod(containerStatuses=[ended(exitCode=137, reason="OOMKilled")])),
    "pod ran out of its own time": fails(
        pod(
            reason="DeadlineExceeded",
            message="Pod was active on the node longer than the specified deadline",
            containerStatuses=[ended(**KILLED)],
        )
    ),
    "container lost by its node": fails(
        pod(
            containerStatuses=[
                ended(
                    exitCode=137,
                    reason="ContainerStatusUnknown",
                    message="The container could not be located when the pod was terminated",
                    startedAt=None,
                    finishedAt=None,
                )
            ]
        )
    ),
    "image of another container missing": stuck(
        pod(phase="Pending", containerStatuses=[runs(), waits("ImagePullBackOff", "Back-off pulling", name="proxy")])
    ),
    "no node fits": stuck(
        pod(
            phase="Pending",
            conditions=[
                {
                    "type": "PodScheduled",
                    "status": "False",
                    "reason": "Unschedulable",
                    "message": "0/3 nodes are available: 3 Insufficient cpu.",
                }
            ],
        )
    ),
}
"""By what happened."""
