"""Processes that record a log and kill themselves around a commit. Forked from one that has imported everything.

As a program it reads a line of JSON for each of them from its standard input, and writes how it ended: the number of a
signal, or 0.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from sqlalchemy import event
from sqlalchemy.dialects.postgresql import asyncpg as _asyncpg  # noqa: F401 - importing it takes longer than a child lives
from sqlalchemy.dialects.sqlite import aiosqlite as _aiosqlite  # noqa: F401

from adapters.base import Cursor
from adapters.jetstream.broker import connect
from handler.history.base import Batch, Writer
from handler.history.recording import inbox
from handler.history.recording.recorder import Recorder
from handler.history.sql import locks
from handler.history.sql.store import SqlStore, open_store
from handler.telemetry.metrics import Metrics
from tests.patience import PATIENCE

BEFORE, AFTER, WITHIN = MOMENTS = ("before", "after", "within")
"""A commit, a commit, a transaction."""


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Mortal:
    """A writer whose process dies at a moment of the transaction of its batch number `batch`, from 1.

    `statement`: the number of the statement before which it dies `WITHIN` a transaction.
    """

    def __init__(self, writer: Writer, store: SqlStore, *, moment: str, batch: int, statement: int) -> None:
        self._writer = writer
        self._moment = moment
        self._batch = batch
        self._statement = statement
        self._now = False
        engine = store._database.writer.sync_engine
        event.listen(engine, "commit", self._on_commit)
        event.listen(engine, "before_cursor_execute", self._on_statement)

    async def add(self, batch: Batch, *, broker: str, after: Cursor | None) -> int:
        self._batch -= 1
        self._now = self._batch <= 0
        new = await self._writer.add(batch, broker=broker, after=after)
        if self._now and self._moment != BEFORE:
            die()
        return new

    def _on_commit(self, _connection: Any) -> None:
        if self._now and self._moment == BEFORE:
            die()

    def _on_statement(self, *_: Any) -> None:
        if self._now and self._moment == WITHIN:
            self._statement -= 1
            if self._statement <= 0:
                die()


async def record(database: str, broker: str, **death: Any) -> None:
    async with connect(broker) as connected, open_store(database) as store, store.writing() as writer:
        mortal = Mortal(writer, cast(SqlStore, store), **death)
        async with asyncio.timeout(PATIENCE):
            await Recorder(connected, reader=store, metrics=Metrics()).run(cast(Writer, mortal))


class Mother:
    """Has such processes, one at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def bear(self, **child: Any) -> int:
        """Wait for the end of a process: the number of the signal that ended it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(child).encode() + b"\n")
        async with asyncio.timeout(PATIENCE):
            return int(await self._process.stdout.readline())


@asynccontextmanager
async def mother() -> AsyncIterator[Mother]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", __name__, stdin=pipe, stdout=pipe)
    try:
        yield Mother(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


def main() -> None:
    # Small batches, and no pauses: more deaths in less time.
    inbox.MOST_RECORDS, inbox.LINGER_SECONDS, locks.POLL_SECONDS = 20, 0.005, 0.01
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            asyncio.run(record(**json.loads(line)))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(os.WTERMSIG(status), flush=True)


if __name__ == "__main__":
    main()
