"""JSON that stands in annotations, where anybody may have changed it. What it means is for whoever wrote it to say."""

from typing import TypeVar

import msgspec

T = TypeVar("T")


def read_stored(annotation: str | None, kind: type[T]) -> T | None:
    """A value of this type; None where there is none, or somebody has made it unreadable."""
    if annotation is None:
        return None
    try:
        return msgspec.json.decode(annotation, type=kind)
    except msgspec.DecodeError:
        return None
