"""Times in the API's format: RFC 3339 in UTC, with whole seconds."""

import time
from datetime import UTC, datetime

from events.cloudevent.timestamp import parse_epoch


def rfc3339(seconds: float) -> str:
    """The text of `seconds` since 1970."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str) -> float:
    """The text as seconds since 1970. Raises `ValueError`: Go takes neither small letters nor leap seconds."""
    try:
        if not text.isupper() or ":60" in text:
            raise ValueError("no time to Go")
        return parse_epoch(text)
    except ValueError:
        raise ValueError(f'parsing time "{text}" as "2006-01-02T15:04:05Z07:00": cannot parse "{text}"') from None


def now() -> str:
    return rfc3339(time.time())
