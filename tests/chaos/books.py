"""Checks every state of an installation's Jobs, as a watch reports them, against what the requests asked for."""

import statistics
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from events.names import FINALIZER, Annotation
from k8s.base import Manifest
from tests.chaos.turns import Turn

BANDS = 4
"""Into how many bands the priorities 0 to 1000 are divided."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How many Jobs may be active at a time: in total, and on each key."""

    total: int
    per_key: int


class Books:
    """Fed by `note`, in the order in which the API server stored the states. `wanted`: by request id.

    `problems`: what was wrong at some moment. `peak`, `key_peak`: the most Jobs that were active at a time, in total
    and on a single key.
    """

    def __init__(self, wanted: Mapping[str, Turn], limits: Limits) -> None:
        self.problems: list[str] = []
        self.peak = 0
        self.key_peak = 0
        self._wanted = wanted
        self._limits = limits
        self._jobs: dict[str, dict[str, Manifest]] = {}
        self._active: dict[str, str] = {}
        self._came: dict[str, float] = {}
        self._went: dict[str, float] = {}

    def note(self, job: Manifest, *, at: float, gone: bool = False) -> None:
        """Take the new state of a Job. `at`: seconds of any clock."""
        metadata = job["metadata"]
        request_id, uid = str(metadata["annotations"][Annotation.ID]), metadata["uid"]
        attempts = self._jobs.setdefault(request_id, {})
        attempts[uid] = job
        if len(attempts) > self._wanted[request_id].attempts:
            self.problems.append(f"{request_id}: {len(attempts)} Jobs")
        self._came.setdefault(request_id, at)
        if gone or not _is_active(job):
            self._active.pop(uid, None)
            return
        if uid not in self._active:
            self._active[uid] = request_id
            self._went.setdefault(request_id, at)
            self._check_order(request_id, uid)
        self._check_limits(metadata["resourceVersion"])

    def _check_order(self, request_id: str, uid: str) -> None:
        *before, last = self._jobs[request_id]
        if uid != last or any(ended(self._jobs[request_id][attempt]) is None for attempt in before):
            self.problems.append(f"{request_id}: runs though another attempt is not over")
        turn = self._wanted[request_id]
        allowed = ("Complete", "Failed") if turn.run_on_failure else ("Complete",)
        for dependency in turn.dependencies:
            if self._last_end(dependency) not in allowed:
                self.problems.append(f"{request_id}: ran before {dependency} had ended as it must")

    def _last_end(self, request_id: str) -> str | None:
        """How the last attempt of a request has ended, if it has."""
        attempts = list(self._jobs.get(request_id, {}).values())
        return ended(attempts[-1]) if len(attempts) == self._wanted[request_id].attempts else None

    def _check_limits(self, version: str) -> None:
        keys: dict[str, list[Turn]] = defaultdict(list)
        for turn in (self._wanted[name] for name in self._active.values()):
            if turn.key is not None:
                keys[turn.key].append(turn)
        self.peak = max(self.peak, len(self._active))
        self.key_peak = max(self.key_peak, *map(len, keys.values()), 0)
        if len(self._active) > self._limits.total:
            self.problems.append(f"{len(self._active)} active at version {version}")
        for key, turns in keys.items():
            most = min(self._limits.per_key, *(turn.most for turn in turns))
            if len(turns) > most:
                self.problems.append(f"{len(turns)} active on {key} at version {version}, which allows {most}")

    # At the end

    @property
    def seen(self) -> int:
        """How many requests have, or had, a Job."""
        return len(self._jobs)

    def waiting(self) -> list[str]:
        """Requests that have a Job which may not run yet."""
        return [name for name, attempts in self._jobs.items() if any(map(_waits, attempts.values()))]

    def open(self) -> dict[str, str]:
        """Requests that have not ended, or whose Job still has our finalizer, with what is missing."""
        return {name: why for name in self._wanted if (why := self._missing(name))}

    def _missing(self, name: str) -> str:
        attempts = list(self._jobs.get(name, {}).values())
        if len(attempts) < self._wanted[name].attempts:
            return f"has {len(attempts)} Jobs"
        if any(ended(job) is None for job in attempts):
            return "is not over"
        return "is held" if any(FINALIZER in job["metadata"].get("finalizers", ()) for job in attempts) else ""

    def pods(self, name: str) -> int:
        """How many pods of a request have ended, by themselves or not."""
        found = [job.get("status", {}) for job in self._jobs[name].values()]
        return sum(status.get("succeeded", 0) + status.get("failed", 0) for status in found)

    def waits(self) -> list[float]:
        """Median seconds from the first sight of a Job until it could run, by band of priorities, the lowest first.

        Only for Jobs that wait for nothing but room, and only for first attempts.
        """
        bands: list[list[float]] = [[] for _ in range(BANDS)]
        for name, went in self._went.items():
            turn = self._wanted[name]
            if not turn.dependencies and not turn.exclusive:
                bands[min(turn.priority * BANDS // 1000, BANDS - 1)].append(went - self._came[name])
        return [statistics.median(band) if band else 0.0 for band in bands]


def _is_active(job: Manifest) -> bool:
    """Whether the Job may run, or its pods still do. Parallelism 0: a verdict ends the Job, and it gets no pods."""
    spec, status = job["spec"], job.get("status", {})
    may_run = not spec.get("suspend") and spec.get("parallelism", 1) > 0 and ended(job) is None
    return bool(may_run or status.get("active") or status.get("terminating"))


def _waits(job: Manifest) -> bool:
    return bool(job["spec"].get("suspend")) and ended(job) is None


def ended(job: Manifest) -> str | None:
    """`Complete` or `Failed` if the Job has ended, else None."""
    conditions: list[dict[str, Any]] = job.get("status", {}).get("conditions", [])
    true = (condition["type"] for condition in conditions if condition["status"] == "True")
    return next((kind for kind in true if kind in ("Complete", "Failed")), None)
