"""Turns what was read from the cluster into plain documents: names in camelCase, times in RFC 3339."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import orjson

_TIMES = frozenset(
    {
        *("created", "deleted", "killed", "start_time", "completion_time", "started", "finished", "at"),
        *("scheduled_at", "last_schedule_time"),
    }
)
_NAMES = {"has_finalizer": "held"}
"""The fields that are shown under another name."""
_DOCUMENTS = frozenset({"context", "tags", "metadata", "runs"})


def facts_of(struct: msgspec.Struct, *, without: Sequence[str] = ()) -> dict[str, Any]:
    """All fields of a struct but those named in `without`."""
    return {
        _NAMES.get(name) or _camel(name): _fact(name, getattr(struct, name))
        for name in struct.__struct_fields__
        if name not in without
    }


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)


def _fact(name: str, value: Any) -> Any:
    if name in _TIMES and isinstance(value, float):
        return datetime.fromtimestamp(value, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    if name in _DOCUMENTS and isinstance(value, str):
        return _json(value)
    if isinstance(value, msgspec.Struct):
        return facts_of(value)
    if isinstance(value, tuple):
        return [facts_of(item) for item in value]
    return value


def _json(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
