"""What the metadata of all our objects looks like on the wire, and how values in it are read. Judges nothing."""

import sys
from datetime import datetime

from msgspec import Struct


class Wire(Struct, gc=False, rename="camel"):
    """Base of the shapes on the wire. Unknown fields are skipped without being built."""


class Metadata(Wire):
    name: str
    uid: str = ""
    namespace: str = ""
    resource_version: str = ""
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    finalizers: list[str] | None = None


def epoch(time: datetime | None) -> float | None:
    return time.timestamp() if time else None


def integer(text: str | None) -> int | None:
    """Annotations are anybody's to write: what is no plain number counts as absent."""
    if text is None or len(text) > 18 or not text.isascii() or not text.isdigit():
        return None
    return int(text)


def shared(text: str | None) -> str | None:
    """One string for all equal ones: a few values stand on thousands of Jobs."""
    return sys.intern(text) if text is not None else None
