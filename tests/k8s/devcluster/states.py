"""The states of a Job or a Pod that a watch shows, and whether two sequences of them agree."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

State = dict[str, Any]
Obj = dict[str, Any]


NEVER = "1970-01-01T00:00:00Z"
STARTING = ("ContainerCreating", "PodInitializing")
PULL = re.compile(r'(failed to pull and unpack image "[^"]+": ).*', re.DOTALL)  # Why differs between registries.
_ENDED = ("Succeeded", "Failed")
_MINUTE = re.compile(r"-[0-9]{8}$")


def without_minute(name: str) -> str:
    """The name of a Job without the minute that a CronJob appends."""
    return _MINUTE.sub("-<minute>", name)


def job_state(job: Obj, *, gone: bool = False) -> State:
    status = job.get("status") or {}
    return {
        "conditions": conditions(status),
        "active": status.get("active", 0),
        "ready": status.get("ready", 0),
        "succeeded": status.get("succeeded", 0),
        "failed": status.get("failed", 0),
        "started": "startTime" in status,
        "deleting": "deletionTimestamp" in job["metadata"],
        "finalizers": tuple(job["metadata"].get("finalizers") or ()),
        "gone": gone,
    }


def pod_state(pod: Obj, *, gone: bool = False, in_full: bool = True) -> State:
    """`in_full`: with what only a real kubelet writes."""
    status = pod.get("status") or {}
    kinds = ("initContainerStatuses", "containerStatuses") if in_full else ("containerStatuses",)
    return {
        "phase": status.get("phase"),
        "containers": tuple(_container(found, in_full=in_full) for kind in kinds for found in status.get(kind) or ()),
        "conditions": frozenset(_pod_conditions(status)) if in_full else (),
        "reason": status.get("reason"),
        "deleting": "deletionTimestamp" in pod["metadata"],
        "gone": gone,
    }


def _pod_conditions(status: Obj) -> Iterator[tuple[Any, ...]]:
    for found in status.get("conditions") or ():
        yield tuple(found.get(name) for name in ("type", "status", "reason", "message"))


def conditions(status: Obj) -> tuple[tuple[str, str, str], ...]:
    return tuple((found["type"], found["status"], found.get("reason", "")) for found in status.get("conditions") or ())


def _container(status: Obj, *, in_full: bool) -> "Container":
    ((name, state),) = (status.get("state") or {"waiting": {}}).items()
    last = (status.get("lastState") or {}).get("terminated") or {}
    reason, message = state.get("reason"), state.get("message", "")
    if not in_full:  # The small program that played the node told nothing of the first failure to pull.
        reason, message = {"ErrImagePull": "ImagePullBackOff"}.get(reason, reason), ""
    return Container(
        state=name,
        reason=reason,
        code=_code(state),
        ready=bool(status.get("ready")),
        restarts=status.get("restartCount"),
        message=PULL.sub(r"\1<cause>", message),
        times=_times(state) if in_full else "",
        last=(last.get("reason"), _code(last), last.get("message")) if in_full else (),
    )


def _code(state: Obj) -> Any:
    """The first process of a real container ignores SIGTERM, unless it handles it. A local process does not."""
    return "killed" if state.get("exitCode") in (137, 143) else state.get("exitCode")


def _times(state: Obj) -> str:
    """Which times there are, and whether they are in order."""
    started, finished = state.get("startedAt"), state.get("finishedAt")
    begun = "never" if started == NEVER else "once" if started else ""
    return f"{begun} {'ended' if finished and finished >= (started or '') else ''}"


@dataclass(frozen=True, slots=True)
class Container:
    state: str
    reason: str | None
    code: Any
    ready: bool
    restarts: int | None
    message: str
    times: str
    last: tuple[Any, ...]

    def may_pass(self, first: "Container | None", last: "Container | None") -> bool:
        """Whether a kubelet may tell this between these two states, or leave it out, because it is so short."""
        if self in (first, last):
            return True
        if last is not None and self.reason in STARTING and not self.restarts:
            return first is None
        between = [found.restarts for found in (first, last) if found is not None]
        if self.restarts not in between:
            return False
        return self.state == "running" or self.reason == "CrashLoopBackOff"


class Story:
    """The distinct states of every Job and Pod of a namespace, in the order in which a watch showed them.

    Jobs are identified by name (a CronJob's Jobs by the CronJob's), pods by their Job, completion index and order of
    creation: their names are random.
    """

    def __init__(self, *, in_full: bool = False) -> None:
        """`in_full`: with what only a real kubelet writes."""
        self.names: dict[tuple[Any, ...], str] = {}
        self._in_full = in_full
        self.states: dict[tuple[Any, ...], list[State]] = {}
        self._pods: dict[str, tuple[Any, ...]] = {}

    @classmethod
    def of(cls, events: list[dict[str, Any]], *, in_full: bool = False) -> "Story":
        story = cls(in_full=in_full)
        for event in events:
            story.add(event["kind"], event["type"], event["object"])
        return story

    def add(self, resource: str, kind: str, obj: Obj) -> None:
        if kind == "BOOKMARK":
            return
        gone = kind == "DELETED"
        state = job_state(obj, gone=gone) if resource == "jobs" else pod_state(obj, gone=gone, in_full=self._in_full)
        subject = self._subject(resource, obj)
        self.names[subject] = obj["metadata"]["name"]
        seen = self.states.setdefault(subject, [])
        if not seen or seen[-1] != state:
            seen.append(state)

    def _subject(self, resource: str, obj: Obj) -> tuple[Any, ...]:
        metadata = obj["metadata"]
        if resource == "jobs":
            return ("job", without_minute(metadata["name"]))
        if metadata["uid"] not in self._pods:
            job = without_minute(metadata["ownerReferences"][0]["name"])
            index = (metadata.get("annotations") or {}).get("batch.kubernetes.io/job-completion-index")
            count = sum(1 for subject in self._pods.values() if subject[1:3] == (job, index))
            self._pods[metadata["uid"]] = ("pod", job, index, count)
        return self._pods[metadata["uid"]]

    def missing(self, real: "Story") -> list[str]:
        """What of the `real` story this story does not have yet, or has differently."""
        return [
            f"{subject}: real {_shown(states)}\n  ours {_shown(self.states.get(subject, []))}"
            for subject, states in real.states.items()
            if not agrees(states, self.states.get(subject, []))
        ]


def agrees(real: list[State], ours: list[State]) -> bool:
    """Whether `ours` (or a beginning of it) is the sequence `real`, up to updates that arrive as one.

    Both begin with the same state, and the last of `real` is reached. Between two states that both show, either side
    may show more, if these could be part of a single update: every number lies between those of the two shared states,
    every other field is as in either of them.
    """
    reached = {(0, 0)} if real and ours and real[0] == ours[0] else set()
    for i, theirs in enumerate(real):
        for j, our in enumerate(ours):
            if theirs == our and any(_bridged(real[a : i + 1], ours[b : j + 1]) for a, b in reached if a < i and b < j):
                reached.add((i, j))
    return any(i == len(real) - 1 for i, _ in reached)


def _bridged(real: list[State], ours: list[State]) -> bool:
    """Both share the ends; what only one side shows between them must be a mixture of the ends."""
    first, last = real[0], real[-1]
    return all(_between(state, first, last) for state in [*real[1:-1], *ours[1:-1]])


def _between(state: State, first: State, last: State) -> bool:
    return all(_value_between(name, value, first, last) for name, value in state.items())


def _value_between(name: str, value: Any, first: State, last: State) -> bool:
    ends = (first[name], last[name])
    if value in ends:
        return True
    if name == "containers":
        return _containers_between(value, *ends)
    if name == "phase":
        return ends[0] == "Pending" and value == "Running" and ends[1] in _ENDED
    if isinstance(value, int) and not isinstance(value, bool):
        return bool(min(ends) <= value <= max(ends))
    return name == "conditions" and "phase" in first  # Those of a pod follow from the rest.


def _containers_between(
    value: tuple[Container, ...], first: tuple[Container, ...], last: tuple[Container, ...]
) -> bool:
    if not value:
        return not first
    rows = zip_longest(value, first, last)
    return all(container is not None and container.may_pass(before, after) for container, before, after in rows)


def _shown(states: list[State]) -> str:
    return "".join(f"\n    { ({name: value for name, value in state.items() if value}) }" for state in states)
