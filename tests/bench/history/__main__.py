"""`python -m tests.bench.history`: measure the record of the history, in SQLite and in PostgreSQL.

It does not pass or fail: the table shows the aims beside the figures.
"""

import argparse
import asyncio
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from handler.history.base import Reader
from handler.history.sql.store import open_store
from handler.telemetry.metrics import Metrics
from tests.bench.history.lives import records
from tests.bench.history.questions import SAMPLES, Took, asking
from tests.bench.history.recording import Recorded, memory, recording
from tests.bench.report.rows import Row, hardware, markdown
from tests.docs.marks import put
from tests.paths import ROOT
from tests.postgres import PostgresServer, is_installed, run as asked

PAGE = ROOT / "tests" / "BENCHMARKS.md"
VARIABLE = "JOBRELAY_BENCH_REQUESTS"
SQLITE, POSTGRESQL = "SQLite", "PostgreSQL"
DURABLE = {
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "autovacuum": "on",
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
}
"""The server's own defaults."""
PRUNED = 0.05
"""The share of the requests that is deleted."""
METHOD = """\
Requests of 30 days with about four events each, of about 850 bytes, in 50 services of different size, with up to three
of 200 tags. They are recorded as they would be from the broker, which is played from memory: their bytes are read,
recorded in batches and committed. Meanwhile, the event loop of the process is looked at every 5 ms. Then each question
is asked {samples} times, or for 10 s, one after the other; pages have 50 requests. *Deleting*: the oldest requests and
all that is theirs."""


def arguments(given: list[str], environ: Mapping[str, str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.history", description=__doc__)
    count = int(environ.get(VARIABLE) or 1_000_000)
    parser.add_argument("--requests", type=int, default=count, help=f"by default {VARIABLE}, or 1,000,000")
    parser.add_argument("--only", choices=(SQLITE, POSTGRESQL), help="of the databases")
    parser.add_argument("--docs", action="store_true", help="also put the table into tests/BENCHMARKS.md")
    return parser.parse_args(given)


async def run(requests: int, *, directory: Path, only: str | None = None, samples: int = SAMPLES) -> str:
    """Returns the table as Markdown; progress goes to standard error."""
    rows: list[Row] = []
    servers = []
    if only != POSTGRESQL:
        servers.append(f"SQLite {sqlite3.sqlite_version}")
        rows += [row async for row in measure(SQLITE, f"sqlite://{directory}/history.db", requests, samples)]
    if only != SQLITE and not is_installed():
        print("PostgreSQL is not measured: it is not installed", file=sys.stderr)
    elif only != SQLITE:
        with postgresql() as server:
            ((version,),) = await asked(server.url, "SHOW server_version")
            servers.append(f"PostgreSQL {version.partition(' ')[0]}")
            rows += [row async for row in measure(POSTGRESQL, server.url, requests, samples)]
    return markdown(rows, [hardware(*servers), "", METHOD.format(samples=samples)])


@contextmanager
def postgresql() -> Iterator[PostgresServer]:
    """A server that keeps what it confirms, as those of tests do not."""
    server = PostgresServer(settings=DURABLE)
    try:
        server.start()
        yield server
    finally:
        server.remove()


async def measure(title: str, url: str, requests: int, samples: int) -> AsyncIterator[Row]:
    """Yields each row as soon as it is measured."""
    until = time.time() - 3600
    async with open_store(url, migrate=True) as store:
        for row in _recorded(await recording(store, records(requests, until=until), metrics=Metrics())):
            yield _of(title, row)
        size = await store.size() or 0
        on_disk = f"{size / requests:,.0f} bytes a request, {size / 1e6:,.0f} MB together"
        yield _of(title, Row(what="on disk", result=on_disk))
    yield _of(title, Row(what="memory of a process that records", result=f"{await memory(url) / 1e6:.0f} MB"))
    async with open_store(url) as store:
        for answer in await asking(store, until=until, samples=samples):
            yield _of(title, _answered(answer))
        yield _of(title, await _deleting(store, max(1, int(requests * PRUNED))))


def _of(title: str, row: Row) -> Row:
    made = Row(what=f"{title}: {row.what}", result=row.result, aim=row.aim)
    print(f"{made.what}: {made.result}", file=sys.stderr, flush=True)
    return made


def _recorded(took: Recorded) -> list[Row]:
    late = [took.late[int((len(took.late) - 1) * share)] * 1000 for share in (0.5, 0.99, 1.0)]
    rate = f"{took.rate:,.0f} events/s, {took.cpu / took.events * 1000:.2f} ms CPU per event"
    lag = "p50 {:.1f} ms, p99 {:.1f} ms, at most {:.0f} ms".format(*late)
    return [
        Row(what=f"recording {took.events:,} events", result=rate, aim="≥ 5,000 events/s on SQLite"),
        Row(what="how late the event loop is meanwhile", result=lag, aim="p99 ≤ 5 ms"),
    ]


def _answered(took: Took) -> Row:
    aim = "≤ 5 ms" if took.what == "page: newest" else ""
    return Row(what=took.what, result=f"p50 {took.half * 1000:.1f} ms, p99 {took.most * 1000:.1f} ms", aim=aim)


async def _deleting(store: Reader, requests: int) -> Row:
    gone, begun = 0, time.perf_counter()
    while gone < requests:
        gone += (await store.prune(requests_before=time.time(), logs_before=None)).requests
    return Row(what="deleting", result=f"{gone / (time.perf_counter() - begun):,.0f} requests/s")


def main(given: list[str]) -> int:
    chosen = arguments(given, os.environ)
    with tempfile.TemporaryDirectory(prefix="jobrelay-bench-") as directory:
        text = asyncio.run(run(chosen.requests, directory=Path(directory), only=chosen.only))
    print(text)
    if chosen.docs:
        put(PAGE, "history", text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
