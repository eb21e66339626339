"""The words that values of the chart are described in, each a piece of JSON Schema.

Draft-07, which Helm 3 and 4 both read. They show no text of a schema when they refuse a value, only where it stands
and the rule: hence one plain rule for each value, and no alternatives, of which Helm lists every one that did not fit.
A value of null takes Helm's default away, so that every value but a group may be null.
"""

from collections.abc import Mapping
from typing import Any

Schema = dict[str, Any]
LABEL = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
"""Names of namespaces."""
NAME = r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$"
"""Names of most other objects of Kubernetes."""


def group(about: str, members: Mapping[str, Schema]) -> Schema:
    """An object of ours: a member that is not described is refused, with its name."""
    return {
        "description": about,
        "type": "object",
        "additionalProperties": False,
        "properties": dict(members),
    }


def text(about: str, *, pattern: str | None = None) -> Schema:
    """A text. Where the empty one means that there is none, `pattern` allows it: see `or_empty`."""
    return {"description": about, "type": ["string", "null"]} | ({"pattern": pattern} if pattern else {})


def or_empty(pattern: str) -> str:
    """This pattern, or nothing at all."""
    return f"^$|{pattern}"


def choice(about: str, *values: str | bool) -> Schema:
    return {"description": about, "enum": [*values, None]}


def switch(about: str) -> Schema:
    return {"description": about, "type": ["boolean", "null"]}


def number(about: str, low: float | None, high: float | None = None, *, whole: bool = True) -> Schema:
    bounds = {"minimum": low, "maximum": high}
    return {"description": about, "type": ["integer" if whole else "number", "null"]} | {
        rule: value for rule, value in bounds.items() if value is not None
    }


def names(about: str, *, item: Schema | None = None) -> Schema:
    """An array of texts, or of what `item` says."""
    return {"description": about, "type": ["array", "null"], "items": item or {"type": "string", "minLength": 1}}


def mapping(about: str, *kinds: str) -> Schema:
    """An object whose members have names that are yours, such as labels, with values of these types."""
    return {"description": about, "type": ["object", "null"], "additionalProperties": {"type": list(kinds)}}


def kubernetes(about: str, kind: str = "object") -> Schema:
    """A part of a manifest as Kubernetes has it, which judges it itself."""
    return {"description": about, "type": [kind, "null"]} | ({"items": {"type": "object"}} if kind == "array" else {})
