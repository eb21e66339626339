"""Cron schedules as Kubernetes reads them: their grammar, and when the next run is. Knows no clock, starts nothing.

No library does this: the known ones read another grammar (7, L and #, but not @every) and treat the hours that clocks
skip or repeat differently. They would accept what Kubernetes refuses, and name other times than it keeps.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

YEARS = 5
"""How far ahead a next run is looked for, as in Kubernetes."""
_STEP = timedelta(minutes=1)
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)
_ZONE_PART = re.compile(r"[A-Za-z0-9._+][A-Za-z0-9._+-]{0,13}", re.ASCII)
_DURATION_PART = re.compile(r"([0-9]*\.?[0-9]*)([^0-9.]*)", re.ASCII)
_NANOSECONDS = {
    "ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9,
}  # fmt: skip
_LONGEST = 2**63 - 1
_MOST_DIGITS = len(str(_LONGEST))
_NAMED = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_EVERY = "@every "


class InvalidSchedule(ValueError):
    """Not a schedule, or not a time zone, that Kubernetes accepts. `problem` and `allowed` never repeat the text.

    `verbatim` is what Kubernetes' API server says, which does repeat it.
    """

    def __init__(self, problem: str, *, allowed: str, verbatim: str) -> None:
        super().__init__(f"{problem} (allowed: {allowed})")
        self.problem = problem
        self.allowed = allowed
        self.verbatim = verbatim


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """Five fields: the numbers that each allows."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]  # 0: Sunday
    both_days: bool  # a day has to be in `days` and in `weekdays`; else one of them is enough

    def next_after(self, moment: datetime, zone: ZoneInfo) -> datetime | None:
        """The first minute after `moment` (aware) that fits the clocks in `zone`, in UTC. None: not in `YEARS` years.

        A time in an hour that clocks skip is left out; a time in an hour that they repeat comes twice.
        """
        if not (self.minutes and self.hours):  # `,` is a list of nothing
            return None
        instant = moment.astimezone(UTC).replace(second=0, microsecond=0) + _STEP
        last = instant.astimezone(zone).year + YEARS
        while True:
            local = instant.astimezone(zone)
            if local.year > last:
                return None
            if local.month not in self.months:
                instant = _begins(date(local.year + local.month // 12, local.month % 12 + 1, 1), zone)
            elif not self._fits(local):
                instant = _begins(local.date() + timedelta(days=1), zone)
            elif local.hour not in self.hours:
                instant += (60 - local.minute) * _STEP
            elif local.minute not in self.minutes:
                instant += _STEP
            else:
                return instant

    def _fits(self, day: date) -> bool:
        found = (day.day in self.days, day.isoweekday() % 7 in self.weekdays)
        return all(found) if self.both_days else any(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """`@every`: always this long after the run before."""

    seconds: int

    def next_after(self, moment: datetime, zone: ZoneInfo) -> datetime | None:
        """`moment`'s whole second and the interval, in UTC; the clocks in `zone` do not matter."""
        return moment.astimezone(UTC).replace(microsecond=0) + timedelta(seconds=self.seconds)


Schedule = Calendar | Interval


def parse_schedule(text: str) -> Schedule:
    """Raises `InvalidSchedule`. A schedule may be well formed and never come: 31 February."""
    if "TZ" in text:
        verbatim = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
        raise InvalidSchedule("names a time zone", allowed="the field timeZone", verbatim=verbatim)
    if text.startswith("@"):
        return _descriptor(text)
    fields = text.split()
    if len(fields) != len(_FIELDS):
        problem = f"has {len(fields)} fields" if fields else "is empty"
        allowed = f"5 fields ({', '.join(field.name for field in _FIELDS)}), {_DESCRIPTORS}"
        found = f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]"
        raise InvalidSchedule(problem, allowed=allowed, verbatim=found if text else "empty spec string")
    parsed = [field.parse(part) for field, part in zip(_FIELDS, fields, strict=True)]
    minutes, hours, days, months, weekdays = (numbers for numbers, _ in parsed)
    both = parsed[2][1] or parsed[4][1]
    return Calendar(minutes=minutes, hours=hours, days=days, months=months, weekdays=weekdays, both_days=both)


def zone(name: str) -> ZoneInfo:
    """The time zone of an IANA name. Raises `InvalidSchedule`."""
    allowed = "an IANA name such as Europe/Berlin or Etc/UTC"
    if not name:
        verbatim = "timeZone must be nil or non-empty string"
        raise InvalidSchedule("is empty", allowed=allowed, verbatim=verbatim)
    if name.lower() == "local":
        verbatim = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        raise InvalidSchedule("depends on the machine", allowed=allowed, verbatim=verbatim)
    unknown = InvalidSchedule("is no known time zone", allowed=allowed, verbatim=f"unknown time zone {name}")
    if not all(_ZONE_PART.fullmatch(part) and part not in (".", "..") for part in name.split("/")):
        raise unknown
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:  # no such file; a file that is no time zone; a directory
        raise unknown from error


def _begins(day: date, zone: ZoneInfo) -> datetime:
    """The first instant of a day: midnight, or the moment at which clocks skip it."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Field:
    name: str
    lowest: int
    highest: int
    names: tuple[str, ...] = ()  # of the numbers from `lowest` on

    def parse(self, text: str) -> tuple[frozenset[int], bool]:
        """The numbers of a list of ranges, and whether one of these is a star (without a step)."""
        ranges = [self._range(item) for item in text.split(",") if item]
        return frozenset(number for numbers, _ in ranges for number in numbers), any(star for _, star in ranges)

    def _range(self, text: str) -> tuple[Iterable[int], bool]:
        span, *steps = text.split("/")
        first, *ends = span.split("-")
        star = first in ("*", "?")
        low, high = (self.lowest, self.highest) if star else self._ends(first, ends, text)
        if len(steps) > 1:
            raise self._wrong("has two steps", f"too many slashes: {text}")
        step = self._integer(steps[0]) if steps else 1
        if steps and not ends:
            high = self.highest
        self._check(low, high, step, text)
        return range(low, high + 1, step), star and step == 1

    def _ends(self, first: str, ends: list[str], text: str) -> tuple[int, int]:
        low = self._number(first)
        if len(ends) > 1:
            raise self._wrong("has a range with two hyphens", f"too many hyphens: {text}")
        return low, self._number(ends[0]) if ends else low

    def _check(self, low: int, high: int, step: int, text: str) -> None:
        if low < self.lowest:
            raise self._wrong("is too low", f"beginning of range ({low}) below minimum ({self.lowest}): {text}")
        if high > self.highest:
            raise self._wrong("is too high", f"end of range ({high}) above maximum ({self.highest}): {text}")
        if low > high:
            verbatim = f"beginning of range ({low}) beyond end of range ({high}): {text}"
            raise self._wrong("has a range that ends before it begins", verbatim)
        if step == 0:
            raise self._wrong("has a step of 0", f"step of range should be a positive number: {text}")

    def _number(self, text: str) -> int:
        named = text.lower()
        return self.lowest + self.names.index(named) if named in self.names else self._integer(text)

    def _integer(self, text: str) -> int:
        if not _INTEGER.fullmatch(text):
            verbatim = f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax'
            raise self._wrong("has something else where a number belongs", verbatim)
        if int(text) < 0:
            raise self._wrong("has a negative number", f"negative number ({int(text)}) not allowed: {text}")
        return int(text)

    def _wrong(self, what: str, verbatim: str) -> InvalidSchedule:
        named = f" or {self.names[0]}-{self.names[-1]}" if self.names else ""
        allowed = f"{self.lowest}-{self.highest}{named}, ranges, lists and steps of them, *"
        return InvalidSchedule(f"is wrong in its {self.name}, which {what}", allowed=allowed, verbatim=verbatim)


_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS = (
    _Field(name="minute", lowest=0, highest=59),
    _Field(name="hour", lowest=0, highest=23),
    _Field(name="day of month", lowest=1, highest=31),
    _Field(name="month", lowest=1, highest=12, names=_MONTHS),
    _Field(name="day of week", lowest=0, highest=6, names=_WEEKDAYS),
)
_DESCRIPTORS = f"{', '.join(_NAMED)}, or @every and a duration such as 1h30m"


def _descriptor(text: str) -> Schedule:
    if text in _NAMED:
        return parse_schedule(_NAMED[text])
    if not text.startswith(_EVERY):
        verbatim = f"unrecognized descriptor: {text}"
        raise InvalidSchedule("has an unknown name after its @", allowed=_DESCRIPTORS, verbatim=verbatim)
    try:
        seconds = _seconds(text.removeprefix(_EVERY))
    except ValueError as error:
        verbatim = f"failed to parse duration {text}: {error}"
        raise InvalidSchedule(
            "has no duration after @every", allowed="numbers with h, m, s, ms, us or ns: 1h30m", verbatim=verbatim
        ) from error
    return Interval(seconds=max(seconds, 1))


def _seconds(text: str) -> int:
    """The whole seconds of a duration as Go writes them. Raises `ValueError` with Go's words."""
    quoted = f'duration "{text}"'
    sign, rest = -1 if text.startswith("-") else 1, text[1:] if text[:1] in ("+", "-") else text
    if rest == "0":
        return 0
    total = Decimal(0)
    # The last match is always empty, which is an error only if there is no other.
    for number, unit in _DURATION_PART.findall(rest)[:-1] or [("", "")]:
        if number in ("", "."):
            raise ValueError(f"time: invalid {quoted}")
        if unit not in _NANOSECONDS:
            raise ValueError(f'time: unknown unit "{unit}" in {quoted}' if unit else f"time: missing unit in {quoted}")
        whole, _, fraction = number.partition(".")
        if len(whole.lstrip("0")) > _MOST_DIGITS:  # Before it is read: no number has a million digits.
            raise ValueError(f"time: invalid {quoted}")
        total += Decimal(f"{whole or 0}.{fraction[:_MOST_DIGITS]}") * _NANOSECONDS[unit]
    if total > _LONGEST:
        raise ValueError(f"time: invalid {quoted}")
    return sign * int(total // 10**9)
