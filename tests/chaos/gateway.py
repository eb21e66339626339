"""A proxy between a jobrelay and the API server: numbers requests, records writes, answers in the server's place, and
is slow, silent or cut.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import yaml
from aiohttp import web
from yarl import URL

from events.names import Annotation
from tests.chaos.calls import Ledger, When

LEASES = "/leases/"
WATCH = "watch=1"
GONE = orjson.dumps(
    {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "too old resource version",
        "reason": "Expired",
        "code": 410,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """A request that changes something. Times are of our own monotonic clock. `by`: the gateway it came through."""

    by: str
    method: str
    path: str
    body: Any
    sent: float
    answered: float
    status: int

    @property
    def leads(self) -> bool | None:
        """Whether it took or kept the Lease; None if it is about something else, or was refused."""
        if LEASES not in self.path or self.status >= 300:
            return None
        return bool(self.body["spec"]["holderIdentity"])

    @property
    def acts(self) -> bool:
        """Whether only a leader may do this: any change of a Job or Pod, but for the mark that a payload is stored."""
        if self.method == "DELETE":
            return True
        annotations = (self.body["metadata"].get("annotations") or {}) if self.method == "PATCH" else {}
        return self.method == "PATCH" and Annotation.PAYLOAD not in annotations


def strays(writes: Sequence[Write]) -> list[Write]:
    """Acts of a process that did not lead when it sent them. A term begins when the write of the Lease is answered."""
    terms = sorted((write.answered, write.by) for write in writes if write.leads)
    found = []
    for write in writes:
        leader = next((by for at, by in reversed(terms) if at <= write.sent), None)
        if write.acts and leader != write.by:
            found.append(write)
    return found


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer in the API server's place. `retry_after`: seconds."""

    status: int
    retry_after: int | None = None
    message: str = "chaos"

    def response(self) -> web.Response:
        headers = {"Retry-After": str(self.retry_after)} if self.retry_after is not None else {}
        status = {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "message": self.message,
            "code": self.status,
        }
        body = GONE if self.status == 410 else orjson.dumps(status)
        return web.Response(status=self.status, body=body, headers=headers, content_type="application/json")


Treat = Callable[[web.BaseRequest, bytes], Awaitable[Refusal | None]]
"""What is done about a request with this body; None: it goes on."""


