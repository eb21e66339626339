"""JSON in annotations, where anybody may have changed it. What it means is defined where it is written."""

from typing import TypeVar

import msgspec

T = TypeVar("T")
MAX_STORED = 131_072
"""Characters of an annotation that are read: more than we ever write into one."""


def read_stored(annotation: str | None, kind: type[T]) -> T | None:
    """The value as this type; None if it is absent, too long, or if somebody has made it unreadable."""
    if annotation is None or len(annotation) > MAX_STORED:
        return None
    try:
        return msgspec.json.decode(annotation, type=kind)
    except (msgspec.DecodeError, RecursionError):
        return None
