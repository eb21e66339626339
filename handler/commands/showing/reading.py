"""Reads lifecycle events from the broker: those that are stored, and those that come."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from cloudevents.core.v1.event import CloudEvent

from adapters.base import Broker, Kind, Record
from events.cloudevent.event import InvalidEvent
from events.identity import topic_part

EVERYTHING = "#"


@dataclass(frozen=True, slots=True)
class Heard:
    """An event and its time; for an event without a time (`rejected`), when the broker stored it."""

    event: CloudEvent
    at: datetime


def key_of(*, request_id: str | None = None, service: str | None = None) -> str:
    """The key pattern of lifecycle topics for one request, one service, both, or all."""
    if request_id is None and service is None:
        return EVERYTHING
    parts = ("*" if part is None else topic_part(part) for part in (service, request_id))
    return ".".join([*parts, "*"])


@asynccontextmanager
async def lifecycle(
    broker: Broker, *, key: str, follow: bool, new_only: bool = False
) -> AsyncIterator[AsyncIterator[Heard]]:
    """Lifecycle events of the topics that `key` matches, oldest first. From entry on, no event is missed."""
    async with broker.history(Kind.LIFECYCLE, key=key, follow=follow, new_only=new_only) as records:
        yield _events(records)


async def _events(records: AsyncIterator[Record]) -> AsyncIterator[Heard]:
    async for record in records:
        try:
            event = record.event()
        except InvalidEvent:
            continue  # A message that jobrelay did not write: not ours to report.
        yield Heard(event, event.get_time() or record.time)
