"""Lifecycle events as CloudEvents: what is published about requests. What has happened is found in transitions.py."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from cloudevents.core.v1.event import CloudEvent

from events.cloudevent.attributes import SPECVERSION, is_text
from events.cloudevent.event import from_own, from_parts
from events.cloudevent.timestamp import from_epoch
from events.identity import base32_sha256, netstrings
from events.jobs.context import asking, echoes, followed, read_context
from events.jobs.observed import Job, Ours, Schedule
from events.lifecycle.transitions import Transition
from events.names import JOB_TYPE
from events.phases import Phase
from events.problems import FieldError, brief

LEAST_BYTES = 32 * 1024
"""Bound of what `least` leaves, as JSON. Every broker takes that, unless somebody has told it not to."""
_SHORT_BYTES = 256
_LEAST_NAMES = 20
_BULKY = ("tags", "metadata", "result", "results", "logTail", "failedIndexes", "fields")


def lifecycle_event(job: Job, transition: Transition) -> CloudEvent:
    """The event about this transition of a request's Job, with the same id and data whenever the state is the same.

    Only `usage` may differ: nobody but the leader that took the samples knows it.
    """
    planned = {} if job.run is None else {"scheduledFor": job.run}
    # Nobody has asked for a run by itself: whoever asked for its schedule is named there.
    first = transition.phase is Phase.CREATED and job.run is None
    return _observed(job, transition, resource="jobs", detail={**transition.detail, **planned}, first=first)


def schedule_event(schedule: Schedule, transition: Transition) -> CloudEvent:
    """The event about this transition of a schedule; its source is the CronJob."""
    first = transition.phase is Phase.SCHEDULED
    return _observed(schedule, transition, resource="cronjobs", detail=transition.detail, first=first)


def rejected_event(
    *,
    instance: str,
    event_attributes: Mapping[str, object],
    code: str,
    message: str,
    fields: Sequence[FieldError],
    replays: int,
    service: str | None,
    request_id: str | None,
    function: str = "",
) -> CloudEvent:
    """An event became no Job; with `function`, no Job of that function.

    `event_attributes` are those that could be read, `replays` is how often the event was sent again.

    It has no `time`: Kubernetes names none, and a repeat has to be the same event.
    """
    parts = [str(event_attributes.get(name, "")) for name in ("source", "id")]
    # An event may be refused once for each function that takes it.
    origin = netstrings(*parts, str(replays), *([function] if function else ()))
    error: dict[str, Any] = {"errorCode": code, "message": message}
    if fields:
        error["fields"] = [
            {"path": one.path, "message": one.message, **({"allowed": one.allowed} if one.allowed else {})}
            for one in fields
        ]
    detail = {**({"service": service} if service else {}), "phase": Phase.REJECTED, "error": error}
    attributes = {
        "id": f"rejected/{base32_sha256(origin)}",
        "source": f"/jobrelay/{instance}",
        **followed(event_attributes, request_id=request_id, source=event_attributes.get("source")),
        **asking(event_attributes),
    }
    return _event(Phase.REJECTED, attributes, request_id=request_id, detail=detail)


def undelivered(event: CloudEvent, *, topic: str, reason: str) -> CloudEvent:
    """A copy of the event for the default topic, saying that the wanted topic refused it for good."""
    return _with_detail(event, {**_detail(event), "undelivered": {"topic": topic, "reason": reason}})


def shortened(event: CloudEvent) -> CloudEvent:
    """A copy for a broker that the event was too large for: results, log tails and echoes left out, messages cut.

    `detail.shortened` names what was left out.
    """
    detail = _detail(event)
    error = detail.get("error")
    dropped = [name for name in _BULKY if name in detail]
    kept = {name: value for name, value in detail.items() if name not in _BULKY}
    if isinstance(error, dict):
        dropped += [name for name in _BULKY if name in error]
        kept["error"] = {name: brief(str(value)) for name, value in error.items() if name not in _BULKY}
    return _with_detail(event, {**kept, "shortened": dropped})


def least(event: CloudEvent) -> CloudEvent:
    """What is left of the event for a broker that the shortened copy was too large for too: at most `LEAST_BYTES`.

    Its type, its id, whose it is, and the short values of its detail. An `id` of the request that is too long becomes
    null: the topic has its hash.
    """
    data: Any = event.get_data()
    detail = _detail(event)
    short = {name: value for name, value in detail.items() if _is_short(value)}
    error = detail.get("error")
    if isinstance(error, dict):
        short["error"] = {name: value for name, value in error.items() if _is_short(value)}
        short["error"]["message"] = _short_text(str(error.get("message", "")))
    attributes = {name: value for name, value in event.get_attributes().items() if _is_short(value)}
    left_out = sorted(set(detail) - set(short))[:_LEAST_NAMES]
    return from_parts(
        attributes,
        {
            "id": data.get("id") if _is_short(data.get("id")) else None,
            "status": data.get("status"),
            "detail": {**short, "shortened": [name for name in left_out if _is_short(name)]},
        },
    )


def _is_short(value: object) -> bool:
    if isinstance(value, str):
        return len(value.encode(errors="replace")) <= _SHORT_BYTES
    return value is None or isinstance(value, bool | int | float | datetime)


def _short_text(text: str) -> str:
    return text.encode(errors="replace")[:_SHORT_BYTES].decode(errors="ignore")


def _observed(
    about: Ours, transition: Transition, *, resource: str, detail: Mapping[str, Any], first: bool
) -> CloudEvent:
    """`first`: it is the one event of the request that says who asked for it."""
    context = read_context(about.context)
    whole = {
        **({"service": about.service} if about.service else {}),
        "phase": transition.phase,
        **detail,
        **echoes(about),
    }
    attributes = {
        "id": transition.id(about),
        "source": f"/namespaces/{about.namespace}/{resource}/{about.name}",
        "time": from_epoch(transition.time),
        **followed(context, request_id=about.request_id, source=about.source),
        **(asking(context) if first else {}),
    }
    return _event(transition.phase, attributes, request_id=about.request_id, detail=whole)


def _event(phase: Phase, attributes: Mapping[str, object], *, request_id: str | None, detail: object) -> CloudEvent:
    whole = {
        "specversion": SPECVERSION,
        "type": f"{JOB_TYPE}.{phase}",
        "datacontenttype": "application/json",
        **({"subject": request_id} if is_text(request_id) else {}),
        **attributes,
    }
    return from_own(whole, {"id": request_id, "status": phase.traits.status, "detail": detail})


def _detail(event: CloudEvent) -> dict[str, Any]:
    data: Any = event.get_data()
    return dict(data["detail"])


def _with_detail(event: CloudEvent, detail: dict[str, Any]) -> CloudEvent:
    data: Any = event.get_data()
    return from_parts(event.get_attributes(), {**data, "detail": detail})
