"""When runs of a CronJob are due, and the clock for that. Creates no Jobs."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from events.cron import Schedule

MINUTE = 60.0
MANY = 100
"""More missed runs than this are worth an Event."""
_LONG = 10**9  # Seconds: longer ago than any object.
_LATER = timedelta(milliseconds=100)  # So that a CronJob is never reconciled just before it is due.


class NeverDue(Exception):
    """The schedule has no times, or none that can be found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """Real time. For tests, it runs faster since `origin`: one of its minutes takes `minute` seconds."""

    origin: float  # Seconds since 1970.
    minute: float = MINUTE

    def now(self) -> datetime:
        return self.read(time.time())

    def read(self, moment: float) -> datetime:
        """The time that it shows at a real moment, both in seconds since 1970."""
        shown = moment if self.minute == MINUTE else self.origin + (moment - self.origin) * MINUTE / self.minute
        return datetime.fromtimestamp(shown, UTC)

    def wait(self, until: datetime) -> float:
        """Real seconds until it certainly shows `until`."""
        return max((until + _LATER - self.now()).total_seconds() * self.minute / MINUTE, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timetable:
    """The times of a schedule in a time zone, after `since`: the last run, or the creation if there was none."""

    schedule: Schedule
    zone: ZoneInfo
    since: datetime

    def latest(self, now: datetime, *, within: int | None = None) -> tuple[datetime | None, int]:
        """The last time up to `now`, and about how many there were. Raises `NeverDue`.

        `within`: seconds after which a time is too late to count. Like Kubernetes, this reckons from the distance of
        the first two times: where distances differ, the number is a guess, and times that there are may not be found.
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
        """The next time. Raises `NeverDue`."""
        found, count = self.latest(now)
        following = self._after(found or (now if count else self.since))
        if following is None:
            raise NeverDue("there is no further time")
        return following

    def _after(self, moment: datetime) -> datetime | None:
        return self.schedule.next_after(moment, self.zone)
