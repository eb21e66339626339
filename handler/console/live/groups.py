"""Who listens to the same list gets the same bytes, made once."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import cached_property
from heapq import nlargest

from handler.console.live.messages import array, message, resync
from handler.console.live.places import Place
from handler.history.base import Request, Tagged, Wanted
from handler.history.sql.matching import Matcher

BUFFER = 1000
"""Rows that wait for a client. One that is further behind is told to load its list anew."""


class Row:
    """A request that has changed."""

    def __init__(self, tagged: Tagged, write: Callable[[Request], bytes]) -> None:
        self.tagged = tagged
        self._write = write

    @property
    def request(self) -> Request:
        return self.tagged.request

    @cached_property
    def body(self) -> bytes:
        """As JSON: the same for all who get it."""
        return self._write(self.request)


class Listener:
    """One stream of a group: a `Feed`."""

    def __init__(self, group: "Group") -> None:
        self._group = group
        self._queue: deque[tuple[bytes, int]] = deque()
        self._rows = 0
        self._filled = asyncio.Event()

    @property
    def place(self) -> str | None:
        return None if self._queue else str(self._group.place)

    def offer(self, data: bytes, rows: int) -> None:
        """Have these messages sent, if there are any. `rows`: that are in them."""
        if not data:
            return
        if self._rows + rows > BUFFER:
            self._queue.clear()
            self._rows, data, rows = 0, resync(self._group.place), 0
        self._queue.append((data, rows))
        self._rows += rows
        self._filled.set()

    async def next(self) -> bytes:
        await self._filled.wait()
        data = b"".join(data for data, _ in self._queue)
        self._queue.clear()
        self._rows = 0
        self._filled.clear()
        return data


class Group:
    """Those who asked the same. `most`: of the newest rows of a message; None: all. `place`: told up to there."""

    def __init__(self, wanted: Wanted, most: int | None, place: Place) -> None:
        self.place = place
        self.listeners: set[Listener] = set()
        self._matcher = Matcher(wanted)
        self._most = most

    def tell(self, rows: Sequence[Row], place: Place) -> None:
        """`rows`: all that changed since the last time, in the order of change."""
        self.place = place
        data, count = self.messages(rows, place)
        for listener in self.listeners:
            listener.offer(data, count)

    def start_over(self, place: Place) -> None:
        """Have all load their lists anew."""
        self.place = place
        for listener in self.listeners:
            listener.offer(resync(place), 0)

    def messages(self, rows: Sequence[Row], place: Place) -> tuple[bytes, int]:
        """What is said of these rows, and how many rows that has; nothing if none is, or was, asked for."""
        matched, gone = [], []
        for row in rows:
            if self._matcher.matches(row.tagged):
                matched.append(row)
            elif self._matcher.may_match(row.request):
                gone.append(b"%d" % row.request.pk)
        if len(gone) > BUFFER:
            return resync(place), 0
        shown = self._newest(matched)
        # The place is that of the last message: between the two, nothing is complete.
        left = message("gone", array(gone), None if shown else place) if gone else b""
        come = message("requests", array([row.body for row in shown]), place) if shown else b""
        return left + come, len(shown) + len(gone)

    def _newest(self, rows: list[Row]) -> list[Row]:
        if self._most is None or len(rows) <= self._most:
            return rows
        numbers = {row.request.pk for row in nlargest(self._most, rows, key=_age)}
        return [row for row in rows if row.request.pk in numbers]


def _age(row: Row) -> tuple[float, int]:
    return row.request.updated, row.request.pk
