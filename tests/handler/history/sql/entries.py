"""Entries and batches as recorders make them."""

from typing import Any

from adapters.base import Cursor
from events.phases import Phase
from handler.history.base import Batch, Entry, Key

BROKER = "nats"


def entry(number: int, phase: Phase, *, time: float, **more: Any) -> Entry:
    changes = {"service": "billing", "job_uid": f"uid-{number}", **more.pop("changes", {})}
    key = Key(id=f"task-{number}", cause=f"cause-{number}", source="/shop")
    body = f'{{"id":"uid-{number}/{phase}"}}'.encode()
    name = more.pop("name", f"uid-{number}/{phase}")
    return Entry(id=name, key=key, phase=phase, time=time, changes=changes, body=body, **more)


def batch(sequence: int, *entries: Entry, **more: Any) -> Batch:
    return Batch(cursor=Cursor("made", sequence, "digest"), entries=entries, **more)
