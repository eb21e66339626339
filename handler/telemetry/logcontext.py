"""Which event, request and Job a task is working on, for its log lines. logs.py formats them."""

import re
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial

from cloudevents.core.v1.event import CloudEvent

from events.jobs.context import read_context
from events.jobs.observed import Job

Fields = dict[str, object]

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
# Fields, or functions that make them: most work logs nothing, and for a Job's fields its context has to be parsed.
_ABOUT: ContextVar[tuple[Fields | Callable[[], Fields], ...]] = ContextVar("about", default=())


def about(**fields: object) -> None:
    """This task works on something else now: its log lines, and those of tasks it starts, carry only these fields."""
    _ABOUT.set((fields,))


def also(**fields: object) -> None:
    """Add fields: more has become known of what this task works on."""
    _ABOUT.set((*_ABOUT.get(), fields))


def also_event(event: CloudEvent) -> None:
    """Add the event's `event_id`, and `trace_id` if its `traceparent` is valid."""
    _ABOUT.set((*_ABOUT.get(), partial(_of_event, event)))


def about_job(job: Job) -> None:
    """This task works on this Job now: `namespace, job, job_id`, and the fields of its event like `also_event`."""
    _ABOUT.set((partial(_of_job, job),))


def current() -> Fields:
    """The fields of this task, without those that are None; of those that were added twice, the later."""
    found: Fields = {}
    for part in _ABOUT.get():
        found |= part() if callable(part) else part
    return {name: value for name, value in found.items() if value is not None}


def trace_id(traceparent: object) -> str | None:
    """The 32 hexadecimal digits that name the trace (W3C Trace Context); None if it is no `traceparent`."""
    found = _TRACEPARENT.fullmatch(traceparent) if isinstance(traceparent, str) else None
    return found[1] if found else None


def _of_event(event: CloudEvent) -> Fields:
    return {"event_id": event.get_id(), "trace_id": trace_id(event.get_extension("traceparent"))}


def _of_job(job: Job) -> Fields:
    context = read_context(job.context)
    return {
        "event_id": context.get("id"),
        "job_id": job.request_id,
        "namespace": job.namespace,
        "job": job.name,
        "trace_id": trace_id(context.get("traceparent")),
    }
