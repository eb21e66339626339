"""Rows of the tables from what is kept, and back."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Row

from adapters.base import Cursor
from events.phases import Phase
from handler.history.base import Action, Day, KeptLog, Key, LogState, PodRun, Request, Stat, Told
from handler.history.sql.packing import unpack
from handler.history.sql.values import clean, digest, indexed, maybe_clean

_TEXTS = ("function", "namespace", "job", "job_uid", "reason", "image", "error_code", "message", "replay_of")
_OTHERS = (
    "created",
    "updated",
    "terminal",
    "attempt",
    "cpu",
    "memory",
    "gpus",
    "priority",
    "event_time",
    "started",
    "finished",
    "exit_code",
    "result",
    "peak_cpu",
    "peak_memory",
)
CHANGING = ("phase", "service", "tags", *_TEXTS, *_OTHERS)
"""Columns of a request that its events may change."""


def request_row(request: Request, tags: Sequence[str] | None) -> dict[str, Any]:
    """All columns."""
    row: dict[str, Any] = {name: maybe_clean(getattr(request, name)) for name in _TEXTS}
    row.update({name: getattr(request, name) for name in _OTHERS})
    key = request.key
    return row | {
        "pk": request.pk,
        "key": digest(key),
        "id": indexed(key.id),
        "cause": clean(key.cause),
        "source": clean(key.source),
        "phase": request.phase.value,
        "service": None if request.service is None else indexed(request.service),
        "tags": msgspec.json.encode(tags).decode() if tags else None,
    }


def request_of(row: Row[Any]) -> Request:
    fields = row._asdict()
    key = Key(id=fields.pop("id"), cause=fields.pop("cause"), source=fields.pop("source"))
    # Whoever only shows requests asks for neither of these.
    fields.pop("key", None)
    fields.pop("tags", None)
    fields["phase"] = Phase(fields["phase"])
    return Request(key=key, **fields)


def tags_of(stored: str | None) -> tuple[str, ...]:
    return msgspec.json.decode(stored, type=tuple[str, ...]) if stored else ()


def tag_rows(pk: int, phase: str, updated: float, tags: Iterable[str]) -> list[dict[str, Any]]:
    """Of the index of tags, for a request."""
    return [{"tag": tag, "phase": phase, "updated": updated, "request": pk} for tag in tags]


def told_of(row: Row[Any]) -> Told:
    return Told(
        position=row.position,
        request=row.request,
        id=row.id,
        phase=Phase(row.phase),
        time=row.time,
        body=unpack(row.body),
    )


def pod_row(pod: PodRun, request: int) -> dict[str, Any]:
    return {
        "uid": indexed(pod.uid),
        "request": request,
        "name": clean(pod.name),
        "namespace": clean(pod.namespace),
        "node": maybe_clean(pod.node),
        "index": pod.index,
        "attempt": pod.attempt,
        "started": pod.started,
        "finished": pod.finished,
        "exit_code": pod.exit_code,
        "reason": maybe_clean(pod.reason),
    }


def pod_of(row: Row[Any]) -> PodRun:
    fields = row._asdict()
    del fields["request"]
    return PodRun(**fields)


def log_row(log: KeptLog) -> dict[str, Any]:
    return {
        "pod": indexed(log.pod),
        "container": indexed(log.container),
        "state": log.state.value,
        "bytes": log.bytes,
        "dropped": log.dropped,
        "head": log.head,
        "chunks": msgspec.json.encode(log.chunks).decode(),
        "reason": maybe_clean(log.reason),
        "read": log.read,
    }


def log_of(row: Row[Any]) -> KeptLog:
    fields = row._asdict()
    chunks = msgspec.json.decode(fields.pop("chunks"), type=tuple[int, ...])
    return KeptLog(state=LogState(fields.pop("state")), chunks=chunks, **fields)


def action_row(action: Action) -> dict[str, Any]:
    return {
        "id": indexed(action.id),
        "time": action.time,
        "actor": maybe_clean(action.actor),
        "verb": maybe_clean(action.verb),
        "request": maybe_clean(action.request_id),
        "outcome": clean(action.outcome),
        "code": maybe_clean(action.code),
    }


def action_of(row: Row[Any]) -> Action:
    fields = row._asdict()
    return Action(request_id=fields.pop("request"), **fields)


def cursor_row(broker: str, cursor: Cursor) -> dict[str, Any]:
    return {"broker": broker, "stream": cursor.stream, "sequence": cursor.sequence, "digest": cursor.digest}


def stat_row(stat: Stat) -> dict[str, Any]:
    return {**msgspec.structs.asdict(stat), "service": indexed(stat.service), "phase": stat.phase.value}


def day_row(day: Day) -> dict[str, Any]:
    row = msgspec.structs.asdict(day)
    spreads = {name: msgspec.msgpack.encode(dict(sorted(row[name].items()))) for name in ("waits", "runs")}
    return {**row, **spreads, "service": indexed(day.service)}


def day_of(row: Row[Any]) -> Day:
    fields = row._asdict()
    for name in ("waits", "runs"):
        stored = fields[name]
        fields[name] = {} if stored is None else msgspec.msgpack.decode(stored, type=dict[int, int])
    return Day(**fields)


def stat_of_row(row: Row[Any]) -> Stat:
    fields = row._asdict()
    return Stat(phase=Phase(fields.pop("phase")), **fields)
