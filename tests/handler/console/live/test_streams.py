"""Streams over HTTP: what a browser is sent, when it is turned away, and how it comes back."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession

from events.phases import Phase
from handler.console.live import streams as sending
from handler.console.live.hub import Hub
from handler.console.live.streams import Streams
from handler.console.serving import application as applications
from k8s.api.cluster import Cluster
from tests.handler.commands.history.records import told
from tests.handler.console.live.feeds import Record, backend_of, recording, rows, serving, streaming
from tests.handler.samples import until


@pytest.fixture
async def record() -> AsyncIterator[Record]:
    async with recording() as made:
        yield made


@pytest.fixture
def hubs(monkeypatch: pytest.MonkeyPatch) -> list[Hub]:
    """Those of the applications of this test."""
    made: list[Hub] = []

    class Kept(Hub):
        def __init__(self, *given: object, **options: object) -> None:
            super().__init__(*given, **options)  # type: ignore[arg-type]
            made.append(self)

    monkeypatch.setattr(applications, "Hub", Kept)
    return made


async def nobody(streams: Streams) -> None:
    async def look() -> bool:
        return not streams.count

    await until(look)


async def test_streams_a_list(record: Record, cluster: Cluster) -> None:
    async with serving(backend_of(record.store, cluster)) as url:
        await record.add(told("r-1", Phase.FAILED, service="billing"), told("r-2", Phase.FAILED, service="other"))
        stream_of = f"{url}/api/v1/stream"
        async with streaming(stream_of, position="0", service="billing", phase="failed", since="24h") as stream:
            message = await stream.until("gone")
            # What happened in March is not of the last day.
            assert message.data == [1, 2]
        async with streaming(stream_of, position="0", service="billing", limit="50") as stream:
            message = await stream.until("requests")
            assert rows(message) == [("r-1", "failed")]
            assert message.data[0]["service"] == "billing"
            last = stream.last
        await record.add(told("r-1", Phase.STARTED, at=20, service="billing", job_uid="anew"))
        async with streaming(stream_of, last=last, position="0", service="billing") as stream:
            assert rows(await stream.until("requests")) == [("r-1", "started")]


async def test_says_how_it_is_sent(record: Record, cluster: Cluster) -> None:
    async with (
        serving(backend_of(record.store, cluster)) as url,
        ClientSession() as session,
        session.get(f"{url}/api/v1/stream", headers={"Accept-Encoding": "gzip"}) as answer,
    ):
        assert answer.headers["X-Accel-Buffering"] == "no"
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Content-Encoding" not in answer.headers
        assert (await answer.content.readline()).startswith(b":")


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("position=x", "position"),
        ("lastEventId=1.zz", "lastEventId"),
        ("phase=no", "phase"),
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("phaze=failed", "phaze"),
    ],
)
async def test_names_what_is_wrong(record: Record, cluster: Cluster, query: str, path: str) -> None:
    async with (
        serving(backend_of(record.store, cluster)) as url,
        ClientSession() as session,
        session.get(f"{url}/api/v1/stream?{query}") as answer,
    ):
        problem = await answer.json(content_type=None)
        assert (answer.status, [fault["path"].split(".")[0] for fault in problem["errors"]]) == (400, [path])


async def test_so_many_streams_and_no_more(record: Record, cluster: Cluster, hubs: list[Hub]) -> None:
    await record.add(told("r-1", Phase.CREATED))
    async with serving(backend_of(record.store, cluster, ui_streams=2)) as url, ClientSession() as session:
        async with (
            streaming(f"{url}/api/v1/stream"),
            streaming(f"{url}/api/v1/requests/1/stream"),
            session.get(f"{url}/api/v1/stream") as answer,
        ):
            assert (answer.status, answer.headers["Retry-After"]) == (503, "10")
            assert (await answer.json(content_type=None))["code"] == "TOO_MANY_STREAMS"
        # Whoever goes makes room, though nothing is sent to them meanwhile.
        await nobody(hubs[0].streams)
        async with streaming(f"{url}/api/v1/stream"):
            pass


async def test_sends_a_sign_of_life_with_the_place(
    record: Record, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "HEARTBEAT_SECONDS", 0.05)
    async with (
        serving(backend_of(record.store, cluster)) as url,
        streaming(f"{url}/api/v1/stream", phase="failed", source="/elsewhere") as stream,
    ):
        await record.add(told("r-1", Phase.CREATED))
        reading = asyncio.create_task(stream.next())

        async def look() -> bool:
            return stream.last.startswith("1.")

        await until(look)
        reading.cancel()


async def test_streams_end_first_when_the_server_stops(record: Record, cluster: Cluster) -> None:
    backend = backend_of(record.store, cluster)
    async with serving(backend) as url, ClientSession() as session:
        async with streaming(f"{url}/api/v1/stream") as stream:
            backend.stopping.set()
            assert await stream.next() is None
            assert stream.retry in range(500, 2001)
        async with session.get(f"{url}/api/v1/stream") as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "1")


async def test_a_session_that_is_over_ends_its_streams(
    record: Record, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "LIFE_SECONDS", 0.2)
    async with serving(backend_of(record.store, cluster)) as url:
        begun = time.monotonic()
        async with streaming(f"{url}/api/v1/stream") as stream:
            assert await stream.next() is None
        assert time.monotonic() - begun >= 0.2


async def test_who_takes_nothing_is_dropped(
    record: Record, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, hubs: list[Hub]
) -> None:
    monkeypatch.setattr(sending, "STALLED_SECONDS", 0.1)
    async with serving(backend_of(record.store, cluster)) as url, streaming(f"{url}/api/v1/stream"):
        number = 0

        async def dropped() -> bool:
            nonlocal number
            # Some kilobytes each: more than socket buffers take.
            await record.add(
                *(told(f"r-{number}-{one}-{'x' * 900}", Phase.CREATED, image="i" * 3000) for one in range(300))
            )
            number += 1
            return not hubs[0].streams.count

        await until(dropped)


async def test_tells_the_story_of_a_request(record: Record, cluster: Cluster) -> None:
    await record.add(told("r-1", Phase.CREATED), told("r-2", Phase.CREATED))
    async with serving(backend_of(record.store, cluster)) as url:
        async with streaming(f"{url}/api/v1/requests/1/stream", position="2") as stream:
            await record.add(told("r-2", Phase.STARTED, at=1), told("r-1", Phase.STARTED, at=2))
            row = await stream.until("request")
            assert (row.data["phase"], row.id) == ("started", None)
            event = await stream.until("told")
            assert (event.data["position"], event.data["phase"]) == (4, "started")
            assert stream.last.startswith("4.")
            await record.add(told("r-1", Phase.SUCCEEDED, at=3))
            assert (await stream.until("told")).data["phase"] == "succeeded"
            last = stream.last
        async with streaming(f"{url}/api/v1/requests/1/stream", last="4", position="2") as stream:
            assert (await stream.until("told")).data["phase"] == "succeeded"
            assert stream.last == last
        async with streaming(f"{url}/api/v1/requests/1/stream", last="4.000000") as stream:
            assert (await stream.until("resync")).id == last


async def test_there_is_no_stream_of_what_is_not_there(record: Record, cluster: Cluster) -> None:
    async with serving(backend_of(record.store, cluster)) as url, ClientSession() as session:
        for path in ("requests/9/stream", "requests/9/logs/stream", "requests/999999999999999999/stream"):
            async with session.get(f"{url}/api/v1/{path}") as answer:
                assert answer.status == 404
