"""What a Job's policies mean for its pods: pod failure policy, limits per index, success policy, backoff."""

from collections.abc import Iterable
from dataclasses import dataclass

from k8s.devcluster.controllers.tally import (
    Tally,
    completion_index,
    counts_as_failed,
    failure_time,
    natural,
    parse_indexes,
)
from k8s.devcluster.resources import Obj

FAILURES = "batch.kubernetes.io/job-index-failure-count"
IGNORED_FAILURES = "batch.kubernetes.io/job-index-ignored-failure-count"

Conclusion = tuple[str, str, str]
"""(type, reason, message) of the condition that says how the Job will end."""


@dataclass(frozen=True, slots=True)
class Match:
    """A failed pod matches a rule of the pod failure policy. `message`: Kubernetes' own words."""

    action: str
    message: str


def match(job: Obj, pod: Obj) -> Match | None:
    """The first rule of the pod failure policy that this failed pod matches."""
    for number, rule in enumerate((job["spec"].get("podFailurePolicy") or {}).get("rules") or []):
        if rule.get("onExitCodes") is not None:
            why = _exit_code(pod, rule["onExitCodes"])
        else:
            why = _pod_condition(pod, rule.get("onPodConditions") or [])
        if why:
            return Match(rule["action"], f"{why} matching {rule['action']} rule at index {number}")
    return None


def counts(job: Obj, pod: Obj) -> bool:
    """Whether this failure counts towards the Job's limits: no rule ignores it."""
    found = match(job, pod)
    return found is None or found.action != "Ignore"


def failed_by_pod(job: Obj, pods: Iterable[Obj]) -> Conclusion | None:
    """The conclusion if a pod has failed in a way that fails the whole Job."""
    for pod in pods:
        found = match(job, pod) if counts_as_failed(job, pod) else None
        if found is not None and found.action == "FailJob":
            return ("FailureTarget", "PodFailurePolicy", found.message)
    return None


def failed_by_indexes(job: Obj, found: Tally) -> Conclusion | None:
    """The conclusion if too many indexes have failed, or some have and nothing is left to do."""
    spec, failed = job["spec"], len(found.failed_indexes)
    limit = spec.get("maxFailedIndexes")
    if limit is not None and failed > limit:
        why = "Job has exceeded the specified maximal number of failed indexes"
        return ("FailureTarget", "MaxFailedIndexesExceeded", why)
    if failed and failed + len(found.indexes) >= spec["completions"]:
        return ("FailureTarget", "FailedIndexes", "Job has failed indexes")
    return None


def succeeded_by_policy(job: Obj, found: Tally) -> Conclusion | None:
    spec = job["spec"]
    for number, rule in enumerate((spec.get("successPolicy") or {}).get("rules") or []):
        count, wanted = rule.get("succeededCount"), rule.get("succeededIndexes")
        done = found.indexes
        if wanted is not None:
            asked = parse_indexes(wanted, below=spec["completions"])
            done = done & asked
            count = len(asked) if count is None else count
        if done and count is not None and len(done) >= count:
            return ("SuccessCriteriaMet", "SuccessPolicy", f"Matched rules at index {number}")
    return None


def limits_each_index(job: Obj) -> bool:
    return job["spec"].get("backoffLimitPerIndex") is not None


def failed_indexes(job: Obj, failed: Iterable[Obj]) -> set[int]:
    """The indexes that have failed for good: those noted, and those whose pod in `failed` was the last allowed."""
    known: str = (job.get("status") or {}).get("failedIndexes") or ""
    completions = job["spec"]["completions"]
    found = parse_indexes(known, below=completions)
    for pod in failed:
        index = completion_index(pod)
        if index is not None and index < completions and _exhausts_its_index(job, pod):
            found.add(index)
    return found


