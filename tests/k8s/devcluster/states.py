"""The states of a Job or a Pod that a watch shows, and whether two sequences of them agree."""

import re
from typing import Any

State = dict[str, Any]
Obj = dict[str, Any]


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


def pod_state(pod: Obj, *, gone: bool = False) -> State:
    status = pod.get("status") or {}
    return {
        "phase": status.get("phase"),
        "containers": tuple(_container(found) for found in status.get("containerStatuses") or ()),
        "deleting": "deletionTimestamp" in pod["metadata"],
        "gone": gone,
    }


def conditions(status: Obj) -> tuple[tuple[str, str, str], ...]:
    return tuple((found["type"], found["status"], found.get("reason", "")) for found in status.get("conditions") or ())


def _container(status: Obj) -> tuple[Any, ...]:
    """The recorded kubelet killed at once, ours sends SIGTERM first, as a node's does: both count as killed."""
    ((name, state),) = (status.get("state") or {"waiting": {}}).items()
    code = "killed" if state.get("exitCode") in (137, 143) else state.get("exitCode")
    return (name, state.get("reason"), code, bool(status.get("ready")), status.get("restartCount"))


class Story:
    """The distinct states of every Job and Pod of a namespace, in the order in which a watch showed them.

    Jobs are identified by name (a CronJob's Jobs by the CronJob's), pods by their Job, completion index and order of
    creation: their names are random.
    """

    def __init__(self) -> None:
        self.states: dict[tuple[Any, ...], list[State]] = {}
        self._pods: dict[str, tuple[Any, ...]] = {}

    @classmethod
    def of(cls, events: list[dict[str, Any]]) -> "Story":
        story = cls()
        for event in events:
            story.add(event["kind"], event["type"], event["object"])
        return story

    def add(self, resource: str, kind: str, obj: Obj) -> None:
        if kind == "BOOKMARK":
            return
        state_of = job_state if resource == "jobs" else pod_state
        state = state_of(obj, gone=kind == "DELETED")
        seen = self.states.setdefault(self._subject(resource, obj), [])
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
    if _is_passing(state, first, last):
        return True
    for name, value in state.items():
        ends = (first[name], last[name])
        if isinstance(value, int) and not isinstance(value, bool):
            if not min(ends) <= value <= max(ends):
                return False
        elif value not in ends:
            return False
    return True


def _is_passing(state: State, first: State, last: State) -> bool:
    """A container that ends as soon as it runs: a kubelet may report its start and its end at once."""
    return (
        state.get("phase") == "Running"
        and first["phase"] == "Pending"
        and last["phase"] in ("Succeeded", "Failed")
        and state["deleting"] in (first["deleting"], last["deleting"])
    )


def _shown(states: list[State]) -> str:
    return "".join(f"\n    { ({name: value for name, value in state.items() if value}) }" for state in states)
