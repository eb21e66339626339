"""Rules about several fields of a function together, on what the file says: told beside all other errors."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from events.functions.functions import MAX_ENV, size_of
from events.functions.templates import constant
from events.functions.trees import mapped
from events.problems import FieldError
from events.request.rules import MAX_ECHO, echo_size, queueing

Raw = dict[str, Any]


def across(function: Raw) -> list[FieldError]:
    """Every combination that is not allowed. Fields of a wrong type are skipped: they have errors of their own."""
    return [*_queue(function), *_kueue(function), *_sizes(function)]


def _queue(function: Raw) -> Iterator[FieldError]:
    # A function's requests have a service, and no id yet.
    for error in queueing({**_object(function, "queue"), "service": "", "id": None}):
        yield replace(error, path=f"queue.{error.path}")


def _kueue(function: Raw) -> Iterator[FieldError]:
    if function.get("queueName") is None:
        return
    queue = _object(function, "queue").items()
    given = [f"queue.{name}" for name, value in queue if name != "priority" and value is not None]
    if _object(_object(function, "job"), "spec").get("suspend"):
        given.append("job.spec.suspend")
    if given:
        message = f"has {', '.join(given)} beside queueName: Kueue decides when its Jobs run"
        yield FieldError("", message, "queue.priority")


def _sizes(function: Raw) -> Iterator[FieldError]:
    """What is too large whatever an event says."""
    try:
        said = mapped({name: function.get(name) for name in ("env", "tags", "metadata")}, constant)
        env, echoed = size_of(said["env"] or {}), echo_size(said["tags"], said["metadata"])
    except (AttributeError, TypeError, ValueError, RecursionError):
        return  # One of them has an error of its own.
    if env > MAX_ENV:
        yield FieldError("env", f"is {env} bytes", f"{MAX_ENV} bytes together")
    if echoed > MAX_ECHO:
        yield FieldError("metadata", f"tags and metadata are {echoed} bytes as JSON", f"{MAX_ECHO} bytes")


def _object(holder: Raw, name: str) -> Raw:
    found = holder.get(name)
    return found if isinstance(found, dict) else {}
