"""RFC 3339 timestamps, as CloudEvents and Kubernetes write them. No clock: nothing here asks what time it is."""

import re
from datetime import UTC, datetime

_RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt](?:[01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(?:\.(\d+))?(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)",
    re.ASCII,
)
EXAMPLE = "an RFC 3339 timestamp such as 2026-01-31T12:00:00Z"


def parse_time(text: str) -> datetime:
    """An aware datetime. Digits beyond microseconds are cut, a leap second counts as the second before it.

    Raises `ValueError` for everything that RFC 3339 does not allow (ISO 8601 allows much more), in words that follow
    "is".
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        without = _RFC3339.fullmatch(f"{text}Z") is not None
        raise ValueError(f"not {EXAMPLE}: its offset from UTC is missing" if without else f"not {EXAMPLE}")
    # Only seconds can be 60 here. `fromisoformat` knows no small letters, and cuts digits by itself.
    known = text.upper() if match[1] != "60" else text.upper().replace(":60", ":59")
    try:
        moment = datetime.fromisoformat(known)
        moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("no time that exists in the years 1 to 9999 of UTC") from None
    return moment


def in_utc(text: str) -> str:
    """RFC 3339 in UTC of an RFC 3339 timestamp, with all digits of its fraction but zeros at the end."""
    moment = parse_time(text).astimezone(UTC)
    match = _RFC3339.fullmatch(text)
    fraction = (match[2] or "").rstrip("0") if match else ""
    return f"{moment.isoformat(timespec='seconds')[:19]}{'.' if fraction else ''}{fraction}Z"


def format_time(moment: datetime) -> str:
    """RFC 3339 of an aware datetime, with Z for UTC and as many digits as it has."""
    return moment.isoformat().replace("+00:00", "Z")


def from_epoch(seconds: float) -> datetime:
    """A time in epoch seconds, cut to the whole second: Kubernetes' own timestamps hold no more."""
    return datetime.fromtimestamp(int(seconds), UTC)


def format_epoch(seconds: float) -> str:
    """`2026-11-21T22:16:57Z` of a time in epoch seconds."""
    return format_time(from_epoch(seconds))


def parse_epoch(text: str) -> float:
    """Epoch seconds of an RFC 3339 timestamp. Raises `ValueError`."""
    return parse_time(text).timestamp()
