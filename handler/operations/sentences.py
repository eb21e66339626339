"""What the events of each phase say, as a line of text for people."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from events.names import BY_KUEUE, Reason
from events.phases import Phase
from handler.operations.wording import amount

Detail = Mapping[str, Any]
"""`data.detail` of a lifecycle event. Any field may be missing: a later version may have written it."""
REASONS: Mapping[str, str] = {
    Reason.LIMIT: "too many run",
    Reason.PRIORITY: "others go first",
    Reason.EXCLUSIVE: "something runs that it must not run beside",
    Reason.DEPENDENCIES: "requests that it depends on have not ended",
    Reason.RUN_AT: "its time has not come",
    Reason.RETRY_DELAY: "the time of its next attempt has not come",
    BY_KUEUE: "Kueue has not admitted it",
}
"""Text for people, by the `reason` of a `queued` event."""
_RESULT_LENGTH = 200
ENDING = "ending"
"""Shown of a Job whose end is certain while its pods use up their grace period. No event has this phase."""


def sentence(phase: str, detail: Detail) -> str:
    """What a phase's detail says, as a line of text."""
    return ", ".join(PARTS.get(phase, _why)(detail))


def error_text(error: object, exit_code: object) -> str:
    """`CODE (exit 3): message`; `CODE (exit 3 in container fetch): message` where the error names its container."""
    if not isinstance(error, dict):
        return ""
    code, where = str(error.get("errorCode", "")), ending_of(error, exit_code)
    if where:
        code = f"{code} ({where})"
    message = str(error.get("message", "")).strip()
    return f"{code}: {message}" if message else code


def ending_of(error: Mapping[str, Any], exit_code: object) -> str:
    """`exit 3 in container fetch`, as far as it is known. `main`, the only one of most, goes without saying."""
    parts = [] if exit_code is None else [f"exit {exit_code}"]
    if error.get("container") not in (None, "", "main"):
        parts.append(f"in container {error['container']}")
    return " ".join(parts)


def _why(detail: Detail) -> Sequence[str]:
    """The error, or else who did it."""
    if detail.get("error"):
        return [error_text(detail["error"], None)]
    return [f"by {detail['by']}"] if detail.get("by") else []


def _created(detail: Detail) -> Sequence[str]:
    return [f"Job {detail.get('namespace')}/{detail.get('jobName')}"]


def _queued(detail: Detail) -> Sequence[str]:
    reason, place = str(detail.get("reason", "")), detail.get("position")
    # Events say the place in the queue. `get` sees only the cluster, which knows what time or requests a Job waits for.
    more = [f"until {detail['until']}"] if detail.get("until") else []
    more += [f"waits for {', '.join(map(str, detail['requests']))}"] if detail.get("requests") else []
    return [REASONS.get(reason, reason), *([f"place {place}"] if place else []), *more]


def _started(detail: Detail) -> Sequence[str]:
    node = f" on {detail['node']}" if detail.get("node") else ""
    return [f"pod {detail.get('podName')}{node}"]


def _progress(detail: Detail) -> Sequence[str]:
    return [*_counts(detail), *_used(detail)]


def _counts(detail: Detail) -> Sequence[str]:
    if "succeeded" not in detail:
        return []
    total = f" of {detail['total']}" if detail.get("total") else ""
    failed = [f"{detail['failed']} failed"] if detail.get("failed") else []
    return [f"{detail['succeeded']}{total} done", *failed]


def _used(detail: Detail) -> Sequence[str]:
    cpu, memory = detail.get("cpu"), detail.get("memory")
    return [amount(cpu, memory)] if isinstance(cpu, int | float) and isinstance(memory, int) else []


def _retrying(detail: Detail) -> Sequence[str]:
    at = detail.get("nextAttemptAt")
    return [error_text(detail.get("error"), None), *([f"next attempt at {at}"] if at else [])]


def _succeeded(detail: Detail) -> Sequence[str]:
    return [*_took(detail), *_results(detail)]


def _failed(detail: Detail) -> Sequence[str]:
    return [*_took(detail), _failure(detail)]


def _took(detail: Detail) -> Sequence[str]:
    seconds = detail.get("duration")
    return [f"{seconds:g} s"] if isinstance(seconds, int | float) else []


def _results(detail: Detail) -> Sequence[str]:
    several = detail.get("results")
    if isinstance(several, list):
        return [f"{len(several)} results"]
    value = detail.get("result")
    if value is None:
        return []
    text = value.strip() if isinstance(value, str) else orjson.dumps(value).decode()
    return [f"result {text if len(text) <= _RESULT_LENGTH else text[:_RESULT_LENGTH] + '...'}"]


def _failure(detail: Detail) -> str:
    """Prefer the end of the log: Kubernetes' own message only counts attempts."""
    error = detail.get("error")
    tail = str(detail.get("logTail") or "").strip().splitlines()
    if isinstance(error, dict) and error.get("errorCode") == "JOB_EXECUTION_FAILED" and tail:
        where = ending_of(error, detail.get("exitCode"))
        return f"{where}: {tail[-1]}" if where else tail[-1]
    return error_text(error, detail.get("exitCode"))


def _recurs(detail: Detail) -> Sequence[str]:
    at, runs = detail.get("nextRun"), detail.get("runs")
    parts = [str(detail.get("schedule"))]
    parts += [f"first run at {at}"] if at else []
    return parts if runs is None else [*parts, f"{runs} runs"]


def _ending(detail: Detail) -> Sequence[str]:
    return [error_text(detail["error"], None)] if detail.get("error") else [str(detail.get("message", ""))]


PARTS: Mapping[str, Callable[[Detail], Sequence[str]]] = {
    Phase.CREATED: _created,
    Phase.QUEUED: _queued,
    Phase.STARTED: _started,
    Phase.PROGRESS: _progress,
    Phase.STALLED: _why,
    Phase.RETRYING: _retrying,
    Phase.SUSPENDED: _why,
    Phase.RESUMED: _why,
    Phase.SUCCEEDED: _succeeded,
    Phase.FAILED: _failed,
    Phase.CANCELLED: _why,
    Phase.REJECTED: _why,
    Phase.SCHEDULED: _recurs,
    Phase.UNSCHEDULED: _recurs,
    ENDING: _ending,
}
"""By phase, what a detail says, in parts of a line: every phase of this version; a later version may have others."""
