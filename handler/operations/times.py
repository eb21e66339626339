"""Times as people write them: how long ago, a day, or RFC 3339."""

import re
from datetime import datetime, timedelta

from events.cloudevent.timestamp import EXAMPLE, parse_time

_DURATION = re.compile(r"\d{1,6}|(\d{1,6}[smhd])+", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def read_duration(text: str) -> timedelta:
    """Read `90` (seconds), `90s`, `15m`, `1h30m` or `7d`. Raises `ValueError`, in words that follow "is"."""
    if not _DURATION.fullmatch(text):
        raise ValueError("no duration: seconds, or 90s, 15m, 1h30m, 7d")
    parts = re.findall(r"(\d+)([smhd]?)", text)
    return timedelta(seconds=sum(int(number) * _SECONDS[unit or "s"] for number, unit in parts))


def is_ago(text: str) -> bool:
    """Whether it says how long ago it was: another point in time whenever it is read."""
    return _DURATION.fullmatch(text) is not None


def read_moment(text: str, *, now: datetime) -> datetime:
    """Read a time: RFC 3339, a day in UTC, or how long before `now` it was. Raises `ValueError`, as `read_duration`."""
    try:
        if is_ago(text):
            return now - read_duration(text)
        return parse_time(f"{text}T00:00:00Z" if _DAY.fullmatch(text) else text)
    except (ValueError, OverflowError):
        raise ValueError(f"no time: 90s, 15m, 1h30m or 7d ago, a day such as 2026-01-31, or {EXAMPLE}") from None
