"""Which event, request and Job a task is at work on: what its log lines carry. How they look is logs.py's business."""

import re
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import partial

from cloudevents.core.v1.event import CloudEvent

from events.jobs.context import read_context
from events.jobs.observed import Job

Fields = Mapping[str, object]

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
# Kept as what makes the fields: most work logs nothing, and the context of a Job has to be parsed for them.
_ABOUT: ContextVar[Callable[[], Fields]] = ContextVar("about", default=dict)


def about(**fields: object) -> None:
    """This task is at work on something else now: its lines, and those of tasks it starts, carry just these."""
    _ABOUT.set(partial(dict, **fields))


def also(**fields: object) -> None:
    """More has become known of it."""
    _ABOUT.set(partial(_both, _ABOUT.get(), fields))


def also_event(event: CloudEvent) -> None:
    """The event at work on: `event_id`, and `trace_id` where its `traceparent` names one."""
    _ABOUT.set(partial(_of_event, _ABOUT.get(), event))


def about_job(job: Job) -> None:
    """This task is at work on this Job now: `namespace, job, job_id`, and its event's as `also_event`."""
    _ABOUT.set(partial(_of_job, job))


def current() -> Fields:
    """What is known in this task, without what is None."""
    return {name: value for name, value in _ABOUT.get()().items() if value is not None}


def trace_id(traceparent: object) -> str | None:
    """The 32 hexadecimal digits that name the trace (W3C Trace Context); None for what is no `traceparent`."""
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
