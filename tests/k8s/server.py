"""A small API server that misbehaves as a test asks: objects, watches, faults. Sets no defaults, validates nothing."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

JOBS = "/apis/batch/v1/namespaces/ns/jobs"
PODS = "/api/v1/namespaces/ns/pods"
EVENTS = "/api/v1/namespaces/ns/events"
CRON_JOBS = "/apis/batch/v1/namespaces/ns/cronjobs"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/ns/leases"

Manifest = dict[str, Any]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def status(code: int, reason: str, message: str = "", **details: Any) -> Manifest:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message or reason,
        "reason": reason,
        "details": details,
        "code": code,
    }


@dataclass
class Fault:
    """Answers the next `times` requests of `method` whose path and query contain `part`, in place of the server."""

    handler: Handler
    method: str
    part: str
    times: int


@dataclass
class Watcher:
    collection: str
    queue: asyncio.Queue[bytes | None] = field(default_factory=asyncio.Queue)


class Server:
    """Objects by collection path and name. `requests` logs method and path with query of everything that arrived."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], Manifest] = {}
        self.requests: list[tuple[str, str]] = []
        self.bodies: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.watchers: list[Watcher] = []
        self.version = 100
        self.page = 500
        self.url = ""
        self._history: list[tuple[int, str, bytes]] = []
        self._compacted = 0
        self._faults: list[Fault] = []
        self._open = asyncio.Event()
        self._open.set()
        self._runner: web.AppRunner | None = None
        self._port = 0

    # running

    async def start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True)
        await site.start()
        self._port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{self._port}"

    async def stop(self) -> None:
        """Connections are cut, and new ones refused until `start`."""
        self.cut()
        self._open.set()
        if self._runner is not None:
            await self._runner.cleanup()
        self._runner = None

    # faults

    def fault(self, handler: Handler, *, method: str = "", part: str = "", times: int = 1) -> None:
        self._faults.append(Fault(handler, method, part, times))

    def answer(
        self,
        code: int,
        body: object = "",
        *,
        method: str = "",
        part: str = "",
        times: int = 1,
        headers: dict[str, str] | None = None,
    ) -> None:
        text = body if isinstance(body, str) else json.dumps(body)

        async def handler(_: web.Request) -> web.Response:
            return web.Response(status=code, text=text, headers=headers)

        self.fault(handler, method=method, part=part, times=times)

    def heal(self) -> None:
        """No more faults."""
        self._faults.clear()

    def hang(self) -> None:
        """Every request waits until `unhang`, then goes on."""
        self._open.clear()

    def unhang(self) -> None:
        self._open.set()

    def cut(self) -> None:
        """End every watch connection."""
        for watcher in self.watchers:
            watcher.queue.put_nowait(None)

    def compact(self) -> None:
        """Forget the history: no watch can start at an older version."""
        self._compacted = self.version
        self._history.clear()

    # objects

    def put(self, collection: str, manifest: Manifest, *, silent: bool = False) -> Manifest:
        key = (collection, manifest["metadata"]["name"])
        kind = "MODIFIED" if key in self.objects else "ADDED"
        self.version += 1
        manifest = {**manifest, "metadata": {**manifest["metadata"], "resourceVersion": str(self.version)}}
        self.objects[key] = manifest
        self._record(collection, kind, manifest, silent=silent)
        return manifest

    def delete(self, collection: str, name: str, *, silent: bool = False) -> None:
        manifest = self.objects.pop((collection, name))
        self.version += 1
        manifest = {**manifest, "metadata": {**manifest["metadata"], "resourceVersion": str(self.version)}}
        self._record(collection, "DELETED", manifest, silent=silent)

    def bookmark(self, collection: str) -> None:
        body = {"kind": "Job", "metadata": {"resourceVersion": str(self.version)}, "spec": {}, "status": {}}
        self.line(collection, json.dumps({"type": "BOOKMARK", "object": body}).encode())

    def line(self, collection: str, line: bytes) -> None:
        """Send a raw line to the watches of a collection."""
        for watcher in self.watchers:
            if watcher.collection == collection:
                watcher.queue.put_nowait(line + b"\n")

    def _record(self, collection: str, kind: str, manifest: Manifest, *, silent: bool) -> None:
        if silent:
            return
        line = json.dumps({"type": kind, "object": manifest}).encode()
        self._history.append((self.version, collection, line + b"\n"))
        self.line(collection, line)

    # requests

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.method, request.path_qs))
        self.headers.append(dict(request.headers))
        self.bodies.append(await request.json() if request.can_read_body else None)
        for fault in self._faults:
            if fault.times > 0 and fault.method in request.method and fault.part in request.path_qs:
                fault.times -= 1
                return await fault.handler(request)
        await self._open.wait()
        if "watch" in request.query:
            return await self._watch(request)
        answer: Callable[[web.Request], tuple[int, Manifest]] = getattr(self, f"_{request.method.lower()}")
        code, body = answer(request)
        return web.json_response(body, status=code)

    def _get(self, request: web.Request) -> tuple[int, Manifest]:
        if request.path.rsplit("/", 1)[1] in {"jobs", "pods", "cronjobs", "leases", "events"}:
            return self._list(request)
        found = self.objects.get(_key(request.path))
        return (200, found) if found else _not_found(request)

    def _list(self, request: web.Request) -> tuple[int, Manifest]:
        token = request.query.get("continue", "")
        first = int(token) if token else 0
        items = [body for (collection, _), body in sorted(self.objects.items()) if collection == request.path]
        last = first + min(self.page, int(request.query.get("limit", "500")))
        metadata = {"resourceVersion": str(self.version)} | ({"continue": str(last)} if last < len(items) else {})
        return 200, {"kind": "List", "metadata": metadata, "items": items[first:last]}

    def _post(self, request: web.Request) -> tuple[int, Manifest]:
        manifest = self.bodies[-1]
        if (request.path, manifest["metadata"]["name"]) in self.objects:
            return 409, status(409, "AlreadyExists")
        manifest["metadata"] |= {"uid": f"uid-{self.version}"}
        return 201, self.put(request.path, manifest)

    def _put(self, request: web.Request) -> tuple[int, Manifest]:
        collection, name = _key(request.path)
        found, sent = self.objects.get((collection, name)), self.bodies[-1]
        if found is None:
            return _not_found(request)
        if sent["metadata"].get("resourceVersion") != found["metadata"]["resourceVersion"]:
            return 409, status(409, "Conflict")
        return 200, self.put(collection, sent)

    def _delete(self, request: web.Request) -> tuple[int, Manifest]:
        if _key(request.path) not in self.objects:
            return _not_found(request)
        self.delete(*_key(request.path))
        return 200, {"kind": "Status", "metadata": {}}

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        since = int(request.query["resourceVersion"])
        if since < self._compacted:
            expired = status(410, "Expired", f"too old resource version: {since}")
            await response.write(json.dumps({"type": "ERROR", "object": expired}).encode() + b"\n")
            return response
        watcher = Watcher(request.path)
        for version, collection, line in self._history:
            if version > since and collection == request.path:
                watcher.queue.put_nowait(line)
        self.watchers.append(watcher)
        try:
            while (sent := await watcher.queue.get()) is not None:
                await response.write(sent)
        finally:
            self.watchers.remove(watcher)
        return response


def _key(path: str) -> tuple[str, str]:
    collection, name = path.rsplit("/", 1)
    return collection, name


def _not_found(request: web.Request) -> tuple[int, Manifest]:
    kind, name = request.path.rsplit("/", 2)[1:]
    return 404, status(404, "NotFound", f'{kind} "{name}" not found', kind=kind, name=name)