class Gateway:
    """Forwards everything unless a test disturbs it. Use `gateway()`.

    `treat`: is asked first, and may answer or hang. `delay`: seconds by which each request is late. `rate`: bytes per
    second. `refusal`: the answer to every request, and `watch_refusal` to every watch; `refused` counts all answers in
    the server's place. `calls` is shared with other proxies.
    """

    def __init__(
        self, name: str, upstream: str, session: aiohttp.ClientSession, *, record: list[Write], calls: Ledger
    ) -> None:
        self.name = name
        self.port = 0
        self.treat: Treat | None = None
        self.delay = 0.0
        self.rate = 0.0
        self.refusal: Refusal | None = None
        self.watch_refusal: Refusal | None = None
        self.refused = 0
        self._upstream = upstream
        self._session = session
        self._record = record
        self._calls = calls
        self._expired = 0
        self._forgotten: set[object] = set()
        self._server = web.Server(self._handle, handler_cancellation=True, access_log=None)
        self._runner = web.ServerRunner(self._server, shutdown_timeout=0.1)
        self._site: web.TCPSite | None = None
        self._flow = asyncio.Event()
        self._flow.set()

    async def start(self) -> None:
        await self._runner.setup()
        await self.heal()

    async def stop(self) -> None:
        self._flow.set()
        await self._runner.cleanup()

    async def refuse(self) -> None:
        """Cut every connection, and accept no new connection."""
        assert self._site is not None
        await self._site.stop()
        self._site = None
        self.cut()

    def cut(self) -> None:
        """Cut every connection, but accept new connections."""
        for connection in list(self._server.connections):
            if connection.transport is not None:
                connection.transport.abort()

    def forget(self) -> None:
        """Keep the present connections open but silent in both directions for ever; new connections work."""
        self._forgotten |= {connection.transport for connection in self._server.connections}

    async def _flowing(self, request: web.BaseRequest) -> None:
        await self._flow.wait()
        if request.transport in self._forgotten:
            await asyncio.Event().wait()  # until the client gives up

    def expire(self) -> None:
        """Instead of its next piece, every watch gets the error that its version is too old."""
        self._expired += 1

    async def swallow(self) -> None:
        """Forward nothing in either direction, but keep every connection open."""
        self._flow.clear()

    async def heal(self) -> None:
        """Forward everything again, without delay."""
        self._flow.set()
        self.delay = self.rate = 0.0
        self.refusal = self.watch_refusal = None
        if self._site is None:
            self._site = web.TCPSite(self._runner, "127.0.0.1", self.port)
            await self._site.start()
            self.port = self._runner.addresses[0][1]

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        await self._flowing(request)
        watch = WATCH in request.raw_path
        path = f"{request.path}?{WATCH}" if watch else request.path
        call = self._calls.note(by=self.name, where="api", verb=request.method, path=path)
        if self._calls.strikes(call, When.BEFORE):
            return _hung_up(request)
        await asyncio.sleep(self.delay + len(body) / self.rate if self.rate else self.delay)
        if refusal := self.refusal or (self.watch_refusal if watch else None):
            self.refused += 1
            return refusal.response()
        if self.treat is not None and (treated := await self.treat(request, body)) is not None:
            self.refused += 1
            return treated.response()
        sent = time.monotonic()
        headers = {name: value for name, value in request.headers.items() if name.lower() != "host"}
        url = URL(f"{self._upstream}{request.raw_path}", encoded=True)
        async with self._session.request(request.method, url, headers=headers, data=body) as answer:
            if watch and not self._calls.aims_at(call, When.AFTER):
                return await self._stream(request, answer)
            content = b"" if watch else await answer.read()
        if request.method != "GET":
            self._record_write(request, body, sent, answer.status)
        if self._calls.strikes(call, When.AFTER):
            return _hung_up(request)
        await self._flowing(request)
        if self.rate:
            await asyncio.sleep(len(content) / self.rate)
        kept = {
            name: answer.headers[name] for name in ("Date", "Content-Type", "Retry-After") if name in answer.headers
        }
        return web.Response(status=answer.status, body=content, headers=kept)

    def _record_write(self, request: web.BaseRequest, body: bytes, sent: float, status: int) -> None:
        write = Write(
            by=self.name,
            method=request.method,
            path=request.path,
            body=orjson.loads(body) if body else {},
            sent=sent,
            answered=time.monotonic(),
            status=status,
        )
        self._record.append(write)

    async def _stream(self, request: web.BaseRequest, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        begun = self._expired
        response = web.StreamResponse(status=answer.status, headers={"Content-Type": answer.content_type})
        await response.prepare(request)
        async for piece in answer.content.iter_any():
            await self._flowing(request)
            if self.rate:
                await asyncio.sleep(len(piece) / self.rate)
            with suppress(ConnectionError):
                if begun != self._expired:
                    await response.write(b'{"type":"ERROR","object":' + GONE + b"}\n")
                    break
                await response.write(piece)
        return response


def _hung_up(request: web.BaseRequest) -> web.Response:
    """Cut the connection: the client is dead, or should not get an answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=503)


@asynccontextmanager
async def gateway(
    name: str, kubeconfig: Path, record: list[Write], *, calls: Ledger | None = None, copy: str | None = None
) -> AsyncIterator[tuple[Gateway, Path]]:
    """A gateway to the cluster of `kubeconfig`, and a kubeconfig that leads through it, with `copy` in its name."""
    upstream = _server(kubeconfig)
    connector = aiohttp.TCPConnector(ssl=False, limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as session:
        made = Gateway(name, upstream, session, record=record, calls=calls or Ledger())
        await made.start()
        through = kubeconfig.with_name(f"kubeconfig-{copy or name}")
        _lead_to(f"http://127.0.0.1:{made.port}", kubeconfig, through)
        try:
            yield made, through
        finally:
            await made.stop()


def _server(kubeconfig: Path) -> str:
    return str(yaml.safe_load(kubeconfig.read_text())["clusters"][0]["cluster"]["server"])


def _lead_to(server: str, kubeconfig: Path, copy: Path) -> None:
    config = yaml.safe_load(kubeconfig.read_text())
    config["clusters"][0]["cluster"] = {"server": server}
    copy.write_text(yaml.safe_dump(config))
