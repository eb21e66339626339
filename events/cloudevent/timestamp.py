"""RFC 3339 timestamps, as CloudEvents and Kubernetes write them. No clock: nothing here asks what time it is."""

import re
from datetime import UTC, datetime

_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d):(\d\d)(?:\.(\d+))?([Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)",
    re.ASCII,
)


def parse_time(text: str) -> datetime:
    """An aware datetime. Digits beyond microseconds are cut, a leap second counts as the second before it.

    Raises `ValueError` for everything that RFC 3339 does not allow (ISO 8601 allows much more).
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError("not an RFC 3339 timestamp such as 2026-01-31T12:00:00Z")
    date, minute, second, fraction, offset = match.groups()
    second = "59" if second == "60" else second
    micros = (fraction or "0")[:6].ljust(6, "0")
    zone = "+00:00" if offset in "Zz" else offset
    return datetime.fromisoformat(f"{date}T{minute}:{second}.{micros}{zone}")


def format_time(moment: datetime) -> str:
    """RFC 3339 of an aware datetime, with Z for UTC and as many digits as it has."""
    return moment.isoformat().replace("+00:00", "Z")


def from_epoch(seconds: float) -> datetime:
    """A time in epoch seconds, cut to the whole second: Kubernetes' own timestamps hold no more."""
    return datetime.fromtimestamp(int(seconds), UTC)


def format_epoch(seconds: float) -> str:
    """`2026-11-21T22:16:57Z` of a time in epoch seconds."""
    return from_epoch(seconds).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_epoch(text: str) -> float:
    """Epoch seconds of an RFC 3339 timestamp. Raises `ValueError`."""
    return parse_time(text).timestamp()
