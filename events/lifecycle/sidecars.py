"""Pods whose main container has ended while another one keeps them running. Pure: time is an argument."""

from collections.abc import Iterator, Sequence

from events.jobs.observed import Job
from events.jobs.pods import Container, Pod, Role
from events.lifecycle.failures import Failure
from events.lifecycle.outcome import is_ending
from events.lifecycle.transitions import Transition, attempt_at
from events.phases import Phase

SIDECAR_RUNNING = "SIDECAR_RUNNING"
PATIENCE = 5.0
"""Seconds that other containers may take to end after the main one before it is told."""


def kept_running(job: Job, pods: Sequence[Pod], *, now: float) -> list[Transition]:
    """The transition `stalled` if a pod has waited for its sidecars for too long at `now` (epoch seconds)."""
    for since, pod, container in _waiting(job, pods):
        if now >= since + PATIENCE:
            main = pod.main.name if pod.main else ""
            message = f"container {main} has ended, and container {container.name} keeps pod {pod.name} running"
            error = Failure(code=SIDECAR_RUNNING, message=message, container=container).error
            detail = {"attempt": attempt_at(job, pods, since), "error": error}
            return [Transition(phase=Phase.STALLED, suffix=SIDECAR_RUNNING, time=since + PATIENCE, detail=detail)]
    return []


def next_look(job: Job, pods: Sequence[Pod], *, now: float) -> float | None:
    """When to look again though nothing changes (epoch seconds)."""
    times = [since + PATIENCE for since, _, _ in _waiting(job, pods)]
    return min((time for time in times if time > now), default=None)


def _waiting(job: Job, pods: Sequence[Pod]) -> Iterator[tuple[float, Pod, Container]]:
    """(since when, pod, the first container that still runs), in order of time."""
    if is_ending(job):
        return
    present = (pod for pod in pods if not pod.over and pod.deleted is None)
    found = ((pod.main.finished, pod) for pod in present if pod.main is not None and pod.main.finished is not None)
    for since, pod in sorted(found, key=lambda one: (one[0], one[1].name)):
        container = next((one for one in pod.containers if one.role is Role.OTHER and one.running), None)
        if container is not None:
            yield since, pod, container
