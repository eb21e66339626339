"""`jobrelay history stats`: what the requests of each service came to, from sums that are kept by the hour."""

import time
from collections.abc import Iterable
from typing import Any

from rich.text import Text

from events.phases import Phase
from handler.commands.errors import OK
from handler.commands.history.opening import opened
from handler.commands.showing.output import say, write
from handler.commands.showing.tables import Pages
from handler.history.base import Stat
from handler.operations.records import moment
from handler.operations.stats import DAY, HOUR, Sums, by_day, summed
from handler.operations.wording import duration
from handler.settings.settings import Settings

_DAYS = 7
_LONGEST = 3660
"""Days. Nothing is kept for longer."""
_ENDS = (Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED)
_COLUMNS = (
    *("SINCE", "SERVICE", "CREATED", "REJECTED", "SUCCEEDED", "FAILED", "CANCELLED"),
    *("FAILED %", "WAIT", "RUN", "CPU HOURS"),
)


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
