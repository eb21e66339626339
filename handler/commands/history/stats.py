"""`jobrelay history stats`: what the requests of each service came to, from sums that are kept by the hour."""

import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.text import Text

from events.phases import TERMINAL, Phase
from handler.commands.errors import OK
from handler.commands.history.documents import moment
from handler.commands.history.opening import opened
from handler.commands.showing.output import Pages, duration, say, write
from handler.history.base import Reader, Stat
from handler.settings.settings import Settings

HOUR, DAY = 3600, 86400
_DAYS = 7
_LONGEST = 3660
"""Days. Nothing is kept for longer."""
_ENDS = (Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED)
_COLUMNS = (
    *("SINCE", "SERVICE", "CREATED", "REJECTED", "SUCCEEDED", "FAILED", "CANCELLED"),
    *("FAILED %", "WAIT", "RUN", "CPU HOURS"),
)


@dataclass(slots=True)
class Sums:
    """What the requests of a service came to in a stretch of time. Seconds of all that ended."""

    counts: Counter[Phase] = field(default_factory=Counter)
    wait: float = 0.0
    run: float = 0.0
    cpu: float = 0.0

    def add(self, stat: Stat) -> None:
        """Count these in."""
        self.counts[stat.phase] += stat.n
        self.wait += stat.wait
        self.run += stat.run
        self.cpu += stat.cpu

    @property
    def ended(self) -> int:
        """How many ended, whatever way."""
        return sum(self.counts[phase] for phase in TERMINAL)

    @property
    def failed(self) -> float | None:
        """The share of those that ended that failed, from 0 to 1; None if none ended."""
        return self._mean(self.counts[Phase.FAILED])

    @property
    def mean_wait(self) -> float | None:
        """Seconds from created to started."""
        return self._mean(self.wait)

    @property
    def mean_run(self) -> float | None:
        """Seconds from started to finished."""
        return self._mean(self.run)

    def _mean(self, total: float) -> float | None:
        return total / self.ended if self.ended else None


async def history_stats(
    settings: Settings, *, service: str | None, newer: float | None, older: float | None, hourly: bool, form: str
) -> int:
    """Print the sums of each service by the day, or by the hour, the oldest first.

    A day is read at a time. `newer` None: 7 days ago.
    """
    now = time.time()
    until = now if older is None else min(older, now + DAY)
    since = until - _DAYS * DAY if newer is None else max(newer, now - _LONGEST * DAY)
    shown = _Shown(form, HOUR if hourly else DAY)
    async with opened(settings) as store:
        async for stats in by_day(store, since, until):
            shown.add(stat for stat in stats if service in (None, stat.service))
    shown.end()
    return OK


async def by_day(store: Reader, since: float, until: float) -> AsyncIterator[Sequence[Stat]]:
    """The sums of each day in UTC that has any, from the hour of `since` on; the last one to the end of its hour.

    Days without any are crossed in leaps that double.
    """
    begin, leap = since // HOUR * HOUR, 1
    while begin <= until:
        end = min((begin // DAY + leap) * DAY, until // HOUR * HOUR + HOUR)
        found = await store.stats(newer=begin, older=end)
        if not found:
            begin, leap = end, 2 * leap
        elif leap > 1:
            leap = 1
        else:
            yield found
            begin = end


def summed(stats: Iterable[Stat], length: int) -> Mapping[tuple[int, str], Sums]:
    """By the beginning of each stretch of `length` seconds and service, in this order."""
    found: defaultdict[tuple[int, str], Sums] = defaultdict(Sums)
    for stat in stats:
        found[stat.hour // length * length, stat.service].add(stat)
    return dict(sorted(found.items()))


class _Shown:
    def __init__(self, form: str, length: int) -> None:
        self._form = form
        self._length = length
        self._table = Pages(_COLUMNS)
        self._any = False

    def add(self, stats: Iterable[Stat]) -> None:
        found = summed(stats, self._length)
        if not found:
            return
        self._any = True
        if self._form == "table":
            self._table.add(_row(since, service, sums) for (since, service), sums in found.items())
        else:
            for (since, service), sums in found.items():
                write(self._form, _document(since, self._length, service, sums))

    def end(self) -> None:
        if self._any:
            return
        if self._form == "table":
            self._table.add([])
        say("no requests in this time")


def _row(since: int, service: str, sums: Sums) -> list[str | Text]:
    counts = sums.counts
    return [
        moment(since) or "",
        service,
        *(str(counts[phase]) for phase in (Phase.CREATED, Phase.REJECTED, *_ENDS)),
        "" if sums.failed is None else f"{100 * sums.failed:.1f}",
        duration(sums.mean_wait),
        duration(sums.mean_run),
        f"{sums.cpu / HOUR:.2f}",
    ]


def _document(since: int, length: int, service: str, sums: Sums) -> dict[str, Any]:
    return {
        "kind": "stats",
        "since": moment(since),
        "seconds": length,
        "service": service,
        **{str(phase): sums.counts[phase] for phase in (Phase.CREATED, Phase.REJECTED, *_ENDS)},
        "failedShare": sums.failed,
        "meanWait": sums.mean_wait,
        "meanRun": sums.mean_run,
        "cpuHours": sums.cpu / HOUR,
    }
