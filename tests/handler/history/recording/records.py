"""Records of a lifecycle log, as brokers give them, without a broker."""

from datetime import UTC, datetime
from functools import partial
from typing import Any

import orjson

from adapters.base import Kind, Record, Topic
from events.cloudevent.binding import from_nats, to_nats
from events.cloudevent.event import build
from events.cloudevent.timestamp import format_epoch
from events.identity import topic_part
from events.names import JOB_TYPE
from events.phases import Phase

STORED = 1_768_464_000.0
"""When a record was stored, unless a test says otherwise."""


def lifecycle(
    phase: str,
    of: str = "r-1",
    /,
    *,
    uid: str | None = "uid-1",
    suffix: str = "",
    time: float = STORED,
    **detail: Any,
) -> Any:
    """A lifecycle event about request `of`; `attributes` in `detail` are merged over its own."""
    attributes = {
        "specversion": "1.0",
        "type": f"{JOB_TYPE}.{phase}",
        "source": f"/namespaces/jobs/jobs/job-{uid}" if uid else "/jobrelay/jobrelay",
        "id": f"{uid or 'rejected'}/{phase}{suffix}" if uid else f"rejected/{of}",
        "datacontenttype": "application/json",
        "subject": of,
        "time": format_epoch(time) if uid else None,
        "requestsource": "/shop",
        "causationid": f"cause-{of}",
        "partitionkey": of,
        **detail.pop("attributes", {}),
    }
    whole = {"service": "billing", "phase": phase, **({"attempt": 1} if uid else {}), **detail}
    return build(attributes, {"id": of, "status": Phase(phase).traits.status, "detail": whole})


def a_life(request: str, *, time: float = STORED, end: str = "succeeded") -> list[Any]:
    """`created`, `started` 2 s later, and the end after 10 s more."""
    uid = f"uid-{request}"
    created = {"jobId": uid, "jobName": f"job-{uid}", "namespace": "jobs"}
    ended: dict[str, Any] = {
        "duration": 10, "startedAt": format_epoch(time + 2), "finishedAt": format_epoch(time + 12), "exitCode": 0
    }  # fmt: skip
    if end != "succeeded":
        ended |= {"exitCode": 1, "error": {"errorCode": "JOB_EXECUTION_FAILED", "message": "it failed"}}
    pod = {"podId": f"pod-{request}", "podName": f"{request}-0", "node": "n1"}
    return [
        lifecycle("created", request, uid=uid, time=time, tags=["night"], **created),
        lifecycle("started", request, uid=uid, time=time + 2, **pod),
        lifecycle(end, request, uid=uid, time=time + 12, **ended),
    ]


def key_of(event: Any) -> str:
    """The key of the event's topic."""
    detail = event.get_data()["detail"]
    return f"{detail.get('service', '_')}.{topic_part(event.get_data()['id'])}.{detail.get('phase')}"


def record_of(event: Any, sequence: int = 1, *, stream: str = "", key: str | None = None) -> Record:
    """The event as it is stored."""
    headers, body = to_nats(event)
    return stored(body, sequence, headers=headers, stream=stream, key=key or key_of(event))


def stored(
    body: bytes | object,
    sequence: int = 1,
    *,
    headers: dict[str, str] | None = None,
    stream: str = "",
    key: str = "billing.r-1.created",
    time: float = STORED,
) -> Record:
    """A record with this body; anything but bytes is written as JSON."""
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return Record(
        topic=Topic(Kind.LIFECYCLE, key),
        sequence=sequence,
        stream=stream,
        time=datetime.fromtimestamp(time, UTC),
        headers=headers or {},
        body=raw,
        decode=partial(from_nats, headers or {}, raw),
    )
