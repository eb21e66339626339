"""What a Job remembers of the event that asked for it: annotation `event-context`, and what its events echo."""

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import orjson
from cloudevents.core.v1.event import CloudEvent

from events.cloudevent.attributes import is_text
from events.cloudevent.event import InvalidEvent, from_parts
from events.cloudevent.timestamp import format_time
from events.cloudevent.values import exact_data, parse_as_written
from events.jobs.annotation import MAX_STORED
from events.jobs.observed import Ours

MAX_CONTEXT = 4096
"""Characters of the annotation up to which all of it is remembered: the tens of thousands of Jobs of a cluster do."""
MAX_REMEMBERED = 512
"""Characters of an attribute that is remembered of a longer one."""
_KEPT = ("id", "type", "subject", "time", "correlationid", "replayof", "traceparent", "tracestate", "actor")
ASKING = ("actor", "replayof")
"""Extension attributes that tell an audit who asked for a request, and whether it was asked for again."""
TRACE = ("traceparent", "tracestate")
"""The extension attributes that name the trace (CloudEvents Distributed Tracing extension: W3C Trace Context)."""


def context_annotation(event: CloudEvent, trace: Mapping[str, str] | None = None) -> str:
    """Stored format: a JSON object of the attributes in `_KEPT` that the event has, all as text.

    `trace`: that of `attributes_in_trace`.
    """
    attributes = attributes_in_trace(event, trace)
    return orjson.dumps({name: _as_text(attributes[name]) for name in _KEPT if name in attributes}).decode()


# Every event and every log line about a Job needs it. A small cache: what requests say may be long.
@lru_cache(maxsize=128)
def read_context(annotation: str) -> Mapping[str, str]:
    """What `context_annotation` wrote; what is unreadable is left out."""
    stored = _parsed(annotation)
    if not isinstance(stored, dict):
        return MappingProxyType({})
    return MappingProxyType({name: stored[name] for name in _KEPT if is_text(stored.get(name))})


def kept_context(annotation: str) -> str:
    """As much of the annotation as a process remembers: of a long one, the attributes that are short."""
    if len(annotation) <= MAX_CONTEXT:
        return annotation
    short = {name: text for name, text in read_context(annotation).items() if len(text) <= MAX_REMEMBERED}
    return orjson.dumps(short).decode()


def followed(context: Mapping[str, object], *, request_id: str | None, source: object) -> dict[str, str]:
    """Extension attributes of an event that the event of this context and source caused.

    What is not valid text is left out.
    """
    request = request_id if is_text(request_id) else None
    wanted = {
        "requestsource": source,
        "causationid": context.get("id"),
        "correlationid": context.get("correlationid") or request,
        "partitionkey": request,
        **{name: context.get(name) for name in TRACE},
    }
    return {name: str(value) for name, value in wanted.items() if is_text(value)}


def asking(context: Mapping[str, object]) -> dict[str, str]:
    """Those of `ASKING` that the event of this context has: extension attributes of the first event about its request.

    What is not valid text is left out.
    """
    return {name: str(context[name]) for name in ASKING if is_text(context.get(name))}


def attributes_in_trace(event: CloudEvent, trace: Mapping[str, str] | None) -> Mapping[str, Any]:
    """The event's attributes with this trace context (`traceparent`, `tracestate`) in place of its own; None: with its
    own.
    """
    attributes = event.get_attributes()
    if trace is None:
        return attributes
    return {**{name: value for name, value in attributes.items() if name not in TRACE}, **trace}


def in_trace(event: CloudEvent, trace: Mapping[str, str]) -> CloudEvent:
    """A copy of the event with this trace context in place of its own."""
    return from_parts(attributes_in_trace(event, trace), exact_data(event))


def echoes(about: Ours) -> dict[str, Any]:
    """`tags` and `metadata` as the request gave them; absent when it gave none."""
    tags = _parsed(about.tags) if about.tags else None
    metadata = _parsed(about.metadata) if about.metadata else None
    found: dict[str, Any] = {}
    if isinstance(tags, list) and all(isinstance(tag, str) for tag in tags):
        found["tags"] = tags
    if isinstance(metadata, dict):
        found["metadata"] = metadata
    return found


def _as_text(value: object) -> str:
    if isinstance(value, datetime):
        return format_time(value)
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _parsed(annotation: str) -> Any:
    if len(annotation) > MAX_STORED:
        return None
    try:
        return parse_as_written(annotation.encode(), what="the annotation")
    except InvalidEvent:
        return None
