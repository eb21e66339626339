"""Follows a broker's log of lifecycle events, and records it: a batch and the position after it in one transaction."""

import asyncio
import logging
import time
from collections.abc import Sequence

from adapters.base import Broker, BrokerUnavailable, Cursor, Kind
from handler.history.base import Action, Batch, Entry, LockLost, Moved, Reader, StoreUnavailable, Unreadable, Writer
from handler.history.recording.inbox import Inbox, Taken
from handler.telemetry.metrics import Metrics
from k8s.api.clock import backoff
from k8s.background import beside

logger = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
"""Seconds between looks whether an operator has set another position, while nothing comes."""


class Recorder:
    """Records the log of one broker. `problem`: why it cannot record now, in words; None while it can.

    `reader`: of the store whose writers it is given.
    """

    def __init__(self, broker: Broker, *, reader: Reader, metrics: Metrics) -> None:
        self.problem: str | None = None
        self._broker = broker
        self._name = broker.name
        self._reader = reader
        self._metrics = metrics
        self._cursor: Cursor | None = None
        self._inbox: Inbox | None = None
        self._oldest: float | None = None
        self._ill_since: float | None = None
        self._turn = 0
        self._failures = 0
        metrics.history_lag.labels(self._name).set_function(lambda: self.lag)

    @property
    def lag(self) -> float:
        """Seconds since the oldest record was stored that is read, but not recorded, and since it cannot record.

        0 if there is no such record, and no problem.
        """
        waiting = None if self._inbox is None else self._inbox.oldest
        now = time.time()
        return max(
            now - min(since for since in (self._oldest, waiting, self._ill_since, now) if since is not None), 0.0
        )

    async def run(self, writer: Writer) -> None:
        """Record until cancelled, from the stored position on. While broker or database are away it waits for them.

        Raises `LockLost`: go on with a new writer.
        """
        while True:
            try:
                await self._follow(writer)
            except Moved:
                logger.info("the position in the log of %s was set anew: recording from there", self._name)
                self._oldest = None
            except LockLost as error:
                self._complain(error)
                raise
            except (StoreUnavailable, BrokerUnavailable) as error:
                await self._wait(error)

    def forget(self) -> None:
        """The database is there, but this process has no writer: whoever has one knows the lag and the problems."""
        self.problem = self._ill_since = self._oldest = None

    async def _follow(self, writer: Writer) -> None:
        self._cursor = await self._reader.position(self._name)
        async with self._broker.history(Kind.LIFECYCLE, follow=True, after=self._cursor) as records:
            inbox = self._inbox = Inbox(self._cursor)
            self._oldest, self._turn = None, 0
            self._recovered()
            try:
                async with beside(inbox.fill(records)), beside(self._watch()):
                    while True:
                        await self._record(writer, await inbox.take())
            finally:
                self._oldest = inbox.oldest if self._oldest is None else self._oldest
                self._inbox = None

    async def _record(self, writer: Writer, taken: Sequence[Taken]) -> None:
        batch = _batch(taken)
        self._oldest = taken[0].record.time.timestamp()
        self._turn += 1
        new = await self._add(writer, batch)
        self._cursor = batch.cursor
        self._turn += 1
        self._oldest = None
        self._metrics.history_events.labels(self._name).inc(new)
        self._metrics.history_unreadable.labels(self._name).inc(len(batch.unreadable))
        for one in taken:
            if one.lost or one.anew:
                self._tell(one)

    async def _add(self, writer: Writer, batch: Batch) -> int:
        while True:
            begun = time.perf_counter()
            try:
                new = await writer.add(batch, broker=self._name, after=self._cursor)
            except LockLost:
                raise
            except StoreUnavailable as error:
                await self._wait(error)
            else:
                self._metrics.history_write_seconds.observe(time.perf_counter() - begun)
                self._recovered()
                return new

    async def _watch(self) -> None:
        """Raises `Moved` when the stored position is no more the one that was stored last."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            turn = self._turn
            try:
                position = await self._reader.position(self._name)
            except StoreUnavailable as error:
                self._complain(error)
                continue
            writing = turn % 2 or turn != self._turn
            if not writing and position != self._cursor:
                raise Moved(f"the position in the log of {self._name} was set anew")
            if not writing:
                self._recovered()

    def _tell(self, taken: Taken) -> None:
        if taken.anew:
            logger.warning("the log of %s was made anew: recording it from its first record", self._name)
        else:
            logger.error("%d records of the log of %s were gone before they were recorded", taken.lost, self._name)
            self._metrics.history_gap.labels(self._name).inc(taken.lost)

    async def _wait(self, error: Exception) -> None:
        self._complain(error)
        self._failures += 1
        await asyncio.sleep(backoff(self._failures))

    def _complain(self, error: Exception) -> None:
        if self.problem is None:
            logger.warning("the log of %s cannot be recorded now: %s", self._name, error)
            self._ill_since = time.time()
        self.problem = str(error)

    def _recovered(self) -> None:
        if self.problem is not None:
            logger.info("the log of %s is recorded again", self._name)
        self.problem = self._ill_since = None
        self._failures = 0


def _batch(taken: Sequence[Taken]) -> Batch:
    found = [one.found for one in taken]
    entries = [one for one in found if isinstance(one, Entry)]
    asked = [entry.asked for entry in entries if entry.asked is not None]
    return Batch(
        cursor=taken[-1].record.cursor,
        entries=entries,
        actions=[*asked, *(one for one in found if isinstance(one, Action))],
        unreadable=[one for one in found if isinstance(one, Unreadable)],
    )
