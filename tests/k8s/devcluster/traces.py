"""The recorded answers of a real Kubernetes (tests/data/kubernetes-traces), and where our answers may differ."""

import json
from dataclasses import dataclass
from typing import Any

from tests.paths import TRACES

# Answers whose body is not compared (their status is), by scenario and step.
ANSWERS_NOT_COMPARED = {
    ("lease", 1): "the recorder changed the holder in this answer before writing it down",
    ("patch-and-update", 9): "the recorder added the label of the next step before writing this answer down",
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
            # The answer to a DELETE may have no version: what may be an effect of the DELETE was not there before.
            gone = event["type"] == "DELETED" or "deletionTimestamp" in event["object"]["metadata"]
            return not (gone and event["at"] > step["at"] - SLOWEST_ANSWER)

        return [event for event in self.watch if event["at"] < step["at"] and before(event)]


def load() -> list[Trace]:
    """Every recorded trace."""
    found = [json.loads(path.read_text()) for path in sorted(TRACES.glob("*.json"))]
    return [Trace(trace["scenario"], trace["steps"], trace["watch"]) for trace in found]
