"""Probes say what is missing, and metrics are served beside them."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from adapters.memory import MemoryBroker
from handler.telemetry import connections
from handler.telemetry.metrics import Metrics
from handler.telemetry.state import State
from handler.telemetry.web import serve
from k8s.api.cluster import Cluster
from tests.handler.relay import running
from tests.handler.samples import make_request, until
from tests.patience import PATIENCE


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def answer(http: aiohttp.ClientSession, url: str) -> tuple[int, str]:
    async with http.get(url) as response:
        return response.status, await response.text()


async def test_a_process_that_reaches_nothing_is_alive_but_not_ready(http: aiohttp.ClientSession) -> None:
    async with serve(State(Metrics()), address="127.0.0.1:0") as url:
        assert await answer(http, f"{url}/livez") == (200, "ok\n")
        status, text = await answer(http, f"{url}/readyz")
        assert status == 503
        assert text.splitlines() == ["Jobs are not listed yet"]
        async with http.get(f"{url}/healthz") as response:
            report: dict[str, Any] = await response.json()
        assert (report["ready"], report["leading"]) == (False, False)
        status, text = await answer(http, f"{url}/metrics")
        assert status == 200
        assert "jobrelay_leader 0.0" in text
        assert (await answer(http, f"{url}/else"))[0] == 404


async def test_an_address_in_use_is_an_error_of_its_own(http: aiohttp.ClientSession) -> None:
    async with serve(State(Metrics()), address="127.0.0.1:0") as url:
        with pytest.raises(OSError, match="address already in use"):
            async with serve(State(Metrics()), address=url.removeprefix("http://")):
                pass


async def test_a_running_process_is_ready_and_measures_what_it_does(
    broker: MemoryBroker, cluster: Cluster, http: aiohttp.ClientSession
) -> None:
    async with running(broker, cluster) as client, serve(client.state, address="127.0.0.1:0") as url:

        async def ready() -> bool:
            return (await answer(http, f"{url}/readyz"))[0] == 200

        await until(ready)
        await client.publish(make_request("m", script="sleep 600"))
        await client.reached("m", "started")

        async def counts_a_running_job() -> bool:
            return 'jobrelay_jobs{phase="running"} 1.0' in (await answer(http, f"{url}/metrics"))[1]

        await until(counts_a_running_job)
        _, text = await answer(http, f"{url}/metrics")
        for line in (
            "jobrelay_leader 1.0",
            'jobrelay_messages_processed_total{broker="memory"} 1.0',
            'jobrelay_lifecycle_published_total{phase="started"} 1.0',
            "jobrelay_create_seconds_count 1.0",
            "jobrelay_publish_seconds_count 2.0",
            "jobrelay_finalizers_pending 0.0",
            'jobrelay_queue_length{broker="memory",topic="requests"} 0.0',
        ):
            assert line in text, line
        assert "jobrelay_watch_age_seconds" in text
        broker.connected = False
        assert (await answer(http, f"{url}/readyz"))[1].startswith("broker memory: connection lost since 2")
        assert (await answer(http, f"{url}/livez"))[0] == 200, "an outage is no reason to restart it"


async def test_a_draining_process_is_not_ready(broker: MemoryBroker) -> None:
    state = State(Metrics())
    state.brokers = {"memory": broker}
    state.draining = True
    assert "shutting down" in state.problems()


async def test_metrics_are_made_once_for_all_who_ask_within_a_second(
    http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    async def measure(state: State) -> None:
        made.append(state)
        await asyncio.sleep(0.01)

    monkeypatch.setattr(State, "measure", measure)
    async with serve(State(Metrics()), address="127.0.0.1:0") as url:
        answers = await asyncio.gather(*(answer(http, f"{url}/metrics") for _ in range(20)))
        assert len(made) == 1
        assert len(set(answers)) == 1
    async with serve(State(Metrics()), address="127.0.0.1:0", fresh=0.0) as url:
        for count in (2, 3):
            await answer(http, f"{url}/metrics")
            assert len(made) == count


async def test_metrics_come_compressed_to_those_who_understand_it() -> None:
    async with serve(State(Metrics()), address="127.0.0.1:0") as url:
        asked = b"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n"
        head, _, body = (await said_to(url, asked)).partition(b"\r\n\r\n")
        assert b"Content-Encoding: gzip" in head
        assert b"jobrelay_leader 0.0" in gzip.decompress(body)


async def said_to(url: str, text: bytes) -> bytes:
    """All that is answered until the connection ends."""
    reader, writer = await asyncio.open_connection(*address_of(url))
    writer.write(text)
    try:
        return await asyncio.wait_for(reader.read(), PATIENCE)
    finally:
        writer.close()


def address_of(url: str) -> tuple[str, int]:
    host, _, port = url.removeprefix("http://").rpartition(":")
    return host, int(port)


async def test_a_connection_has_one_answer_however_much_is_asked_at_once() -> None:
    async with serve(State(Metrics()), address="127.0.0.1:0") as url:
        answered = await said_to(url, b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n" * 1000)
        assert answered.count(b"HTTP/1.1 ") == 1
        assert (await said_to(url, b"GET /livez HTTP/1.1\r\nX: " + b"x" * 9000 + b"\r\n\r\n")).startswith(
            b"HTTP/1.0 400"
        )
        assert b" 404 " in await said_to(url, b"GET /else HTTP/1.1\r\nHost: x\r\n\r\n")


async def test_connections_that_say_nothing_keep_nobody_out_and_end(
    http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve(State(Metrics()), address="127.0.0.1:0") as url:
        silent = [await asyncio.open_connection(*address_of(url)) for _ in range(connections.MOST + 20)]
        for _, writer in silent:
            writer.write(b"GET /metrics HTTP/1.1\r\nX-Slow: ")
        assert await answer(http, f"{url}/livez") == (200, "ok\n")
        # The oldest had to go.
        assert await asyncio.wait_for(silent[0][0].read(), PATIENCE) == b""
        for _, writer in silent:
            writer.close()
    monkeypatch.setattr(connections, "SWEEP_SECONDS", 0.01)
    monkeypatch.setattr(connections, "IDLE_SECONDS", 0.05)
    async with serve(State(Metrics()), address="127.0.0.1:0") as url:
        assert await said_to(url, b"GET /metr") == b""
