"""When the runs of a CronJob are due, and the clock by which. Starts nothing and looks at no objects."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from events.cron import Schedule

MINUTE = 60.0
MANY = 100
"""Missed runs of which more are worth an Event."""
_LONG = 10**9  # seconds before anything that is here
_LATER = timedelta(milliseconds=100)  # so that a look is never just before the time it is for


class NeverDue(Exception):
    """The schedule names times that do not come, or hardly ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """Real time; for tests one that runs faster since `origin`, so that a minute of it passes in `minute` seconds."""

    origin: float  # seconds since 1970
    minute: float = MINUTE

    def now(self) -> datetime:
        return self.read(time.time())

    def read(self, moment: float) -> datetime:
        """What it showed at a real moment, seconds since 1970."""
        shown = moment if self.minute == MINUTE else self.origin + (moment - self.origin) * MINUTE / self.minute
        return datetime.fromtimestamp(shown, UTC)

    def wait(self, until: datetime) -> float:
        """Real seconds until it surely shows `until`."""
        return max((until + _LATER - self.now()).total_seconds() * self.minute / MINUTE, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timetable:
    """The times that a schedule names by the clocks of a zone, after `since`: the last run, else the creation."""

    schedule: Schedule
    zone: ZoneInfo
    since: datetime

    def latest(self, now: datetime, *, within: int | None = None) -> tuple[datetime | None, int]:
        """The last time that has come by `now`, and about how many have. Raises `NeverDue`.

        `within`: seconds after which one is too late to be told. Reckoned as Kubernetes does, from the distance of the
        first two: where distances differ the number is a guess, and no time may be found although some have come.
        """
        since = self.since
        if within is not None:
            since = max(since, now - timedelta(seconds=min(within, _LONG)))
        first = self._after(since)
        if first is not None and first > now:
            return None, 0
        second = None if first is None else self._after(first)
        if first is None or second is None:
            raise NeverDue("time difference between two schedules is less than 1 second")
        if second > now:
            return first, 1
        between = second - first
        count = (now - first) // between + 1
        found, following = None, self._after(first + (count - 2) * between)
        while following is not None and following <= now:
            found, following = following, self._after(following)
        return found, count

    def upcoming(self, now: datetime) -> datetime:
        """The first time that is still to come. Raises `NeverDue`."""
        found, count = self.latest(now)
        following = self._after(found or (now if count else self.since))
        if following is None:
            raise NeverDue("there is no further time")
        return following

    def _after(self, moment: datetime) -> datetime | None:
        return self.schedule.next_after(moment, self.zone)
