"""Fills the database of a history as whoever records does, for commands that look things up in it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from adapters.base import Cursor
from events.cloudevent.timestamp import parse_epoch
from events.names import JOB_TYPE
from events.phases import Phase
from handler.history.base import Batch, Entry, KeptLog, Key, LogState, PodRun
from handler.history.sql.store import open_store

BROKER = "nats"
MORNING = parse_epoch("2026-03-01T10:00:00Z")


def url_of(directory: Path, name: str = "history") -> str:
    return f"sqlite://{directory}/{name}.db"


def key_of(request_id: str, *, source: str = "/shop", cause: str = "e1") -> Key:
    return Key(id=request_id, cause=cause, source=source)


def told(
    key: Key | str,
    phase: Phase,
    *,
    at: float = 0.0,
    tags: tuple[str, ...] | None = None,
    pod: PodRun | None = None,
    run: float | None = None,
    detail: Mapping[str, Any] = {},
    body: bytes | None = None,
    **changes: Any,
) -> Entry:
    """An event of a request, `at` seconds after ten in the morning. `changes`: of its row."""
    key = key_of(key) if isinstance(key, str) else key
    uid = f"{key.source}-{key.id}-{key.cause}"
    event = {
        "specversion": "1.0",
        "id": f"{uid}/{phase}/{at:g}",
        "source": "/namespaces/default/jobs/x",
        "type": f"{JOB_TYPE}.{phase}",
        "subject": key.id,
        "requestsource": key.source,
        "data": {"id": key.id, "status": phase.traits.status, "detail": {"phase": phase, **detail}},
    }
    return Entry(
        id=str(event["id"]),
        key=key,
        phase=phase,
        time=MORNING + at,
        changes={"job_uid": uid, **changes},
        body=body or orjson.dumps(event),
        tags=tags,
        pod=pod,
        run=run,
    )


def life(key: Key | str, end: Phase = Phase.SUCCEEDED, *, at: float = 0.0, **changes: Any) -> list[Entry]:
    """A request that waits for 4 s and runs for 12 s; `changes`: of its last event."""
    detail = {"service": changes.get("service"), "duration": 12}
    return [
        told(key, Phase.CREATED, at=at, detail={"namespace": "default", "jobName": "x", **detail}, **_asked(changes)),
        told(key, Phase.STARTED, at=at + 4, started=MORNING + at + 4, detail={"podName": "x-1", "node": "n1"}),
        told(key, end, at=at + 16, finished=MORNING + at + 16, run=12.0, detail=detail, **changes),
    ]


def _asked(changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: changes[name] for name in ("service",) if name in changes}


def log_of(pod: str, *parts: bytes, container: str = "main", **fields: Any) -> tuple[KeptLog, dict[int, bytes]]:
    """A log with a chunk for each part, and the chunks."""
    log = KeptLog(
        pod=pod,
        container=container,
        state=fields.pop("state", LogState.WHOLE),
        bytes=sum(map(len, parts)),
        chunks=tuple(range(len(parts))),
        read=MORNING,
        **fields,
    )
    return log, dict(enumerate(parts))


async def fill(
    url: str,
    entries: Sequence[Entry],
    *,
    pods: Sequence[tuple[Key, PodRun]] = (),
    logs: Sequence[tuple[KeptLog, Mapping[int, bytes]]] = (),
    after: Cursor | None = None,
) -> Cursor:
    """Record these. Returns the position after them."""
    position = Cursor("stream", (after.sequence if after else 0) + len(entries), "")
    async with open_store(url, migrate=True) as store, store.writing() as writer:
        await writer.add(Batch(cursor=position, entries=entries), broker=BROKER, after=after)
        for key, pod in pods:
            await writer.keep_pod(key, pod, created=MORNING)
        for log, chunks in logs:
            await writer.keep_log(log, put=chunks)
    return position
