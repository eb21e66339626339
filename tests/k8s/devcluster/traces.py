"""The recorded answers of a real Kubernetes (tests/data/kubernetes-traces), and where our answers may differ."""

import json
from dataclasses import dataclass
from typing import Any

from tests.paths import TRACES

# Answers whose body is not compared (their status is), by scenario and step.
ANSWERS_NOT_COMPARED = {
    ("lease", 1): "the recorder changed the holder in this answer before writing it down",
    ("patch-and-update", 9): "the recorder added the label of the next step before writing this answer down",
    ("server-side-apply", 0): "the recorder added the label of the next step before writing the request down",
}
# Answers that may be ahead of what was recorded: the status of their objects is not compared.
AHEAD = {
    ("delete-collection", 3): "the recorded controller came to the last Job while the answer was being made",
    ("server-side-apply", 1): "the recorded controller had not yet come to the Job",
}
# A second DELETE of an object that only waits for the collector: if ours was faster, 404 is right.
MAY_BE_GONE = {
    ("patch-and-update", 13): "the recorded cluster's collector took longer than its client",
}
# The user of a step: the requests were recorded without their headers.
USERS = {
    ("auth-errors", 0): "nobody's token",
    ("auth-errors", 1): None,
    ("auth-errors", 3): "weak",
    ("auth-errors", 4): "weak",
}
# What a process on this machine cannot do.
NOT_REPLAYED = {
    "kubelet-out-of-memory": "a process has no memory limit of its own: the command would take what the machine has",
}
# Images of the recorded requests, and what they are called in ours.
STAND_INS = {
    "localhost:1/none:1": "docker.io/missing/none:1",  # No registry is asked, so none can refuse.
}
EVENTS_NOT_WRITTEN = {
    "Scheduled": "the development cluster writes no Events about what goes well",
}
# Scenarios whose pods' states are not compared.
PODS_NOT_COMPARED = {
    "secret-owned-by-job": "the recorded pod was deleted 15 ms after its creation, before its node had started it",
}
SLOWEST_ANSWER = 0.1  # seconds between a recorded DELETE and its answer, at most
WEAK_USER = "system:serviceaccount:t-auth-errors:weak"


@dataclass(frozen=True, slots=True)
class Trace:
    scenario: str
    steps: list[dict[str, Any]]
    watch: list[dict[str, Any]]

    @property
    def namespace(self) -> str:
        return f"t-{self.scenario}"

    @property
    def by_kubelet(self) -> bool:
        """Whether a real kubelet was the node: in the other traces a small program played it."""
        return self.scenario.startswith("kubelet-")

    def seen_before(self, number: int) -> list[dict[str, Any]]:
        """What the watches had shown when this step's request was sent; steps carry the time of their answers."""
        step = self.steps[number]
        earlier = self.steps[number - 1]["at"] if number else 0.0
        body, failed = step["response"]["body"], step["response"]["status"] >= 400
        version = "" if failed or not isinstance(body, dict) else body["metadata"].get("resourceVersion", "")

        def before(event: dict[str, Any]) -> bool:
            if event["at"] < earlier or failed:
                return True
            if version and not body["kind"].endswith("List"):
                return int(event["object"]["metadata"]["resourceVersion"]) < int(version)
            # The answer to a DELETE or an eviction may have no version: what may be its effect was not there before.
            gone = event["type"] == "DELETED" or "deletionTimestamp" in event["object"]["metadata"]
            gone = gone or any(found["type"] == "DisruptionTarget" for found in conditions(event["object"]))
            return not (gone and event["at"] > step["at"] - SLOWEST_ANSWER)

        return [event for event in self.watch if event["at"] < step["at"] and before(event)]


def conditions(obj: dict[str, Any]) -> list[dict[str, Any]]:
    return (obj.get("status") or {}).get("conditions") or []


def load() -> list[Trace]:
    """Every recorded trace that a process can live through."""
    found = [json.loads(_translated(path.read_text())) for path in sorted(TRACES.glob("*.json"))]
    traces = [Trace(trace["scenario"], trace["steps"], _compared(trace)) for trace in found]
    return [trace for trace in traces if trace.scenario not in NOT_REPLAYED]


def _translated(text: str) -> str:
    for theirs, ours in STAND_INS.items():
        text = text.replace(theirs, ours)
    return text


def _compared(trace: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of the watches that have to match."""
    skipped = "pods" if trace["scenario"] in PODS_NOT_COMPARED else ""
    return [event for event in trace["watch"] if event["kind"] != skipped]
