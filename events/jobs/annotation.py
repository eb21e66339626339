"""JSON in annotations, where anybody may have changed it. What it means is defined where it is written."""

from typing import TypeVar

import msgspec

T = TypeVar("T")


def read_stored(annotation: str | None, kind: type[T]) -> T | None:
    """The value as this type; None if it is absent, or if somebody has made it unreadable."""
    if annotation is None:
        return None
    try:
        return msgspec.json.decode(annotation, type=kind)
    except (msgspec.DecodeError, RecursionError):
        return None
