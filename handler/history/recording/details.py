"""What the detail of each phase's event sets in the row of its request. Pure.

What is of another type than the contract says is left out, or counts as null where the event clears the field.
"""

from collections.abc import Callable, Mapping
from typing import Any

from events.phases import Phase
from handler.history.bounds import (
    AHEAD_SECONDS,
    BYTES,
    COUNT,
    INT32,
    MAX_CORES,
    MAX_ID,
    MAX_MESSAGE,
    MAX_TIME,
    as_json,
    moment,
    number,
    part,
    text,
    whole,
)

Fields = Mapping[str, Any]
_NOTHING_WRONG: Fields = {"reason": None, "error_code": None, "message": None}


def told(phase: Phase, detail: Fields, *, time: float) -> dict[str, Any]:
    """Fields of a `Request`; None clears one. `time`: the event's, epoch seconds."""
    return _READERS[phase](detail, time)


def _created(detail: Fields, time: float) -> dict[str, Any]:
    asked = part(detail, "request")
    found = {
        "function": text(asked.get("function")),
        "image": text(asked.get("image"), MAX_MESSAGE),
        "cpu": number(asked.get("cpu"), MAX_CORES),
        "memory": whole(asked.get("memory"), BYTES),
        "gpus": whole(asked.get("gpus"), COUNT),
        "priority": whole(asked.get("priority"), INT32),
        "replay_of": text(asked.get("replayOf"), MAX_ID),
        "event_time": moment(asked.get("eventTime"), latest=MAX_TIME),
    }
    return {name: value for name, value in found.items() if value is not None}


def _queued(detail: Fields, time: float) -> dict[str, Any]:
    return {"reason": text(detail.get("reason"))}


def _started(detail: Fields, time: float) -> dict[str, Any]:
    return {**_NOTHING_WRONG, "started": time}


def _progress(detail: Fields, time: float) -> dict[str, Any]:
    return _peaks(detail)


def _stalled(detail: Fields, time: float) -> dict[str, Any]:
    error = error_of(detail)
    return {"reason": error["error_code"], "message": error["message"]}


def _retrying(detail: Fields, time: float) -> dict[str, Any]:
    return {"reason": None, **error_of(detail)}


def _suspended(detail: Fields, time: float) -> dict[str, Any]:
    return {"reason": text(detail.get("by"))}


def _cleared(detail: Fields, time: float) -> dict[str, Any]:
    return dict(_NOTHING_WRONG)


def _ended(detail: Fields, time: float) -> dict[str, Any]:
    finished, started = (moment(detail.get(name), latest=time + AHEAD_SECONDS) for name in ("finishedAt", "startedAt"))
    result = as_json(detail.get("result", detail.get("results")))
    return {
        "reason": None,
        **({} if started is None else {"started": started}),
        "finished": time if finished is None else finished,
        "exit_code": whole(detail.get("exitCode"), INT32),
        **error_of(detail),
        "result": result,
        **_peaks(part(detail, "usage")),
    }


def _rejected(detail: Fields, time: float) -> dict[str, Any]:
    return error_of(detail)


def _unscheduled(detail: Fields, time: float) -> dict[str, Any]:
    return {**_NOTHING_WRONG, "finished": time}


def error_of(detail: Fields) -> dict[str, Any]:
    """`error_code` and `message`, or None."""
    error = part(detail, "error")
    return {"error_code": text(error.get("errorCode")), "message": text(error.get("message"), MAX_MESSAGE)}


def _peaks(detail: Fields) -> dict[str, Any]:
    peaks = part(detail, "peaks")
    found = {"peak_cpu": number(peaks.get("cpu"), MAX_CORES), "peak_memory": whole(peaks.get("memory"), BYTES)}
    return {name: value for name, value in found.items() if value is not None}


_READERS: Mapping[Phase, Callable[[Fields, float], dict[str, Any]]] = {
    Phase.CREATED: _created,
    Phase.QUEUED: _queued,
    Phase.STARTED: _started,
    Phase.PROGRESS: _progress,
    Phase.STALLED: _stalled,
    Phase.RETRYING: _retrying,
    Phase.SUSPENDED: _suspended,
    Phase.RESUMED: _cleared,
    Phase.SUCCEEDED: _ended,
    Phase.FAILED: _ended,
    Phase.CANCELLED: _ended,
    Phase.REJECTED: _rejected,
    Phase.SCHEDULED: _cleared,
    Phase.UNSCHEDULED: _unscheduled,
}
