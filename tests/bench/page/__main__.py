"""`python -m tests.bench.page`: measure the page of the role `console`, with Chromium, and its streams.

It does not pass or fail: the table shows the aims beside the figures.
"""

import argparse
import asyncio
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

from aiohttp import ClientError, ClientSession, test_utils
from playwright.async_api import Browser

from events.phases import LAST, Phase
from handler.history.base import Entry, Key
from k8s.background import beside
from tests.bench.history.millions import fill
from tests.bench.load.processes import cpu_seconds, resident_bytes
from tests.bench.page.listeners import Heard, listening
from tests.bench.report.rows import Row, hardware, markdown
from tests.browser.chromium import found as chromium, launched
from tests.docs.marks import put
from tests.handler.commandline import make_environ, started
from tests.handler.console.live.feeds import Record, recording
from tests.handler.samples import until
from tests.paths import ROOT

BENCHMARKS = ROOT / "tests" / "BENCHMARKS.md"
VARIABLE = "JOBRELAY_BENCH_REQUESTS"
LOADS = 9
"""Of the page, each in a browser that has nothing of it yet."""
NOWHERE = "/requests/0"
"""A page that says that there is no such request."""
BATCH = 50
"""Events in a transaction of the recorder."""
PHASES = (Phase.CREATED, Phase.STARTED, Phase.SUCCEEDED)
APART = 40
"""Requests that come between two events of one."""
BODY = b'{"specversion":"1.0","data":{"detail":{"message":"%s"}}}' % (b"x" * 700)
METHOD = """\
A process of the role `console` serves; another one records, in batches of {batch}, and holds the streams. *Late*: from
when a row's event was made until its row came. *First paint*: the first contentful paint since the navigation began, of
{loads} loads, in a window that was open and has none of the files. *Frames*: calls of `requestAnimationFrame`
meanwhile, in a browser without a display."""
_FRAMES = """() => {
  window.frames_seen = { count: 0, longest: 0, rows: 0, since: performance.now(), last: performance.now() };
  const next = (now) => {
    const seen = window.frames_seen;
    seen.count += 1;
    seen.longest = Math.max(seen.longest, now - seen.last);
    seen.last = now;
    seen.rows = Math.max(seen.rows, document.querySelectorAll("[data-live] tbody tr").length);
    requestAnimationFrame(next);
  };
  requestAnimationFrame(next);
}"""
_PAINTED = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0"
_LOADED = """[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
  .map((it) => [it.name, it.decodedBodySize, it.encodedBodySize])"""


