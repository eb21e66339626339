"""Reads records of the lifecycle log for the record: what each event says of its request. Pure, and never raises.

What is of another type than the contract says, or beyond its bounds (bounds.py), is left out.
"""

import re
from collections.abc import Mapping
from typing import Any

from cloudevents.core.v1.event import CloudEvent

from adapters.base import Record
from events.cloudevent.event import InvalidEvent, encode_structured
from events.names import CONTROL_TYPE, JOB_TYPE
from events.phases import TERMINAL, Phase
from events.request.control import ACCEPTED, REJECTED
from handler.history.base import Action, Entry, Key, PodRun, Unreadable
from handler.history.bounds import (
    AHEAD_SECONDS,
    COUNT,
    MAX_BODY,
    MAX_BYTES,
    MAX_ID,
    MAX_READ,
    identity,
    moment,
    number,
    tags,
    text,
    whole,
)
from handler.history.recording.details import Fields, error_of, told
from handler.history.rows import LONGEST

_PHASES = {f"{JOB_TYPE}.{phase}": phase for phase in Phase}
_ANSWERS = {f"{CONTROL_TYPE}.{outcome}": outcome for outcome in (ACCEPTED, REJECTED)}
_OURS = (f"{JOB_TYPE}.", f"{CONTROL_TYPE}.")
_CAUSE = ("causationid", "requestsource")
_FIRST = (Phase.CREATED, Phase.SCHEDULED, Phase.REJECTED)
_SOURCE = re.compile(r"/namespaces/([^/]{1,253})/(?:jobs|cronjobs)/([^/]{1,253})")


class _Unlike(Exception):
    """An event that is not as ours are. The message quotes nothing of it."""


def read(record: Record) -> Entry | Action | Unreadable | None:
    """What there is to record. None: an event that is none of jobrelay's.

    `Unreadable`: what is no CloudEvent, has more than `MAX_READ` bytes, or is an event of jobrelay's that this version
    does not know. Its reason quotes no value.
    """
    if len(record.body) > MAX_READ:
        return unreadable(record, f"{len(record.body)} bytes: more than {MAX_READ} are not read")
    try:
        event = record.event()
        return _read(record, event, event.get_attributes())
    except InvalidEvent as error:
        return unreadable(record, error.reason)
    except _Unlike as error:
        return unreadable(record, str(error))


def unreadable(record: Record, reason: str) -> Unreadable:
    """The record as bytes, at most `MAX_BYTES`. `reason`: a sentence that quotes nothing."""
    said = text(reason, 500) or ""
    return Unreadable(sequence=record.sequence, time=record.time.timestamp(), reason=said, body=record.body[:MAX_BYTES])


def _read(record: Record, event: CloudEvent, attributes: Fields) -> Entry | Action | None:
    kind = attributes["type"]
    if kind not in _PHASES and kind not in _ANSWERS:
        if kind.startswith(_OURS):
            raise _Unlike("attribute type is one of jobrelay's that this version does not know")
        return None
    data: object = event.get_data()
    if not isinstance(data, Mapping) or not isinstance(data.get("detail"), Mapping):
        raise _Unlike("detail in the data is no object")
    stored = record.time.timestamp()
    time = moment(attributes.get("time"), latest=stored + AHEAD_SECONDS)
    time = stored if time is None else time
    if kind in _ANSWERS:
        return _action(attributes, data["detail"], _ANSWERS[kind], time)
    phase = _PHASES[kind]
    key = Key(_subject(record, attributes, data), *(identity(attributes.get(name)) or "" for name in _CAUSE))
    return _entry(event, phase, key, time, data["detail"])


def _subject(record: Record, attributes: Fields, data: Fields) -> str:
    """The request's id. The topic has its hash, if it was too long for an event that had to be shortened.

    An event that names no request is one by itself.
    """
    parts = record.topic.key.split(".")
    hashed = parts[1] if len(parts) == 3 and parts[1].startswith("~") else None
    return next(
        found
        for value in (attributes.get("subject"), data.get("id"), hashed, attributes["id"])
        if (found := identity(value, MAX_ID))
    )


def _entry(event: CloudEvent, phase: Phase, key: Key, time: float, detail: Fields) -> Entry:
    attributes = event.get_attributes()
    changes: dict[str, Any] = {
        "attempt": whole(detail.get("attempt"), (1, COUNT[1])),
        "service": text(detail.get("service")),
    }
    if job := _SOURCE.fullmatch(attributes["source"]):
        uid = attributes["id"].partition("/")[0]
        changes |= {"namespace": text(job[1]), "job": text(job[2]), "job_uid": identity(uid)}
    # What an event does not say, it does not clear.
    changes = {name: value for name, value in changes.items() if value is not None}
    changes |= told(phase, detail, time=time)
    return Entry(
        id=identity(attributes["id"]) or "",
        key=key,
        phase=phase,
        time=time,
        changes=changes,
        body=_body(event),
        tags=tags(detail.get("tags")),
        pod=_pod(detail, changes, time) if phase is Phase.STARTED else None,
        run=_run(detail, changes) if phase in TERMINAL else None,
        asked=_asked(attributes, phase, key, time, detail) if phase in _FIRST else None,
    )


def _body(event: CloudEvent) -> bytes:
    body = encode_structured(event)
    if len(body) > MAX_BODY:
        raise _Unlike(f"{len(body)} bytes as JSON: more than {MAX_BODY} are not kept")
    return body


def _pod(detail: Fields, changes: Fields, time: float) -> PodRun | None:
    uid, name = identity(detail.get("podId")), text(detail.get("podName"))
    if uid is None or name is None:
        return None
    namespace, node = changes.get("namespace") or "", text(detail.get("node"))
    return PodRun(uid=uid, name=name, namespace=namespace, node=node, attempt=changes.get("attempt"), started=time)


def _run(detail: Fields, changes: Fields) -> float | None:
    started, told = changes.get("started"), number(detail.get("duration"), LONGEST)
    return changes["finished"] - started if told is None and started is not None else told


def _asked(attributes: Fields, phase: Phase, key: Key, time: float, detail: Fields) -> Action | None:
    actor = text(attributes.get("actor"))
    if not actor:
        return None
    return Action(
        id=identity(attributes["id"]) or "",
        time=time,
        actor=actor,
        verb="submit" if attributes.get("replayof") is None else "again",
        request_id=key.id,
        outcome=str(phase),
        code=error_of(detail)["error_code"],
    )


def _action(attributes: Fields, detail: Fields, outcome: str, time: float) -> Action:
    return Action(
        id=identity(attributes["id"]) or "",
        time=time,
        actor=text(attributes.get("actor")),
        verb=text(detail.get("verb")),
        request_id=identity(detail.get("subject"), MAX_ID),
        outcome=outcome,
        code=error_of(detail)["error_code"],
    )
