"""The recent changes of a kind, for watches and consistent pages. Bounded: older versions are 410 Gone."""

import time
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

Key = tuple[str, str]


@dataclass(slots=True, eq=False)
class Version:
    """A version of an object. It is serialized once, for everybody who sends it."""

    data: bytes
    key: Key
    number: int
    labels: dict[str, str]
    fields: dict[str, str]
    parsed: dict[str, Any] | None = None

    @property
    def obj(self) -> dict[str, Any]:
        """READ-ONLY: all callers share this dict."""
        if self.parsed is None:
            self.parsed = orjson.loads(self.data)
        return self.parsed

    def copy(self) -> dict[str, Any]:
        copied: dict[str, Any] = orjson.loads(self.data)
        return copied


@dataclass(slots=True, eq=False)
class Change:
    """ADDED, MODIFIED or DELETED. For DELETED, `new` is the last state, with the version of the deletion."""

    number: int
    type: str
    new: Version
    old: Version | None
    at: float = field(default_factory=time.monotonic)

    @property
    def line(self) -> bytes:
        """The watch event, around the object that was serialized when it was stored."""
        return event_line(self.type, self.new.data)


def event_line(kind: str, data: bytes) -> bytes:
    return b'{"type":"%s","object":%s}\n' % (kind.encode(), data)


class History:
    """Changes in order of their versions: the last `limit`, or some more. `compact` drops what is over `max_age`."""

    def __init__(self, *, floor: int, limit: int, max_age: float) -> None:
        self.floor = floor  # Everything after this version is still known.
        self._limit = limit
        self._max_age = max_age
        self._changes: list[Change] = []
        self._numbers: list[int] = []

    def append(self, change: Change) -> None:
        self._changes.append(change)
        self._numbers.append(change.number)
        # In chunks: each time, dropping from the front of a list takes time in proportion to its length.
        if len(self._changes) > self._limit + max(self._limit // 4, 1):
            self._drop(len(self._changes) - self._limit)

    def compact(self) -> None:
        """Forget what is too old. To be called from time to time; reading does not need it."""
        horizon = time.monotonic() - self._max_age
        count = 0
        for change in self._changes:
            if change.at >= horizon:
                break
            count += 1
        if count:
            self._drop(count)

    def after(self, number: int) -> Iterator[Change]:
        """The changes after version `number`, oldest first. `number` must not be below the floor."""
        start = bisect_right(self._numbers, number)
        return iter(self._changes[start:])

    def _drop(self, count: int) -> None:
        self.floor = self._numbers[count - 1]
        del self._changes[:count]
        del self._numbers[:count]
