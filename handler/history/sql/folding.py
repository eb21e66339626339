"""What a batch comes to: every row once, as its last event leaves it. Pure.

PostgreSQL changes no row twice in one statement, and a database that is asked row by row takes many times as long.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from handler.history.base import Entry, PodRun, Request, Stat
from handler.history.rows import advance, spans_of, stat_of
from handler.history.sql.columns import CHANGING, pod_row, request_row, stat_row, tag_rows
from handler.history.sql.days import Days
from handler.history.sql.packing import pack_event
from handler.history.sql.values import digest, indexed


class Known(msgspec.Struct, frozen=True):
    """A request as it is stored. `tags` as they are stored, too."""

    request: Request
    tags: tuple[str, ...] = ()


class Folding:
    """Takes entries in their order. `known`: the stored requests among theirs, by digest of their key.

    `request`, `event`: the last numbers given so far; they go on here.
    """

    def __init__(self, known: Mapping[bytes, Known], *, request: int, event: int) -> None:
        self._known = known
        self._now: dict[bytes, Known] = {}
        self._pods: dict[str, dict[str, Any]] = {}
        self._stats: dict[tuple[int, str, str], dict[str, Any]] = {}
        self.days = Days()
        self.events: list[dict[str, Any]] = []
        self.last_request = request
        self.last_event = event

    def add(self, entry: Entry, name: str) -> None:
        """An entry whose id, stored as `name`, is new."""
        key = digest(entry.key)
        before = self._now.get(key) or self._known.get(key)
        after = advance(before.request if before else None, entry)
        if stat := stat_of(after, entry):
            self._count(stat)
            self.days.add(stat, *spans_of(after, entry))
        pk = self._keep(key, after, before, entry.tags)
        self.last_event += 1
        self.events.append(
            {
                "position": self.last_event,
                "id": name,
                "request": pk,
                "time": entry.time,
                "phase": entry.phase.value,
                "body": pack_event(entry.body),
            }
        )
        if entry.pod is not None:
            self.add_pod(pk, entry.pod)

    def ensure(self, request: Request) -> int:
        """Number of the request, which gets a row if it has none."""
        key = digest(request.key)
        before = self._now.get(key) or self._known.get(key)
        return before.request.pk if before else self._keep(key, request, None, None)

    def add_pod(self, request: int, pod: PodRun) -> None:
        row = pod_row(pod, request)
        said = {name: value for name, value in row.items() if value is not None}
        self._pods[row["uid"]] = {**row, **self._pods.get(row["uid"], {}), **said}

    def made(self) -> Iterator[dict[str, Any]]:
        """Rows of new requests."""
        return (request_row(now.request, now.tags) for key, now in self._now.items() if key not in self._known)

    def changed(self) -> Iterator[dict[str, Any]]:
        """Rows of requests that were there, for `UPDATE_REQUEST`."""
        return (_changes(now) for key, now in self._now.items() if key in self._known)

    def pods(self) -> Iterable[dict[str, Any]]:
        return self._pods.values()

    def stats(self) -> Iterable[dict[str, Any]]:
        return self._stats.values()

    def tags(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Rows of the index of tags that go, and those that come."""
        gone, come = [], []
        for key, now in self._now.items():
            before = self._known.get(key)
            old = _tag_rows(before) if before else []
            new = _tag_rows(now)
            if old != new:
                gone += old
                come += new
        return gone, come

    def _keep(self, key: bytes, after: Request, before: Known | None, tags: tuple[str, ...] | None) -> int:
        if before is None:
            self.last_request += 1
        pk = before.request.pk if before else self.last_request
        said = (before.tags if before else ()) if tags is None else tuple(dict.fromkeys(map(indexed, tags)))
        self._now[key] = Known(msgspec.structs.replace(after, pk=pk), said)
        return pk

    def _count(self, stat: Stat) -> None:
        row = stat_row(stat)
        sums = self._stats.setdefault(
            (row["hour"], row["service"], row["phase"]), {**row, "n": 0, "wait": 0.0, "run": 0.0, "cpu": 0.0}
        )
        for name in ("n", "wait", "run", "cpu"):
            sums[name] += row[name]


def _changes(known: Known) -> dict[str, Any]:
    row = request_row(known.request, known.tags)
    return {"number": known.request.pk} | {name: row[name] for name in CHANGING}


def _tag_rows(known: Known) -> list[dict[str, Any]]:
    request = known.request
    return tag_rows(request.pk, request.phase.value, request.updated, known.tags)
