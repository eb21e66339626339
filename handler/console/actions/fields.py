"""The fields of the form for a request: those that most requests need, described by the published schema."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any

from events.contract.models import DEFS
from events.contract.schema import schema_of


class Kind(StrEnum):
    """How the value is written in its input, which always holds text."""

    TEXT = "text"
    NUMBER = "number"
    """A whole number."""
    WORDS = "words"
    """Words as a shell takes them apart: quotes keep them together."""
    LINES = "lines"
    """A text on each line."""
    PAIRS = "pairs"
    """`NAME=value` on each line."""
    CHOICE = "choice"


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """An input. `name`: the path in the data of a request, by which mistakes are told.

    `help`: what the schema says of it. `choices`: of a `CHOICE`; empty stands for none.
    """

    name: str
    label: str
    kind: Kind
    help: str
    required: bool = False
    least: int | None = None
    most: int | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Inputs under a heading. `open`: whether they are shown before anybody asks for them."""

    title: str
    fields: tuple[Field, ...]
    open: bool = False


_GROUPS = (
    (
        "What to run",
        (
            ("job.image", "Image", Kind.TEXT),
            ("job.command", "Command", Kind.WORDS),
            ("job.args", "Arguments", Kind.WORDS),
            ("job.env", "Environment", Kind.PAIRS),
        ),
    ),
    (
        "For whom, under which name",
        (
            ("id", "Id", Kind.TEXT),
            ("service", "Service", Kind.TEXT),
            ("tags", "Tags", Kind.LINES),
            ("job.namespace", "Namespace", Kind.TEXT),
        ),
    ),
    (
        "Resources",
        (
            ("job.resources.requests.cpu", "CPU set aside", Kind.TEXT),
            ("job.resources.requests.memory", "Memory set aside", Kind.TEXT),
            ("job.resources.limits.cpu", "CPU at most", Kind.TEXT),
            ("job.resources.limits.memory", "Memory at most", Kind.TEXT),
            ("job.gpuNumber", "GPUs", Kind.NUMBER),
            ("job.parallelism", "Pods at once", Kind.NUMBER),
        ),
    ),
    (
        "When it may run",
        (
            ("priority", "Priority", Kind.NUMBER),
            ("dependencies", "After these requests", Kind.LINES),
            ("runAt", "Not before", Kind.TEXT),
        ),
    ),
    (
        "How long, how often",
        (
            ("timeout", "Timeout, seconds", Kind.NUMBER),
            ("job.activeDeadlineSeconds", "Deadline once it runs, seconds", Kind.NUMBER),
            ("retries", "Retries", Kind.NUMBER),
        ),
    ),
    (
        "Again and again",
        (
            ("schedule", "Schedule (cron)", Kind.TEXT),
            ("timeZone", "Time zone", Kind.TEXT),
            ("concurrencyPolicy", "While the run before goes on", Kind.CHOICE),
            ("maxRuns", "Runs at most", Kind.NUMBER),
        ),
    ),
)
_SAYS = {
    "job.command": "As in a shell: quotes keep words together; nothing is expanded.",
    "job.args": "As in a shell: quotes keep words together; nothing is expanded.",
    "job.env": "NAME=value on each line.",
    "tags": "One on each line.",
    "dependencies": "One on each line.",
}
"""How to write it, before what the schema says."""


@cache
def groups() -> tuple[Group, ...]:
    """The form, in its order."""
    schema = schema_of("request", data=True)
    return tuple(
        Group(title=title, fields=tuple(_field(schema, *entry) for entry in entries), open=number == 0)
        for number, (title, entries) in enumerate(_GROUPS)
    )


def fields() -> Iterator[Field]:
    """All inputs."""
    for group in groups():
        yield from group.fields


def _field(schema: dict[str, Any], name: str, label: str, kind: Kind) -> Field:
    found, required = _found(schema, name)
    text = " ".join(filter(None, (_SAYS.get(name), found.get("description", ""))))
    bounds = next((one for one in _variants(found) if "minimum" in one or "enum" in one), {})
    return Field(
        name=name,
        label=label,
        kind=kind,
        help=text.replace("`", ""),
        required=required,
        least=bounds.get("minimum"),
        most=bounds.get("maximum"),
        choices=tuple(bounds.get("enum", ())) if kind is Kind.CHOICE else (),
    )


def _found(schema: dict[str, Any], name: str) -> tuple[dict[str, Any], bool]:
    """The schema of the field, and whether a request must have it. Of an entry in a map: what is said of the map."""
    here, required = schema, True
    for part in name.split("."):
        inner = _resolved(schema, here)
        found = inner.get("properties", {}).get(part)
        required = required and part in inner.get("required", ())
        if found is None:
            return here, False
        here = found
    return here, required


def _resolved(schema: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """What a reference stands for."""
    for one in _variants(part):
        if "$ref" in one:
            name = str(one["$ref"]).removeprefix(DEFS.format(model=""))
            resolved: dict[str, Any] = schema["$defs"][name]
            return resolved
    return part


def _variants(part: dict[str, Any]) -> list[dict[str, Any]]:
    return [part, *part.get("anyOf", ()), *part.get("allOf", ())]
