"""How fast records become history, from their bytes on, and how long the event loop keeps others waiting meanwhile.

`python -m tests.bench.history.recording URL` records a few more in a process of its own, and prints its memory.
"""

import asyncio
import gc
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import cast

from adapters.base import Broker, Cursor, Kind, Record
from handler.history.base import Batch, Store, Wanted, Writer
from handler.history.recording.recorder import Recorder
from handler.history.sql.store import open_store
from handler.telemetry.metrics import Metrics
from k8s.background import beside
from tests.bench.history.lives import records

SLICE = 20_000
FURTHER = 1000
"""Records that are made at a time: making them is not measured."""
LOOK = 0.005
"""Seconds between two looks at how late the event loop is."""


@dataclass(slots=True)
class Recorded:
    """`seconds` and CPU seconds that `events` took; how late the event loop was, in seconds."""

    events: int = 0
    seconds: float = 0.0
    cpu: float = 0.0
    late: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return self.events / self.seconds


class Tape:
    """The log of a broker, as much of the port as the recorder uses: more is put on it as it is read."""

    name = "nats"
    connected = True

    def __init__(self) -> None:
        self._records: list[Record] = []
        self._more = asyncio.Event()

    def put(self, records: Sequence[Record]) -> None:
        """What was on it before has been read."""
        self._records = list(records)
        self._more.set()

    @asynccontextmanager
    async def history(
        self,
        kind: Kind,
        *,
        key: str | None = None,
        follow: bool = False,
        new_only: bool = False,
        after: Cursor | None = None,
    ) -> AsyncIterator[AsyncIterator[Record]]:
        """Follows."""
        yield self._read(0 if after is None else after.sequence)

    async def _read(self, last: int) -> AsyncIterator[Record]:
        while True:
            self._more.clear()
            for record in self._records:
                if record.sequence > last:
                    last = record.sequence
                    yield record
            await self._more.wait()


class Counting:
    """The writer; says up to which record everything is recorded."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._until = 0
        self._there = asyncio.Event()

    async def add(self, batch: Batch, *, broker: str, after: Cursor | None) -> int:
        new = await self._writer.add(batch, broker=broker, after=after)
        if batch.cursor.sequence >= self._until:
            self._there.set()
        return new

    def expect(self, sequence: int) -> None:
        """Call it before this record is put on the tape."""
        self._until = sequence
        self._there.clear()

    async def reached(self) -> None:
        await self._there.wait()


async def recording(store: Store, log: Iterator[Record], *, metrics: Metrics) -> Recorded:
    """Record all of them."""
    tape, took = Tape(), Recorded()
    async with store.writing() as writer:
        counting = Counting(writer)
        recorder = Recorder(cast(Broker, tape), reader=store, metrics=metrics)
        async with beside(recorder.run(cast(Writer, counting))):
            while made := list(islice(log, SLICE)):
                # Whoever collects garbage later need not look at them.
                gc.collect()
                gc.freeze()
                counting.expect(made[-1].sequence)
                async with beside(_look(took.late)):
                    begun, cpu = time.perf_counter(), time.process_time()
                    tape.put(made)
                    await counting.reached()
                    took.seconds += time.perf_counter() - begun
                    took.cpu += time.process_time() - cpu
                took.events += len(made)
                gc.unfreeze()
    took.late.sort()
    return took


async def _look(late: list[float]) -> None:
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + LOOK
        await asyncio.sleep(LOOK)
        late.append(max(0.0, loop.time() - due))


async def memory(url: str) -> int:
    """Resident bytes of a process that records some events of a filled database, and has answered a question."""
    command = [sys.executable, "-m", "tests.bench.history.recording", url]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    return int(output)


async def _remember(url: str) -> None:
    async with open_store(url) as store:
        position = await store.position(Tape.name)
        assert position is not None
        more = records(FURTHER, until=time.time(), seed=2, first=position.sequence + 1)
        await recording(store, more, metrics=Metrics())
        await store.page(Wanted(), limit=200)


if __name__ == "__main__":
    asyncio.run(_remember(sys.argv[1]))
    print(int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
