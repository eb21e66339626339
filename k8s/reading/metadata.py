"""The metadata of objects on the wire, and how its values are read."""

import sys
from datetime import datetime
from functools import lru_cache

from msgspec import Struct

from events.jobs.annotation import MAX_STORED
from events.jobs.observed import Condition
from events.names import Annotation
from events.problems import brief

MAX_WORD = 256
"""Characters of a reason."""
MAX_NOTE = 16_384
"""Characters of an annotation of ours. Longer ones, which we would not write, count as absent."""
MAX_DIGITS = 18
"""Digits of a number in an annotation."""
MAX_CONDITIONS = 16
"""How many conditions of an object are looked at."""
# It names a hundred other requests.
_LONGER = {Annotation.DEPENDENCIES: MAX_STORED}


class Wire(Struct, gc=False, rename="camel"):
    """Base of what is decoded. Unknown fields are skipped without building them."""


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


class WireCondition(Wire):
    type: str
    status: str
    reason: str = ""
    message: str = ""
    last_transition_time: datetime | None = None


def notes_of(meta: Metadata) -> dict[str, str]:
    """Its annotations, of which anybody may write 256 KiB, as far as we would have written them."""
    found = meta.annotations or {}
    return {
        name: text for name, text in found.items() if len(text) <= MAX_NOTE or len(text) <= _LONGER.get(name, MAX_NOTE)
    }


def condition(wire: WireCondition) -> Condition:
    return Condition(
        type=shared(wire.type) or "",
        status=wire.status == "True",
        reason=word(wire.reason) or "",
        message=said(wire.message) or "",
        at=epoch(wire.last_transition_time) or 0.0,
    )


def number(version: str) -> int:
    """A resourceVersion as a number, 0 if it is none. Numbers grow, over all resources of a server."""
    return int(version) if version.isascii() and version.isdigit() else 0


def epoch(time: datetime | None) -> float | None:
    """In epoch seconds. Equal ones are the same object."""
    return _moment(time.timestamp()) if time else None


# Kubernetes counts in whole seconds, and in each of them much begins and ends.
@lru_cache(maxsize=1024)
def _moment(seconds: float) -> float:
    return seconds


def integer(text: str | None) -> int | None:
    """Anybody may write annotations: what is not a plain number counts as absent. Equal ones are the same object."""
    if text is None or len(text) > MAX_DIGITS or not text.isascii() or not text.isdigit():
        return None
    return _number(text)


# A few timeouts and TTLs stand on thousands of Jobs.
@lru_cache(maxsize=1024)
def _number(digits: str) -> int:
    return int(digits)


def shared(text: str | None) -> str | None:
    """Equal strings as a single object: thousands of Jobs share a few values."""
    return sys.intern(text) if text is not None else None


def word(text: str | None) -> str | None:
    """A reason, by its rules one word in CamelCase; None if it is empty. Like `shared`, and cut to `MAX_WORD`."""
    return sys.intern(text[:MAX_WORD]) if text else None


def said(text: str | None) -> str | None:
    """A sentence for people, with as much of it as is ever repeated; None if it is empty."""
    return brief(text) if text else None
