"""Deletes what is old, and the oldest where room is short: a little at a time, so that recording goes on meanwhile."""

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path

from handler.history.base import Bodies, Pruned, Reader, Room, StoreUnavailable
from handler.history.sql.ballast import Ballast
from handler.settings.reach import sqlite_path
from handler.settings.settings import Settings
from handler.telemetry.metrics import Metrics
from k8s.api.clock import backoff

logger = logging.getLogger(__name__)

EVERY_SECONDS = 600.0
"""Between two searches for what is too old."""
LOOK_SECONDS = 2.0
"""Between two looks at the room that the database takes."""
RESERVE = 64 << 20
"""Bytes for what is recorded until the next look, and for deleting: SQLite writes that down first, too."""
BATCH_SECONDS = 0.05
"""How long a batch should take: whatever is recorded waits for it."""
REST = 4
"""A batch is followed by a rest, this many times as long as it took, unless room is short."""
LEAST, MOST = 10, 500
"""Requests or logs of a batch: as many as `BATCH_SECONDS` are enough for."""
DAY = 86400.0
TELL_SECONDS = 3600.0
"""Between two warnings of the same."""


class Retention:
    """Applies JOBRELAY_HISTORY_DAYS, JOBRELAY_LOG_DAYS and JOBRELAY_HISTORY_MAX_BYTES in the process that records.

    A database file is kept below the bound by a reserve, so that it takes no more than the bound with what is recorded
    until the next look; and it does not fill its volume. `bodies`: where chunks are kept outside of the database.
    """

    def __init__(
        self,
        settings: Settings,
        store: Reader,
        metrics: Metrics,
        *,
        bodies: Bodies | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._store = store
        self._metrics = metrics
        self._bodies = bodies
        self._clock = clock
        path = sqlite_path(settings.history or "")
        self._ballast = Ballast(Path(path)) if path else None
        self._limit = LEAST
        self._due = 0.0
        self._told: dict[str, float] = {}

    async def run(self) -> None:
        """Delete until cancelled. What fails is tried again."""
        failures = 0
        while True:
            try:
                pause = await self.step()
                failures = 0
            except StoreUnavailable as error:
                failures += 1
                pause = max(LOOK_SECONDS, backoff(failures))
                if failures == 1:
                    logger.warning("cannot delete what is old from the history, trying again: %s", error)
            await asyncio.sleep(pause)

    async def step(self) -> float:
        """Delete a batch of what is to go, if there is any. Returns the seconds until the next step."""
        room = await self._store.room()
        if room is not None and await self._look_after(room):
            room = await self._store.room()
        if room is not None and self._is_short(room):
            return await self._make_room()
        left = self._due - time.monotonic()
        return min(LOOK_SECONDS, left) if left > 0 else await self._expire()

    async def _look_after(self, room: Room) -> bool:
        """Make the ballast or give it up, as there is room for it. Returns whether that made room."""
        if self._ballast is None:
            return False
        if self._ballast.give_way(room.free):
            logger.warning("the volume of the history is full: what was held ready for that is given up")
            return True
        # Where the file system cannot do it at once, this writes.
        await asyncio.to_thread(self._ballast.take, room.free)
        return False

    def _is_short(self, room: Room) -> bool:
        bound = self._settings.history_max_bytes
        reserve = min(RESERVE, bound // 8)
        # Where others have filled the volume, the history gives up a part of itself, and not all.
        return room.used > bound - reserve or room.spare + room.free < min(reserve, room.used // 4)

    async def _make_room(self) -> float:
        """Delete the oldest logs or, where the database keeps none, the oldest requests."""
        now = self._clock()
        if self._bodies is None and (await self._prune(logs_before=now)).logs:
            self._tell("no room in the history: its oldest logs are deleted before their time")
            return 0.0
        pruned = await self._prune(requests_before=now)
        if pruned.requests or pruned.more:
            self._tell("no room in the history: its oldest requests are deleted before their time")
            return 0.0
        self._tell("no room in the history, and nothing in it that may be deleted")
        return LOOK_SECONDS

    async def _expire(self) -> float:
        """Delete the oldest of what is too old."""
        now = self._clock()
        pruned = await self._prune(
            requests_before=now - self._settings.history_days * DAY, logs_before=now - self._settings.log_days * DAY
        )
        if pruned.failed:
            self._tell("logs that are too old stay, as they cannot be deleted from JOBRELAY_LOG_STORE now")
        if pruned.more:
            return pruned.seconds * REST
        self._due = time.monotonic() + EVERY_SECONDS
        return LOOK_SECONDS

    async def _prune(self, *, requests_before: float | None = None, logs_before: float | None = None) -> Pruned:
        pruned = await self._store.prune(
            requests_before=requests_before, logs_before=logs_before, limit=self._limit, bodies=self._bodies
        )
        if pruned.seconds > 2 * BATCH_SECONDS:
            self._limit = max(LEAST, self._limit // 2)
        elif pruned.seconds < BATCH_SECONDS and pruned.more:
            self._limit = min(MOST, 2 * self._limit)
        self._metrics.history_pruned.labels("requests").inc(pruned.requests)
        self._metrics.history_pruned.labels("logs").inc(len(pruned.logs))
        return pruned

    def _tell(self, what: str) -> None:
        """Warn of it, once an hour."""
        now = time.monotonic()
        if now - self._told.get(what, -TELL_SECONDS) >= TELL_SECONDS:
            self._told[what] = now
            logger.warning(what)
