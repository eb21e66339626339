"""Searches for Jobs that wait for themselves, a little at a time, whenever that may have changed. Ends no Job."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from handler.admission.data import Entry, Key
from handler.admission.loops import Loop, Steps, find_loops

Place = tuple[Entry | None, Entry | None]
"""A Job as it waits, and as it is active; None where it does not."""
SLICE = 0.005
"""Seconds for which a search goes on until other work does."""
SEARCHING = 0.2
"""The largest share of its time that a leader searches in."""


@dataclass(slots=True)
class _Search:
    """The Jobs to search, and which of them have changed since. None is kept once it is done."""

    active: Sequence[Entry]
    waiting: Sequence[Entry]
    changed: set[Key] = field(default_factory=set)


class Cycles:
    """The loops among the waiting Jobs as last found, without those of which a Job has changed since."""

    def __init__(self) -> None:
        self.loops: Mapping[Key, str] = {}
        self._members: dict[Key, Loop] = {}
        self._due = False
        self._asked = asyncio.Event()
        self._now: _Search | None = None
        self._next: _Search | None = None

    def changed(self, before: Place, after: Place, wanted: Callable[[str], bool]) -> None:
        """A Job has changed, come or gone. `wanted`: whether a Job waits for a request of this id."""
        entry = next(entry for entry in (*after, *before) if entry is not None)
        for search in (self._now, self._next):
            if search is not None:
                search.changed.add(entry.key)
        if (loop := self._members.get(entry.key)) is not None:
            self._members = {key: other for key, other in self._members.items() if other is not loop}
            self._tell()
        self._due |= _waits_for_more(before[0], after[0]) or (
            (None, None) in (before, after) and wanted(entry.request_id)
        )

    def consider(self, active: Sequence[Entry], waiting: Sequence[Entry]) -> None:
        """These are the Jobs now: search them if one of them can have closed a loop."""
        if self._due:
            self._due = False
            self._next = _Search(active, waiting)
            self._asked.set()

    async def run(self, notify: Callable[[], None]) -> None:
        """Search when there is reason to, until cancelled. `notify` is called when there are loops."""
        while True:
            search = self._now = await self._take()
            loops = await _slowly(find_loops(search.waiting, search.active))
            self._members = {key: loop for loop in loops if search.changed.isdisjoint(loop) for key in loop}
            self._now = None
            self._tell()
            if self.loops:
                notify()

    async def _take(self) -> _Search:
        while self._next is None:
            self._asked.clear()
            await self._asked.wait()
        search, self._next = self._next, None
        return search

    def _tell(self) -> None:
        self.loops = {key: loop[key] for key, loop in self._members.items()}


async def _slowly(search: Steps[list[Loop]]) -> list[Loop]:
    """Carry it out with pauses in which everything else goes on."""
    begun = time.monotonic()
    while True:
        try:
            next(search)
        except StopIteration as end:
            found: list[Loop] = end.value
            return found
        worked = time.monotonic() - begun
        if worked >= SLICE:
            await asyncio.sleep(worked / SEARCHING - worked)
            begun = time.monotonic()


def _waits_for_more(before: Entry | None, after: Entry | None) -> bool:
    """Whether a Job waits for requests that it did not wait for before, by their number."""
    old, new = _open(before), _open(after)
    return bool(new) and new != old and len(new) >= len(old)


def _open(entry: Entry | None) -> tuple[str, ...]:
    return () if entry is None or entry.needs is None else entry.needs.open
