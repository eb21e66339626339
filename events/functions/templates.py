"""Texts with references into an event: `{subject}`, `{data.items.0.url}`, `{data.size:-small}`. Runs no code."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import orjson
from cloudevents.core.v1.event import CloudEvent

from events.cloudevent.attributes import is_name, shown
from events.cloudevent.values import attribute_text, data_as_written
from events.request.fields import wrong

_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_PATH = re.compile(r"data(\.[^.]+)*")
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)
_ALLOWED = "{attribute}, {data.path}, {data.list.0}, {…:-default}; a brace itself is {{ or }}"


class Missing(Exception):
    """The event has no value for `reference`, and the template has no default."""

    def __init__(self, reference: str) -> None:
        super().__init__(f"the event has no {reference}")
        self.reference = reference


@dataclass(frozen=True, slots=True)
class Reference:
    """`name` of an attribute, or `data` and the way into it. `default` stands in for a value that is missing."""

    name: str
    path: tuple[str, ...] = ()
    default: str | None = None

    def __str__(self) -> str:
        return ".".join((self.name, *self.path))


class Values:
    """What an event has to fill into templates."""

    def __init__(self, event: CloudEvent) -> None:
        self._event = event

    @cached_property
    def _data(self) -> Any:
        return data_as_written(self._event)

    def find(self, reference: Reference) -> str | None:
        """The value as text: text as it is, everything else as JSON, numbers as written. None: missing, or null.

        Raises `UnreadableData` for data that are neither JSON nor text, whatever the reference names in them.
        """
        if reference.name != "data":
            return attribute_text(self._event, reference.name)
        value = self._data
        for step in reference.path:
            value = _step(value, step)
        return value if value is None or isinstance(value, str) else orjson.dumps(value).decode()


@lru_cache(maxsize=4096)
def parse(template: str) -> Sequence[str | Reference]:
    """Its texts and references in order. Raises an error of pydantic's (a `ValueError`) if it is not a template."""
    pieces: list[str | Reference] = []
    end = 0
    for found in _PIECE.finditer(template):
        pieces.append(template[end : found.start()])
        end = found.end()
        if found[0] in ("{{", "}}"):
            pieces.append(found[0][0])
        elif found[1] is None:
            raise wrong(f"has a brace that belongs to no reference, at character {found.start() + 1}", _ALLOWED)
        else:
            pieces.append(_reference(found[1]))
    pieces.append(template[end:])
    return tuple(piece for piece in pieces if piece != "")


def valid(template: str) -> str:
    """The text, if it is a template. Raises what `parse` raises."""
    parse(template)
    return template


def constant(template: str) -> str:
    """What it says whatever the event says."""
    return "".join(piece for piece in parse(template) if isinstance(piece, str))


def fill(template: str, values: Values, *, quote: Mapping[str, str] | None = None) -> str:
    """The text with what the event says. `quote` replaces characters that come from the event.

    Raises `Missing` or `UnreadableData`.
    """
    table = str.maketrans(dict(quote or {}))
    return "".join(
        piece if isinstance(piece, str) else _value(piece, values).translate(table) for piece in parse(template)
    )


def _value(reference: Reference, values: Values) -> str:
    found = values.find(reference)
    if found is None:
        found = reference.default
    if found is None:
        raise Missing(str(reference))
    return found


def _reference(text: str) -> Reference:
    path, colon, default = text.partition(":-")
    if path.partition(".")[0] == "data" and _PATH.fullmatch(path):
        name, *rest = path.split(".")
    elif is_name(path):
        name, rest = path, []
    else:
        raise wrong(f"has {shown(text)} in braces, which is no reference", _ALLOWED)
    return Reference(name, tuple(rest), default if colon else None)


def _step(value: Any, step: str) -> Any:
    if isinstance(value, dict):
        return value.get(step)
    if isinstance(value, list) and _INDEX.fullmatch(step) and int(step) < len(value):
        return value[int(step)]
    return None
