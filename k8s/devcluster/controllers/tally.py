"""Adds up the pods of a Job, and says which there should be. Pure: changes no objects."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from k8s.devcluster.conditions import condition, holds
from k8s.devcluster.resources import Obj
from k8s.devcluster.times import parse_time

TRACKING = "batch.kubernetes.io/job-tracking"
MOST_DIGITS = 10
INDEX = "batch.kubernetes.io/job-completion-index"


@dataclass(slots=True, kw_only=True)
class Tally:
    """`active`: pods that run or will. `succeeded`, `failed`: ended pods that are in no counter of the Job yet."""

    active: list[Obj] = field(default_factory=list)
    succeeded: list[Obj] = field(default_factory=list)
    failed: list[Obj] = field(default_factory=list)
    leaving: list[Obj] = field(default_factory=list)  # Pods that are being deleted and have not ended.
    terminating: int = 0
    ready: int = 0
    indexes: set[int] = field(default_factory=set)  # That have succeeded, in an Indexed Job.
    failed_indexes: set[int] = field(default_factory=set)  # That may not be tried again.
    restarts: int = 0


def tally(job: Obj, pods: Iterable[Obj]) -> Tally:
    found = Tally()
    status = job.get("status") or {}
    counted = {uid for uids in (status.get("uncountedTerminatedPods") or {}).values() for uid in uids}
    completions = job["spec"].get("completions")
    if is_indexed(job):
        found.indexes = parse_indexes(status.get("completedIndexes", ""), below=completions)
    for pod in pods:
        fresh = is_tracked(pod) and pod["metadata"]["uid"] not in counted
        if is_terminal(pod):
            pass
        elif "deletionTimestamp" in pod["metadata"]:
            found.leaving.append(pod)
            found.terminating += 1
        else:
            found.active.append(pod)
            found.ready += holds(pod, "Ready")
            found.restarts += _restarts(pod)
        if phase(pod) == "Succeeded":
            if fresh:
                found.succeeded.append(pod)
                _add_index(found.indexes, pod, completions, indexed=is_indexed(job))
        elif fresh and counts_as_failed(job, pod):
            found.failed.append(pod)
    return found


def phase(pod: Obj) -> str:
    return str((pod.get("status") or {}).get("phase", ""))


def is_terminal(pod: Obj) -> bool:
    return phase(pod) in ("Succeeded", "Failed")


def is_tracked(pod: Obj) -> bool:
    finalizers: list[str] = pod["metadata"].get("finalizers") or []
    return TRACKING in finalizers


def is_indexed(job: Obj) -> bool:
    return bool(job["spec"].get("completionMode") == "Indexed")


def counts_as_failed(job: Obj, pod: Obj) -> bool:
    """A pod that is being deleted counts as failed, unless the Job replaces pods only after they have ended."""
    if phase(pod) == "Failed":
        return True
    return not waits_for_failed(job) and phase(pod) != "Succeeded" and "deletionTimestamp" in pod["metadata"]


def waits_for_failed(job: Obj) -> bool:
    return bool(job["spec"].get("podReplacementPolicy") == "Failed")


def completion_index(pod: Obj) -> int | None:
    return natural((pod["metadata"].get("annotations") or {}).get(INDEX, ""))


def natural(text: str) -> int | None:
    """The number that an annotation says. None: it says none, since anybody may write annotations."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS else None


def _add_index(indexes: set[int], pod: Obj, completions: int | None, *, indexed: bool) -> None:
    index = completion_index(pod)
    if indexed and index is not None and completions is not None and index < completions:
        indexes.add(index)


def _restarts(pod: Obj) -> int:
    status = pod.get("status") or {}
    return sum(
        container.get("restartCount") or 0
        for place in ("initContainerStatuses", "containerStatuses")
        for container in status.get(place) or []
    )


def wanted_pods(spec: Obj, *, active: int, succeeded: int) -> int:
    """How many pods should be active now."""
    parallelism, completions = int(spec["parallelism"]), spec.get("completions")
    if completions is None:
        # A work queue: once a worker has found it empty, no more workers are started.
        return min(active, parallelism) if succeeded else parallelism
    return max(0, min(int(completions) - succeeded, parallelism))


def excess_pods(job: Obj, active: list[Obj], *, wanted: int) -> list[Obj]:
    """Active pods to delete: first superfluous indexes, then pods that are not ready, then the youngest."""
    useless = _useless(job, active)
    kept = [pod for pod in active if pod not in useless]
    kept.sort(key=lambda pod: (holds(pod, "Ready"), -parse_time(pod["metadata"]["creationTimestamp"])))
    return useless + kept[: max(0, len(kept) - wanted)]


def _useless(job: Obj, active: list[Obj]) -> list[Obj]:
    """Active pods of an Indexed Job whose index is out of range, or belongs to another pod."""
    if not is_indexed(job):
        return []
    seen: set[int] = set()
    useless = []
    for pod in active:
        index = completion_index(pod)
        if index is None or index in seen or index >= job["spec"]["completions"]:
            useless.append(pod)
        else:
            seen.add(index)
    return useless


def free_indexes(job: Obj, found: Tally, *, count: int, held: Iterable[Obj] = ()) -> list[int]:
    """The lowest `count` indexes that have not ended, and have no pod that is active or in `held`."""
    taken = {completion_index(pod) for pod in (*found.active, *held)} | found.indexes | found.failed_indexes
    free: list[int] = []
    for index in range(int(job["spec"]["completions"])):
        if len(free) == count:
            break
        if index not in taken:
            free.append(index)
    return free


def parse_indexes(text: str, *, below: int | None) -> set[int]:
    """`1,3-5` to {1, 3, 4, 5}."""
    indexes: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        indexes.update(range(int(first), int(last or first) + 1))
    return {index for index in indexes if below is None or index < below}


def format_indexes(indexes: Iterable[int]) -> str:
    """{1, 3, 4, 5} to `1,3-5`. Two in a row become `1,2`, not a range."""
    runs: list[list[int]] = []
    for index in sorted(indexes):
        if runs and runs[-1][-1] == index - 1:
            runs[-1].append(index)
        else:
            runs.append([index])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 2 else ",".join(map(str, run)) for run in runs)


def failure_time(pod: Obj) -> float:
    """When the pod ended, in seconds since 1970, as far as its status tells: anybody may have written that."""
    metadata = pod["metadata"]
    ended = _last_end(pod)
    ready = condition(pod, "Ready")
    if ended is None and ready is not None and ready.get("status") == "False":
        ended = _seconds(ready.get("lastTransitionTime"))
    if ended is not None:
        return ended
    if "deletionTimestamp" in metadata:
        grace: int = metadata.get("deletionGracePeriodSeconds", 0)
        return parse_time(metadata["deletionTimestamp"]) - grace
    return parse_time(metadata["creationTimestamp"])


def _last_end(pod: Obj) -> float | None:
    """When the last of its containers ended. None: not all have, or one has never run."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    ends = [_seconds(((status.get("state") or {}).get("terminated") or {}).get("finishedAt")) for status in statuses]
    known = [end for end in ends if end is not None]
    return max(known, default=None) if len(known) == len(ends) else None


def _seconds(text: str | None) -> float | None:
    return None if text is None else parse_time(text)
