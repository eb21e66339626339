"""Records of a log that were read and wait to be recorded, in order, as many as a transaction takes."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress

import msgspec

from adapters.base import Cursor, Record
from handler.history.base import Action, Entry, Unreadable
from handler.history.recording.facts import read, unreadable

logger = logging.getLogger(__name__)

MOST_RECORDS = 500
MOST_BYTES = 4 << 20
"""Bytes of records that wait. A record that is larger waits alone."""
LINGER_SECONDS = 0.05
"""How long the first of them waits for others."""
_HELD = 0.001


class Taken(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A record, and what there is to record of it.

    `lost`: how many records are missing before it. `anew`: the log was made anew before it.
    """

    record: Record
    found: Entry | Action | Unreadable | None
    lost: int = 0
    anew: bool = False


class Inbox:
    """Filled and emptied at the same time, by a task each. `after`: the place in the log that it goes on from."""

    def __init__(self, after: Cursor | None) -> None:
        self._place = None if after is None else (after.stream, after.sequence)
        self._waiting: list[Taken] = []
        self._bytes = 0
        self._first = 0.0
        self._some = asyncio.Event()
        self._full = asyncio.Event()
        self._room = asyncio.Event()

    @property
    def oldest(self) -> float | None:
        """When the record was stored that waits longest; None if there is none."""
        return self._waiting[0].record.time.timestamp() if self._waiting else None

    async def fill(self, records: AsyncIterator[Record]) -> None:
        """Read them as fast as there is room. Lets others run whenever it has read for some milliseconds."""
        since = time.perf_counter()
        async for record in records:
            while self._waiting and not self._has_room(record):
                self._full.set()
                self._room.clear()
                await self._room.wait()
            self._put(record)
            if time.perf_counter() - since >= _HELD:
                await asyncio.sleep(0)
                since = time.perf_counter()

    async def take(self) -> Sequence[Taken]:
        """All that wait, at least one: at once if there is no room for more, else some time after the first came."""
        await self._some.wait()
        rest = self._first + LINGER_SECONDS - time.monotonic()
        if rest > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(rest):
                    await self._full.wait()
        taken, self._waiting, self._bytes = self._waiting, [], 0
        self._some.clear()
        self._full.clear()
        self._room.set()
        return taken

    def _has_room(self, record: Record) -> bool:
        return len(self._waiting) < MOST_RECORDS and self._bytes + len(record.body) <= MOST_BYTES

    def _put(self, record: Record) -> None:
        lost, anew = self._missing(record)
        self._place = record.stream, record.sequence
        if not self._waiting:
            self._first = time.monotonic()
        self._waiting.append(Taken(record=record, found=_found(record), lost=lost, anew=anew))
        self._bytes += len(record.body)
        self._some.set()
        if len(self._waiting) >= MOST_RECORDS:
            self._full.set()

    def _missing(self, record: Record) -> tuple[int, bool]:
        if self._place is None:
            return 0, False
        stream, sequence = self._place
        anew = record.stream != stream or record.sequence <= sequence
        return (0, True) if anew else (record.sequence - sequence - 1, False)


def _found(record: Record) -> Entry | Action | Unreadable | None:
    try:
        return read(record)
    except Exception as error:  # noqa: BLE001 - whatever it holds, no record may keep those after it from being recorded
        logger.error("a record of the log cannot be read: %s", type(error).__name__)
        return unreadable(record, f"a {type(error).__name__} while it was read")
