"""No client keeps the others out: not by many connections, not by slow ones, not by streams."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from aiohttp import web

from handler.console.http.forms import FORM_TYPE, form_of
from handler.telemetry import connections
from tests.handler.console.asking import Page, bare
from tests.handler.samples import until

Socket = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _stream(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    while True:
        await response.write(b": still here\n\n")
        await asyncio.sleep(0.05)


async def _flood(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b"x" * (256 << 10))


async def _form(request: web.Request) -> web.Response:
    await form_of(request)
    return web.Response()


STREAM = web.get("/api/v1/own/stream", _stream)


@asynccontextmanager
async def connected(page: Page, text: str = "") -> AsyncIterator[Socket]:
    """A connection that has sent this, as it is."""
    assert page.session is not None
    port = int(page.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(text.encode())
        yield reader, writer
    finally:
        writer.transport.abort()


async def ended(reader: asyncio.StreamReader) -> bool:
    """Wait until the other side has ended the connection."""
    try:
        while await asyncio.wait_for(reader.read(4096), timeout=20):
            pass
    except ConnectionError:
        pass
    return True


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "IDLE_SECONDS", 0.5)
    monkeypatch.setattr(connections, "SWEEP_SECONDS", 0.1)


@pytest.mark.parametrize("begun", ["", "GET / HTTP/1.1\r\nHost: localhost\r\nX-A: b"])
@pytest.mark.usefixtures("impatient")
async def test_who_sends_no_whole_request_is_cut_off(tmp_path: Path, begun: str) -> None:
    async with bare(tmp_path) as (page, _), connected(page, begun) as (reader, _writer):
        assert await ended(reader)


@pytest.mark.usefixtures("impatient")
async def test_a_stream_lasts_for_who_reads_it(tmp_path: Path) -> None:
    async with bare(tmp_path, STREAM) as (page, _), page.session.get(f"{page.url}/api/v1/own/stream") as reading:
        for _ in range(40):
            assert await reading.content.readline()


@pytest.mark.usefixtures("impatient")
async def test_a_stream_ends_for_who_does_not_read_it(tmp_path: Path) -> None:
    request = "GET /api/v1/flood/stream HTTP/1.1\r\nHost: localhost\r\n\r\n"
    async with bare(tmp_path, web.get("/api/v1/flood/stream", _flood)) as (page, backend), connected(page, request):

        async def opened(count: int) -> bool:
            return backend.metrics.registry.get_sample_value("jobrelay_page_streams") == count

        await until(partial(opened, 1))
        await until(partial(opened, 0))


async def test_a_body_has_to_come_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handler.console.http.bodies.BODY_SECONDS", 0.2)
    async with bare(tmp_path, web.post("/form", _form)) as (page, _):
        token = await page.token()
        cookie = "; ".join(f"{one.key}={one.value}" for one in page.session.cookie_jar)
        host = page.url.removeprefix("http://")
        head = (
            f"POST /form HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\nX-CSRF-Token: {token}\r\n"
            f"Sec-Fetch-Site: same-origin\r\nContent-Type: {FORM_TYPE}\r\nContent-Length: 9\r\n\r\na="
        )
        async with connected(page, head) as (reader, _writer):
            assert b" 408 " in await asyncio.wait_for(reader.readline(), timeout=20)


async def test_idle_connections_make_room_for_others(tmp_path: Path) -> None:
    async with bare(tmp_path, STREAM, ui_connections=8, ui_streams=4) as (page, _), AsyncExitStack() as stack:
        request = "GET /api/v1/own/stream HTTP/1.1\r\nHost: localhost\r\n\r\n"
        stream, _ = await stack.enter_async_context(connected(page, request))
        assert b" 200 " in await stream.readline()
        idle = [await stack.enter_async_context(connected(page)) for _ in range(20)]
        assert (await page.get("/theme")).status == 303
        assert await ended(idle[0][0])
        # What is in use stays.
        assert await stream.readline()


async def test_an_address_has_so_many_streams(tmp_path: Path) -> None:
    far = {"X-Forwarded-For": "192.0.2.1, 10.0.0.1"}
    settings = {"ui_streams_per_address": 2, "ui_trusted_proxies": ("127.0.0.0/8", "10.0.0.0/8")}
    async with bare(tmp_path, STREAM, **settings) as (page, backend):
        url, value = f"{page.url}/api/v1/own/stream", backend.metrics.registry.get_sample_value
        async with page.session.get(url, headers=far) as one, page.session.get(url, headers=far) as two:
            assert one.status == two.status == 200
            refused = await page.get("/api/v1/own/stream", headers=far)
            assert (refused.status, refused.headers["Retry-After"]) == (503, "10")
            async with page.session.get(url, headers={"X-Forwarded-For": "192.0.2.2"}) as other:
                assert other.status == 200
            async with page.session.get(url) as three, page.session.get(url), page.session.get(url):
                assert three.status == 200

        async def none_left() -> bool:
            return value("jobrelay_page_streams") == 0

        await until(none_left)
        async with page.session.get(url, headers=far) as again:
            assert again.status == 200


@pytest.mark.parametrize(
    "sent",
    [
        f"GET /{'x' * 20_000} HTTP/1.1\r\nHost: localhost\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: localhost\r\nX: {'x' * 20_000}\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\n" + "X: y\r\n" * 1000 + "\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\nX\0: y\r\n\r\n",
        "\x16\x03\x01\x02\x00",
    ],
)
async def test_what_is_no_request_is_refused_and_not_logged(
    tmp_path: Path, sent: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with bare(tmp_path) as (page, _), connected(page, sent) as (reader, _writer):
        assert b" 400 " in await asyncio.wait_for(reader.readline(), timeout=20)
        assert (await page.get("/theme")).status == 303
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