def arguments(given: list[str], environ: Mapping[str, str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.page", description=__doc__)
    count = int(environ.get(VARIABLE) or 1_000_000)
    parser.add_argument("--requests", type=int, default=count, help=f"by default {VARIABLE}, or 1,000,000")
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--rate", type=int, default=2000, help="events a second")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--docs", action="store_true", help="also put the table into tests/BENCHMARKS.md")
    return parser.parse_args(given)


async def run(*, requests: int, streams: int, rate: int, seconds: float, directory: Path, loads: int = LOADS) -> str:
    """Returns the table as Markdown."""
    path = chromium()
    assert path is not None, "Chromium is not installed: make chromium"
    database = await fill(directory / "history.db", requests)
    rows: list[Row] = []
    async with recording(database) as record, serving(directory, database) as (url, pid), launched(path) as browser:
        rows += await _loading(browser, url, requests=requests, loads=loads)
        streaming = _streaming(browser, record, url, pid, streams=streams, rate=rate, seconds=seconds)
        rows += [row async for row in streaming]
        facts = hardware(f"SQLite {sqlite3.sqlite_version}", f"Chromium {browser.version}")
    return markdown(rows, [facts, "", METHOD.format(batch=BATCH, loads=loads)])


@asynccontextmanager
async def serving(directory: Path, database: str) -> AsyncIterator[tuple[str, int]]:
    """A process of its own that serves the page; yields URL and process number."""
    address = f"127.0.0.1:{test_utils.unused_port()}"
    environ = make_environ(directory, JOBRELAY_HISTORY=database, JOBRELAY_UI_ADDRESS=address)
    with started("run", "--role", "console", environ=environ, output=directory / "output") as process:
        await until(lambda: _answers(f"http://{address}/", process))
        yield f"http://{address}", process.pid


async def _answers(url: str, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "the console ended"
    with suppress(ClientError):
        async with ClientSession() as session, session.get(url) as answer:
            return answer.status == 200
    return False


async def _loading(browser: Browser, url: str, *, requests: int, loads: int) -> list[Row]:
    painted, sizes = await _painted(browser, url, "/", loads)
    least, _ = await _painted(browser, url, NOWHERE, loads)
    own = [one for one in sizes if one[0] == f"{url}/"]
    files = [one for one in sizes if "/static/" in one[0]]
    return [
        Row(what=f"first paint of the list, with {requests:,} requests", result=painted, aim="≤ 100 ms"),
        Row(what="first paint of a page of ours with one sentence", result=least),
        Row(what="the page", result=f"{sum(one[1] for one in own) / 1000:.1f} kB", aim="≤ 30 kB"),
        Row(what="all files that it loads", result=_size(files), aim="≤ 60 kB"),
    ]


async def _painted(browser: Browser, url: str, path: str, loads: int) -> tuple[str, list[tuple[str, int, int]]]:
    """When it was painted first, and the sizes of what was loaded."""
    painted: list[float] = []
    sizes: list[tuple[str, int, int]] = []
    for _ in range(loads):
        context = await browser.new_context()
        page = await context.new_page()
        # Starting the process of a window takes longer than the page.
        await page.goto(f"{url}/api/v1/me")
        await page.goto(f"{url}{path}")
        painted.append(await until(partial(page.evaluate, _PAINTED)))
        sizes = await page.evaluate(_LOADED)
        await context.close()
    return f"p50 {statistics.median(painted):.0f} ms, at most {max(painted):.0f} ms", sizes


def _size(files: list[tuple[str, int, int]]) -> str:
    return f"{sum(one[1] for one in files) / 1000:.1f} kB, {sum(one[2] for one in files) / 1000:.1f} kB as sent"


async def _streaming(
    browser: Browser, record: Record, url: str, pid: int, *, streams: int, rate: int, seconds: float
) -> AsyncIterator[Row]:
    page = await browser.new_page()
    await page.goto(f"{url}/")
    await page.locator("#live.on").wait_for()
    async with listening(f"{url}/api/v1/stream?limit=50", streams) as heard, beside(_changes(record, rate)):
        await asyncio.sleep(1)
        await page.evaluate(_FRAMES)
        heard.late.clear()
        before, begun, bytes_before, told = cpu_seconds(pid), time.perf_counter(), heard.bytes, record.told
        await asyncio.sleep(seconds)
        took = time.perf_counter() - begun
        share = (cpu_seconds(pid) - before) / took
        sent, changed = (heard.bytes - bytes_before) / took, (record.told - told) / took
        seen = await page.evaluate("window.frames_seen")
    what = f"{streams} streams, {changed:,.0f} updates/s for {seconds:.0f} s"
    yield Row(what=f"{what}: CPU of the process that serves", result=f"{share:.0%} of a core", aim="< 30 %")
    yield Row(what="late", result=_late(heard))
    yield Row(what="sent", result=f"{sent / 1e6:.1f} MB/s; memory {resident_bytes(pid) / 1e6:.0f} MB")
    yield Row(what="the list meanwhile", result=_frames(seen), aim="50 rows, 60 frames/s")


def _late(heard: Heard) -> str:
    late = sorted(heard.late) or [0.0]
    half, most = (late[int((len(late) - 1) * share)] * 1000 for share in (0.5, 0.99))
    return f"p50 {half:.0f} ms, p99 {most:.0f} ms"


def _frames(seen: Mapping[str, float]) -> str:
    rate = seen["count"] / (seen["last"] - seen["since"]) * 1000
    return f"at most {seen['rows']:.0f} rows, {rate:.0f} frames/s, the longest {seen['longest']:.0f} ms"


async def _changes(record: Record, rate: int) -> None:
    """Requests come, start and end, until cancelled: at this rate, or as fast as they can be recorded."""
    number, loop = 0, asyncio.get_running_loop()
    due = loop.time()
    while True:
        now = time.time()
        await record.add(*(_entry(number + one, now) for one in range(BATCH)))
        number += BATCH
        due += BATCH / rate
        await asyncio.sleep(max(0.0, due - loop.time()))


def _entry(number: int, now: float) -> Entry:
    """Of three events in turn the first creates a request, the others start and end some that came before."""
    request, step = divmod(number, len(PHASES))
    phase, name = PHASES[step], f"live-{max(0, request - APART * step)}"
    changes = {
        "job_uid": name,
        "service": "billing",
        "image": "registry.example/shop/invoice:1.2",
        **({"started": now - 1} if step else {}),
        **({"finished": now, "exit_code": 0} if phase in LAST else {}),
    }
    key = Key(id=name, cause=f"event-{name}", source="/shop")
    return Entry(id=f"{name}/{number}", key=key, phase=phase, time=now, changes=changes, body=BODY)


def main(given: list[str]) -> int:
    chosen = arguments(given, os.environ)
    with tempfile.TemporaryDirectory(prefix="jobrelay-bench-") as directory:
        text = asyncio.run(
            run(
                requests=chosen.requests,
                streams=chosen.streams,
                rate=chosen.rate,
                seconds=chosen.seconds,
                directory=Path(directory),
            )
        )
    print(text)
    if chosen.docs:
        put(BENCHMARKS, "page", text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
