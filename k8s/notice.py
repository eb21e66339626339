"""From an Event's JSON to what we hold of it. Judges nothing."""

from typing import Any

from events.cloudevent.timestamp import parse_epoch
from events.lifecycle.podless import Notice


def parse_notice(event: dict[str, Any]) -> Notice | None:
    """An Event (v1) about a Job; None for one without message or time."""
    first = event.get("firstTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp")
    last = event.get("lastTimestamp") or (event.get("series") or {}).get("lastObservedTime") or first
    try:
        return Notice(message=str(event["message"]), first=parse_epoch(first), last=parse_epoch(last))
    except (KeyError, TypeError, ValueError):
        return None
