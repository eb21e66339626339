"""What a dead letter says about itself, and which dead letters a command chooses. Reads no broker."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

from adapters.base import Record
from adapters.headers import reason_of, replays
from events.cloudevent.event import InvalidEvent

STAMP = "jobrelay-"
"""Prefix of the headers that jobrelay adds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which dead letters are chosen: those that meet every condition. `codes` and `types` are shell patterns."""

    numbers: frozenset[int] = frozenset()
    codes: Sequence[str] = ()
    types: Sequence[str] = ()
    older: timedelta | None = None
    newer: timedelta | None = None

    @property
    def chooses(self) -> bool:
        """Whether there is any condition."""
        return bool(self.numbers or self.codes or self.types) or self.older is not None or self.newer is not None

    def fits(self, record: Record, now: datetime) -> bool:
        """Whether this dead letter is chosen."""
        if not self._is_in_time(record.sequence, now - record.time):
            return False
        if not (self.codes or self.types):
            return True
        found = summary(record)
        return self._matches(found["code"], found["type"])

    def fits_known(self, number: int, age: timedelta, *, code: str, kind: str | None) -> bool:
        """Whether a dead letter is chosen of which just this is known. `kind`: its event's type."""
        return self._is_in_time(number, age) and self._matches(code, kind)

    def _is_in_time(self, number: int, age: timedelta) -> bool:
        if self.numbers and number not in self.numbers:
            return False
        return (self.older is None or age > self.older) and (self.newer is None or age < self.newer)

    def _matches(self, code: str, kind: str | None) -> bool:
        return _matches_any(self.codes, code) and _matches_any(self.types, kind)


def _matches_any(patterns: Sequence[str], value: str | None) -> bool:
    return not patterns or any(fnmatchcase(value or "", pattern) for pattern in patterns)


def summary(record: Record) -> dict[str, Any]:
    """What a dead letter says about itself; id, source and type are None where its bytes do not name them."""
    stamps = {name.lower().removeprefix(STAMP): value for name, value in record.headers.items()}
    return {
        "number": record.sequence,
        "time": record.time.astimezone(UTC).isoformat(timespec="seconds"),
        "topic": record.topic.key,
        "code": stamps.get("code", ""),
        "reason": reason_of(record.headers),
        "origin": stamps.get("origin", ""),
        "attempts": stamps.get("attempts", ""),
        "replays": replays(record.headers),
        **_attributes(record),
    }


def _attributes(record: Record) -> Mapping[str, str | None]:
    try:
        event = record.event()
    except InvalidEvent as error:
        return {name: error.attributes.get(name) for name in ("id", "source", "type")}
    return {"id": event.get_id(), "source": event.get_source(), "type": event.get_type()}


def body_of(body: bytes) -> dict[str, str]:
    """The bytes as `body` if they are text, else as `body_base64`."""
    try:
        return {"body": body.decode()}
    except UnicodeDecodeError:
        return {"body_base64": base64.b64encode(body).decode()}
