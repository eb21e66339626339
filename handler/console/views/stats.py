"""What the requests of each service came to, by the day or by the hour."""

import time
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Annotated, Literal

from msgspec.structs import replace
from pydantic import Field

from events.phases import TERMINAL, Phase
from handler.console.backend import Backend
from handler.console.http.problems import Fault, Problem
from handler.console.views.asked import Asked, Time, require_order, seconds_of
from handler.console.views.models import Spread, Stats, Sum
from handler.history.base import Day
from handler.history.spreads import count_in, quantile
from handler.operations.records import moment
from handler.operations.stats import DAY, HOUR, summed
from k8s.informer.slices import in_slices

DAYS, HOURS = 30, 24
"""How far back it goes where nobody says otherwise, by step."""
DAYS_MOST, HOURS_MOST = 3660, 72
"""Of a question, by step: an hour has a row for each service and phase."""
_HELD = 0.005
_PHASES = (Phase.CREATED, Phase.REJECTED, Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED)
_SUMMED = (*map(str, _PHASES), "wait", "run", "cpu")
_summed = attrgetter(*_SUMMED)


class StatsQuery(Asked):
    """Which sums."""

    service: str | None = Field(default=None, max_length=256)
    step: Literal["day", "hour"] = Field(
        default="day", description="By the day in UTC, or by the hour without percentiles."
    )
    since: Time | None = Field(
        default=None, description="From the day or hour of this time on; by default 30 days, 24 hours."
    )
    until: Time | None = Field(default=None, description="Up to the day or hour of this time.")
    limit: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=200, description="Sums at most, the newest; and services."
    )


async def stats_view(backend: Backend, query: StatsQuery, *, now: float | None = None) -> Stats:
    """Sums of the days or hours in this time. Raises `StoreUnavailable`, and `Problem` for too long a time."""
    now = time.time() if now is None else now
    length, usual = (DAY, DAYS * DAY) if query.step == "day" else (HOUR, HOURS * HOUR)
    since, given = seconds_of(query.since, now=now), seconds_of(query.until, now=now)
    until = now if given is None else given
    require_order(since, until)
    begin = (until - usual if since is None else since) // length * length
    _require_length(query.step, until - begin)
    read = _days if query.step == "day" else _hours
    sums = await read(backend, begin, until, query.service or None)
    by_service, by_step = _Joined(), _Joined()
    async for each in in_slices(sums, held=_HELD):
        by_service.add(each.service, each)
        by_step.add(each.day, each)
    services = sorted(by_service.sums(), key=lambda each: (-each.created, each.service))
    steps = [replace(each, service="") for each in by_step.sums()]
    return Stats(
        since=moment(begin) or "",
        until=moment(until) or "",
        step=query.step,
        sums=[_sum(each) for each in sums[: query.limit]],
        services=[_sum(each) for each in services[: query.limit]],
        steps=[_sum(each) for each in steps],
        totals={str(phase): sum(getattr(each, phase) for each in steps) for phase in _PHASES},
        more=len(sums) > query.limit or len(services) > query.limit,
    )


async def _days(backend: Backend, begin: float, until: float, service: str | None) -> Sequence[Day]:
    return await backend.reader.days(newer=begin, older=until, service=service)


async def _hours(backend: Backend, begin: float, until: float, service: str | None) -> Sequence[Day]:
    """Hours, as if each were a day: their seconds are not known to be spread in any way."""
    stats = await backend.reader.stats(newer=begin, older=until)
    chosen = (stat for stat in stats if service in (None, stat.service))
    return [
        replace(
            Day(day=hour, service=name, wait=sums.wait, run=sums.run, cpu=sums.cpu),
            **{str(phase): sums.counts[phase] for phase in _PHASES},
        )
        for (hour, name), sums in sorted(summed(chosen, HOUR).items(), key=lambda item: (-item[0][0], item[0][1]))
    ]


class _Joined:
    """Sums by a key, in the order in which the keys came."""

    def __init__(self) -> None:
        self._first: dict[object, Day] = {}
        self._sums: dict[object, list[float]] = {}
        self._spreads: dict[object, tuple[dict[int, int], dict[int, int]]] = {}

    def add(self, key: object, day: Day) -> None:
        if key not in self._first:
            self._first[key], self._sums[key], self._spreads[key] = day, [0] * len(_SUMMED), ({}, {})
        sums, (waits, runs) = self._sums[key], self._spreads[key]
        for place, value in enumerate(_summed(day)):
            sums[place] += value
        count_in(waits, day.waits)
        count_in(runs, day.runs)

    def sums(self) -> list[Day]:
        """Each with the day and the service of the first one of its key."""
        return [
            replace(day, **dict(zip(_SUMMED, self._sums[key], strict=True)), waits=waits, runs=runs)
            for key, day in self._first.items()
            for waits, runs in (self._spreads[key],)
        ]


def _sum(day: Day) -> Sum:
    ended = sum(getattr(day, phase) for phase in TERMINAL)
    return Sum(
        since=moment(day.day) or "",
        service=day.service,
        **{str(phase): getattr(day, phase) for phase in _PHASES},
        failed_share=day.failed / ended if ended else None,
        wait=_spread(day.wait, ended, day.waits),
        run=_spread(day.run, ended, day.runs),
        cpu_hours=day.cpu / HOUR,
    )


def _spread(total: float, count: int, spread: Mapping[int, int]) -> Spread:
    mean = total / count if count else None
    return Spread(mean=mean, p50=quantile(spread, 0.5), p95=quantile(spread, 0.95))


def _require_length(step: str, seconds: float) -> None:
    """Raises `Problem`."""
    most = DAYS_MOST * DAY if step == "day" else HOURS_MOST * HOUR + HOUR
    if seconds > most:
        allowed = f"{DAYS_MOST} days" if step == "day" else f"{HOURS_MOST} hours"
        wrong = Fault(path="since", message=f"is too long ago for sums by the {step}", allowed=allowed)
        raise Problem(400, "INVALID_PARAMETERS", "That is too long a time.", errors=[wrong])
