"""Times in the API's format: RFC 3339 in UTC, with whole seconds."""

import time
from datetime import UTC, datetime


def rfc3339(seconds: float) -> str:
    """The text of `seconds` since 1970."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str) -> float:
    """The text as seconds since 1970."""
    return datetime.fromisoformat(text).timestamp()


def now() -> str:
    return rfc3339(time.time())
