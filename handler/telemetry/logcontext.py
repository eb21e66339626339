"""Which event, request and Job a task is working on, for its log lines. logs.py formats them."""

import re
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import partial

from cloudevents.core.v1.event import CloudEvent

from events.jobs.context import read_context
from events.jobs.observed import Job

Fields = Mapping[str, object]

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
# A function that makes the fields: most work logs nothing, and for a Job's fields its context has to be parsed.
_ABOUT: ContextVar[Callable[[], Fields]] = ContextVar("about", default=dict)


def about(**fields: object) -> None:
    """This task works on something else now: its log lines, and those of tasks it starts, carry only these fields."""
    _ABOUT.set(partial(dict, **fields))


def also(**fields: object) -> None:
    """Add fields: more has become known of what this task works on."""
    _ABOUT.set(partial(_both, _ABOUT.get(), fields))


def also_event(event: CloudEvent) -> None:
    """Add the event's `event_id`, and `trace_id` if its `traceparent` is valid."""
    _ABOUT.set(partial(_of_event, _ABOUT.get(), event))


def about_job(job: Job) -> None:
    """This task works on this Job now: `namespace, job, job_id`, and the fields of its event like `also_event`."""
    _ABOUT.set(partial(_of_job, job))


def current() -> Fields:
    """The fields of this task, without those that are None."""
    return {name: value for name, value in _ABOUT.get()().items() if value is not None}


def trace_id(traceparent: object) -> str | None:
    """The 32 hexadecimal digits that name the trace (W3C Trace Context); None if it is no `traceparent`."""
    found = _TRACEPARENT.fullmatch(traceparent) if isinstance(traceparent, str) else None
    return found[1] if found else None


def _both(before: Callable[[], Fields], fields: Fields) -> Fields:
    return {**before(), **fields}


def _of_event(before: Callable[[], Fields], event: CloudEvent) -> Fields:
    return {**before(), "event_id": event.get_id(), "trace_id": trace_id(event.get_extension("traceparent"))}


def _of_job(job: Job) -> Fields:
    context = read_context(job.context)
    return {
        "event_id": context.get("id"),
        "job_id": job.request_id,
        "namespace": job.namespace,
        "job": job.name,
        "trace_id": trace_id(context.get("traceparent")),
    }
