"""Sums by the day and service: what a batch adds to those that are stored. Pure."""

from collections.abc import Iterable, Iterator
from typing import Any

from msgspec.structs import replace
from sqlalchemy import Row

from handler.history.base import Day, Stat
from handler.history.spreads import added, bucket_of
from handler.history.sql.columns import day_of, day_row
from handler.history.sql.values import indexed

DAY = 86_400


class _Sums:
    """Of a day and a service, in the making."""

    __slots__ = ("counts", "cpu", "run", "runs", "wait", "waits")

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.wait = self.run = self.cpu = 0.0
        self.waits: dict[int, int] = {}
        self.runs: dict[int, int] = {}


class Days:
    """Takes what new events add to the statistics."""

    def __init__(self) -> None:
        self._sums: dict[tuple[int, str], _Sums] = {}

    def add(self, stat: Stat, wait: float | None, run: float | None) -> None:
        """`wait`, `run`: seconds that a request waited and ran, where they are known."""
        key = stat.hour // DAY * DAY, indexed(stat.service)
        sums = self._sums.get(key)
        if sums is None:
            sums = self._sums[key] = _Sums()
        sums.counts[stat.phase] = sums.counts.get(stat.phase, 0) + stat.n
        sums.wait += stat.wait
        sums.run += stat.run
        sums.cpu += stat.cpu
        if wait is not None:
            _count(sums.waits, wait)
        if run is not None:
            _count(sums.runs, run)

    def __bool__(self) -> bool:
        return bool(self._sums)

    def asked(self) -> dict[str, Any]:
        """What `statements.known_days` takes, to find those that are stored."""
        return {name: list({key[place] for key in self._sums}) for place, name in enumerate(("days", "services"))}

    def rows(self, stored: Iterable[Row[Any]]) -> Iterator[dict[str, Any]]:
        """What is stored and these together. `stored`: others than these are left out."""
        known = {(row.day, row.service): row for row in stored}
        for (day, service), sums in self._sums.items():
            row = known.get((day, service))
            yield day_row(_plus(Day(day=day, service=service) if row is None else day_of(row), sums))


def _count(spread: dict[int, int], seconds: float) -> None:
    bucket = bucket_of(seconds)
    spread[bucket] = spread.get(bucket, 0) + 1


def _plus(day: Day, sums: _Sums) -> Day:
    return replace(
        day,
        **{phase: getattr(day, phase) + count for phase, count in sums.counts.items()},
        wait=day.wait + sums.wait,
        run=day.run + sums.run,
        cpu=day.cpu + sums.cpu,
        waits=added(day.waits, sums.waits),
        runs=added(day.runs, sums.runs),
    )