def kept_for_their_count(job: Obj, found: Tally) -> dict[int, Obj]:
    """Failed pods, by index, that no pod has replaced yet. Each holds the number of failures of its index."""
    settled = found.indexes | found.failed_indexes | {completion_index(pod) for pod in found.active}
    kept: dict[int, Obj] = {}
    for pod in found.failed:
        index = completion_index(pod)
        if index is None or index in settled or index >= job["spec"]["completions"]:
            continue
        if index not in kept or sum(_failures(kept[index])) <= sum(_failures(pod)):
            kept[index] = pod
    return kept


def failure_counts(job: Obj, replaced: Obj | None) -> dict[str, str]:
    """Annotations of a pod that replaces the failed pod of its index; None: it is the first pod."""
    counted, ignored = (0, 0) if replaced is None else _failures(replaced)
    if replaced is not None and counts(job, replaced):
        counted += 1
    elif replaced is not None:
        ignored += 1
    return {FAILURES: str(counted)} | ({IGNORED_FAILURES: str(ignored)} if ignored else {})


def rest(replaced: Obj, *, first: float, now: float) -> float:
    """Seconds until the index of this failed pod may have another pod. `first`: after its first failure."""
    return failure_time(replaced) + wait_after(sum(_failures(replaced)) + 1, first=first) - now


def _exhausts_its_index(job: Obj, pod: Obj) -> bool:
    found = match(job, pod)
    if found is not None and found.action == "FailIndex":
        return True
    counted: int = _failures(pod)[0]
    return (found is None or found.action != "Ignore") and counted >= job["spec"]["backoffLimitPerIndex"]


def _failures(pod: Obj) -> tuple[int, int]:
    """(counted, ignored) failures of this pod's index before this pod."""
    annotations = pod["metadata"].get("annotations") or {}
    counted, ignored = (natural(annotations.get(name, "")) or 0 for name in (FAILURES, IGNORED_FAILURES))
    return counted, ignored


def _exit_code(pod: Obj, wanted: Obj) -> str:
    """What matched, or nothing. Only failures can match, so `NotIn` never matches 0."""
    status = pod.get("status") or {}
    for container in (*(status.get("containerStatuses") or []), *(status.get("initContainerStatuses") or [])):
        code = ((container.get("state") or {}).get("terminated") or {}).get("exitCode")
        if not code or wanted.get("containerName") not in (None, container.get("name")):
            continue
        if (code in wanted["values"]) is (wanted["operator"] == "In"):
            name = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
            return f"Container {container.get('name')} for pod {name} failed with exit code {code}"
    return ""


def _pod_condition(pod: Obj, patterns: list[Obj]) -> str:
    for condition in (pod.get("status") or {}).get("conditions") or []:
        for pattern in patterns:
            if (condition.get("type"), condition.get("status")) == (pattern["type"], pattern.get("status", "True")):
                name = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
                return f"Pod {name} has condition {pattern['type']}"
    return ""


LONGEST = 600.0


def wait_after(failures: int, *, first: float) -> float:
    """Seconds to wait after `failures` failures in a row; `first`: after a single failure."""
    return min(first * 2.0 ** min(failures - 1, 16), LONGEST) if failures else 0.0


class Backoff:
    """For each Job, how many failures there were in a row, and when the last was. Like Kubernetes', not stored."""

    def __init__(self, *, first: float) -> None:
        self.first = first
        self._failures: dict[str, tuple[int, float]] = {}

    def note(self, uid: str, found: Tally) -> None:
        """Count pods that have ended since the last call."""
        ended = [(failure_time(pod), False) for pod in found.failed]
        ended += [(failure_time(pod), True) for pod in found.succeeded]
        for moment, success in sorted(ended):
            count, last = self._failures.get(uid, (0, 0.0))
            self._failures[uid] = (0, 0.0) if success else (count + 1, max(last, moment))

    def remaining(self, uid: str, now: float) -> float:
        """Seconds until the next pod may be created."""
        count, last = self._failures.get(uid, (0, 0.0))
        return last + wait_after(count, first=self.first) - now if count else 0.0

    def forget(self, uid: str) -> None:
        self._failures.pop(uid, None)
