"""Which pods of a Job have failed, and why: the infrastructure, the node, or a container. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from events.jobs.observed import Job
from events.jobs.pods import Container, Pod, Role
from events.lifecycle.results import is_structured, left
from events.problems import brief

FAILED = "JOB_EXECUTION_FAILED"
"""Error code of a container's own failure."""
MAX_LINE = 500
"""Characters of a log's last line that an error's message repeats."""
_REASONS = {
    "Evicted": "EVICTED",
    "Preempting": "PREEMPTED",
    "Terminated": "NODE_SHUTDOWN",
    "NodeShutdown": "NODE_SHUTDOWN",
    "Shutdown": "NODE_SHUTDOWN",
    "NodeLost": "NODE_LOST",
    "DeadlineExceeded": "DEADLINE_EXCEEDED",
}
"""Error codes by the Pod's own reason, as kubelets and controllers write it."""
_DISRUPTIONS = {
    "PreemptionByScheduler": "PREEMPTED",
    "EvictionByEvictionAPI": "EVICTED",
    "TerminationByKubelet": "EVICTED",
    "DeletionByTaintManager": "NODE_LOST",
    "DeletionByPodGC": "NODE_LOST",
}
"""Error codes by the reason of condition DisruptionTarget. A kubelet's own says less than the Pod's reason."""
_ORDER = {Role.INIT: 0, Role.MAIN: 1, Role.OTHER: 2, Role.SIDECAR: 3}
_NOT_RUN = frozenset({"StartError", "ContainerCannotRun"})
"""Reasons of containers whose program could not be run: their message says why."""
_PROGRAM = re.compile(r'exec: "(?P<program>[^"]+)": (?P<reason>.+)', re.DOTALL)
"""How runc names a program that it cannot run."""
_PROGRAM_OF_CRUN = re.compile(r"executable file `(?P<program>[^`]+)` (?P<reason>.+)", re.DOTALL)
_MISSING = ("executable file not found in $PATH", "no such file or directory", "No such file or directory")
_USUAL = frozenset({None, "Error", "Completed"})
"""Reasons of ended containers that say no more than their exit code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a pod failed or is stuck. `container`: the one whose exit code and log tell more, if there is one."""

    code: str
    message: str
    container: Container | None = None

    @property
    def error(self) -> dict[str, str]:
        """`error` of an event's detail."""
        named = {} if self.container is None else {"container": self.container.name}
        return {"errorCode": self.code, "message": brief(self.message), **named}


def failure(pod: Pod, *, log: str | None = None) -> Failure:
    """Why this pod failed. What ended it comes before how its containers took that.

    `log`: the end of the log of its `culprit`, where somebody has read it.
    """
    container = culprit(pod)
    code, message = _infrastructure(pod)
    if code is not None:
        return Failure(code=code, message=message, container=container)
    if container is not None:
        code = "OOM_KILLED" if container.reason == "OOMKilled" else FAILED
        return Failure(code=code, message=_told(container, log), container=container)
    if pod.reason is not None and pod.phase == "Failed":
        # Nothing of it has run: the node has looked at the pod and refused it.
        return Failure(code="ADMISSION", message=_because(pod.reason, pod.message))
    return Failure(code=FAILED, message=pod.message or f"pod {pod.name} failed")


def culprit(pod: Pod) -> Container | None:
    """The container that made the pod fail, or was ended with it: an init container, the main one, or another."""
    failed = [one for one in pod.containers if one.failed]
    return min(failed, key=lambda one: (_ORDER[one.role], one.finished or 0.0), default=None)


def judged(pod: Pod) -> Container | None:
    """The container whose exit code and log speak for the pod; None until a node has taken it."""
    return pod.main if pod.phase == "Succeeded" else culprit(pod) or pod.main


def failed_pods(job: Job, pods: Sequence[Pod]) -> list[Pod]:
    """The pods that count as failed attempts, in order of their ends.

    Those that have failed, and of those that were deleted as many as Kubernetes counts as failed: it counts a pod that
    somebody else deleted (a drain, say), but not one that it deleted itself because the Job is suspended.
    """
    failed = [pod for pod in pods if pod.phase == "Failed" and pod.deleted is None]
    counted = job.failed - len(failed)
    if counted > 0:
        killed = [pod for pod in pods if pod.deleted is not None and pod.over and pod.phase != "Succeeded"]
        failed += sorted(killed, key=lambda pod: (pod.disruption is None, last(pod)))[:counted]
    return sorted(failed, key=last)


def last(pod: Pod) -> tuple[float, str]:
    """Sorts pods by their ends."""
    return pod.ended_at, pod.name


def last_line(text: str) -> str:
    """The last line of a log that says something, cut to `MAX_LINE` characters."""
    lines = text.strip().splitlines()
    return lines[-1].strip()[:MAX_LINE] if lines else ""


def _infrastructure(pod: Pod) -> tuple[str | None, str]:
    """Code and message if something outside the pod's containers ended it."""
    code, disruption = _REASONS.get(pod.reason or ""), pod.disruption
    if code is None and disruption is not None:
        code = _DISRUPTIONS.get(disruption.reason, "EVICTED")
    if code is not None:
        if disruption is not None and not pod.message:
            return code, disruption.message or pod.reason or disruption.reason
        return code, _because(pod.reason or code, pod.message)
    if pod.deleted is not None and pod.phase != "Succeeded" and not any(one.restarts for one in pod.containers):
        # Kubernetes itself deletes a pod whose container has been restarted (`OnFailure`) as often as it may be.
        return "DELETED_POD", f"pod {pod.name} was deleted before it had ended"
    return None, ""


def _because(reason: str, message: str | None) -> str:
    return f"{reason}: {message}" if message else reason


def in_a_line(container: Container) -> str | None:
    """A message of which `failure` tells the same as of this container's, and that is not longer than it has to be."""
    if container.started is None and container.reason in _NOT_RUN:
        return container.message
    line = _line(container, None)
    # Alone, the line might be JSON.
    return f"…\n{line}" if line else None


def _told(container: Container, log: str | None) -> str:
    if container.started is None and container.reason in _NOT_RUN:
        return f"container {container.name} could not be run: {_refusal((container.message or '').strip())}".rstrip()
    line = _line(container, log)
    said = f": {line}" if line else ""
    times = f"{container.restarts} restart{'s' if container.restarts > 1 else ''}"
    again = f" after {times}" if container.restarts else ""
    return f"container {container.name} ended with exit code {container.exit_code}{_aside(container)}{again}{said}"


def _line(container: Container, log: str | None) -> str:
    """The last line of what a container that failed has said of it."""
    if container.started is None:
        return last_line(container.message or "")  # The runtime knows no more than that it has ended, and says so.
    found = left(container, log=log)
    # What a failing container writes in its own words is mostly why it fails. Data are not.
    spoken = found.log or ("" if is_structured(found.result or "") else found.result)
    return last_line(spoken or "")


def _refusal(message: str) -> str:
    """What a runtime says of a program that it could not run, with the program and the reason first."""
    found = _PROGRAM.search(message) or _PROGRAM_OF_CRUN.search(message)
    if found is None:
        return message
    program, reason = found["program"], found["reason"].removesuffix(": unknown")
    plain = "not found" if reason.endswith(_MISSING) else reason
    return f"{program}: {plain}" if plain == reason else f"{program}: {plain} ({found[0]})"


def _aside(container: Container) -> str:
    return "" if container.reason in _USUAL else f" ({container.reason})"
