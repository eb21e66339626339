"""Times as the API writes them: whole seconds, UTC."""

import time
from datetime import UTC, datetime


def rfc3339(seconds: float) -> str:
    """`seconds` since 1970."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str) -> float:
    """Seconds since 1970."""
    return datetime.fromisoformat(text).timestamp()


def now() -> str:
    return rfc3339(time.time())
