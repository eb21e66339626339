"""Attacks on what the processes say of themselves: the port of probes and metrics, and the log."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from handler.telemetry.connections import MOST
from tests.chaos.table import Rows
from tests.e2e.site import Relay, Site
from tests.hostile.neighbour import attacked
from tests.long import LONG
from tests.patience import PATIENCE

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.broker]

SCRAPERS, SECONDS = (300, 20.0) if LONG else (30, 1.0)
FORGED = "x\n12:00:00.000 INFO    handler.intake.intake: created job_id=forged"
UNSEEN = "\x1b\x9b\u202e\u2066\u2028"


@asynccontextmanager
async def crowded(relay: Relay) -> AsyncIterator[None]:
    """Within the block, more connections than there may be say nothing, and others ask for metrics without a pause."""
    host, _, port = relay.url.removeprefix("http://").rpartition(":")

    async def say(text: bytes) -> None:
        with suppress(OSError):
            reader, writer = await asyncio.open_connection(host, int(port))
            try:
                writer.write(text)
                await reader.read()
            finally:
                writer.close()

    async def scrape() -> None:
        while True:
            await say(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 50)
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        crowd = [group.create_task(say(b"GET /metrics HTTP/1.1\r\nX-Slow: ")) for _ in range(MOST + SCRAPERS)]
        crowd += [group.create_task(scrape()) for _ in range(SCRAPERS)]
        yield
        for one in crowd:
            one.cancel()


@pytest.mark.long
async def test_neither_a_crowd_at_the_port_of_metrics_nor_forged_log_lines_are_noticed(
    on_nats: Site, rows: Rows
) -> None:
    size = f"{MOST + SCRAPERS} silent connections and {SCRAPERS} that ask for metrics, 2 events"
    hidden = f"ab{UNSEEN[2:4]}c"
    async with (
        attacked(on_nats, rows) as scene,
        scene.neighbour("metrics and log lines", size=size, seconds=SECONDS),
        crowded(scene.controller),
    ):
        await scene.observer.publish(scene.request(FORGED + UNSEEN, attributes={"id": "forger"}))
        await scene.observer.publish(scene.request(hidden))
        await asyncio.sleep(SECONDS)
        assert await scene.controller.is_ready(), "a probe has its answer"
        await scene.observer.reached("forger", "rejected")
        await scene.observer.ended(hidden)

        def logs() -> str:
            return scene.handler.process.output() + scene.controller.process.output()

        async with asyncio.timeout(PATIENCE):
            while r"job_id=ab\u202e\u2066c" not in logs() or "job_id=forger" not in logs():
                await asyncio.sleep(0.05)
        assert not set(UNSEEN) & set(logs())
        assert "job_id=forged" not in logs()
