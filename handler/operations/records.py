"""What is in the record, as documents: names in camelCase, times in RFC 3339, events as they were. Pure."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from events.cloudevent.numbers import AS_WRITTEN
from events.cloudevent.timestamp import format_time
from handler.history.base import KeptLog, LogState, PodRun, Request, Told
from handler.operations.sentences import REASONS
from handler.operations.wording import clean


def moment(seconds: float | None) -> str | None:
    """A time in epoch seconds, with as many digits as it has; None for None, and for what no clock shows."""
    try:
        return None if seconds is None else format_time(datetime.fromtimestamp(round(seconds, 3), UTC))
    except (ValueError, OverflowError, OSError):
        return None


def request_document(request: Request, tags: Sequence[str] | None = None) -> dict[str, Any]:
    """All that the record has of a request. `number`: tells it from others with its id. `tags`: None: not asked for."""
    document = {
        "kind": "history",
        "number": request.pk,
        "id": request.key.id,
        "source": request.key.source,
        "cause": request.key.cause,
        "function": request.function,
        "service": request.service,
        "phase": request.phase,
        "reason": request.reason,
        "terminal": request.terminal,
        "attempt": request.attempt,
        "namespace": request.namespace,
        "job": request.job,
        "jobUid": request.job_uid,
        "image": request.image,
        "cpu": request.cpu,
        "memory": request.memory,
        "gpus": request.gpus,
        "priority": request.priority,
        "eventTime": moment(request.event_time),
        "created": moment(request.created),
        "started": moment(request.started),
        "finished": moment(request.finished),
        "updated": moment(request.updated),
        "duration": ran(request),
        "exitCode": request.exit_code,
        "error": _error(request),
        "result": result_of(request),
        "peaks": {"cpu": request.peak_cpu, "memory": request.peak_memory},
        "replayOf": request.replay_of,
    }
    return document if tags is None else document | {"tags": list(tags)}


def ran(request: Request, *, now: float | None = None) -> float | None:
    """Seconds from its start to its end, or to `now` while it runs; None if it has not started."""
    until = request.finished if request.terminal else now
    return None if request.started is None or until is None else max(0.0, until - request.started)


def pod_document(pod: PodRun, logs: Sequence[KeptLog], *, where: str) -> dict[str, Any]:
    """A pod with its logs. `where`: chunks of logs are kept."""
    return {
        "uid": pod.uid,
        "name": pod.name,
        "namespace": pod.namespace,
        "node": pod.node,
        "index": pod.index,
        "attempt": pod.attempt,
        "started": moment(pod.started),
        "finished": moment(pod.finished),
        "exitCode": pod.exit_code,
        "reason": pod.reason,
        "logs": [_log(log, where=where) for log in logs],
    }


def event_document(told: Told) -> Any:
    """The structured CloudEvent, its numbers as they were written."""
    return _parsed(told.body)


def detail_of(document: Any) -> Mapping[str, Any]:
    """`data.detail` of a lifecycle event; empty where what is recorded is no such event."""
    data = document.get("data") if isinstance(document, dict) else None
    detail = data.get("detail") if isinstance(data, dict) else None
    return detail if isinstance(detail, dict) else {}


def why(request: Request) -> str:
    """Why it is as it is, in a line: its error, or else what it waits for."""
    if request.error_code or request.message:
        return ": ".join(clean(text) for text in (request.error_code, request.message) if text)
    return REASONS.get(request.reason or "", request.reason or "")


def _log(log: KeptLog, *, where: str) -> dict[str, Any]:
    return {
        "container": log.container,
        "state": log.state,
        "bytes": log.bytes,
        "leftOut": log.dropped,
        "where": where if has_chunks(log) else None,
        "reason": log.reason,
        "read": moment(log.read),
    }


def has_chunks(log: KeptLog) -> bool:
    """Whether something of the log is kept."""
    return bool(log.chunks) and log.state not in (LogState.MISSING, LogState.EXPIRED)


def _error(request: Request) -> dict[str, str | None] | None:
    if request.error_code is None and request.message is None:
        return None
    return {"errorCode": request.error_code, "message": request.message}


def result_of(request: Request) -> Any:
    """What its container left, as it was written; None for nothing."""
    return None if request.result is None else _parsed(request.result)


def _parsed(body: bytes) -> Any:
    """What stands in a database is from outside, too: what is not JSON is text."""
    try:
        return AS_WRITTEN.read(body)
    except (orjson.JSONDecodeError, ValueError, RecursionError):
        return body.decode(errors="replace")
