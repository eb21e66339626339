"""The audit log: who asked for what, in lines of audit.k8s.io/v1, like a real API server's. No bodies."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import orjson
from aiohttp import web

from k8s.devcluster.api.identity import ANONYMOUS, Users
from k8s.devcluster.api.target import parse_path, verb
from k8s.devcluster.errors import ApiError

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@contextmanager
def audited(api: Handler, users: Users, path: Path | None) -> Iterator[Handler]:
    """`api`, but each of its requests is appended to the file at `path`. Without `path`, `api` itself."""
    if path is None:
        yield api
        return
    with path.open("a", buffering=1) as file:
        yield _Audit(api, users, file)


class _Audit:
    def __init__(self, api: Handler, users: Users, file: TextIO) -> None:
        self._api = api
        self._users = users
        self._file = file

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        event = self._event(request)
        if event["verb"] == "watch":
            # It may take long to end, or never end.
            self._write(event, "RequestReceived")
        try:
            response = await self._api(request)
        except asyncio.CancelledError:
            self._write(event, "ResponseComplete")
            raise
        self._write(event | {"responseStatus": {"metadata": {}, "code": response.status}}, "ResponseComplete")
        return response

    def _event(self, request: web.BaseRequest) -> dict[str, Any]:
        event = {
            "kind": "Event",
            "apiVersion": "audit.k8s.io/v1",
            "level": "Metadata",
            "auditID": str(uuid.uuid4()),
            "requestURI": request.path_qs,
            "verb": request.method.lower(),
            "user": {"username": self._users.name(request.headers.get("Authorization")) or ANONYMOUS},
            "sourceIPs": [request.remote],
            "userAgent": request.headers.get("User-Agent", ""),
            "requestReceivedTimestamp": _now(),
        }
        target = parse_path(request.path)
        if target is None:
            return event
        try:
            event["verb"] = verb(target, request.method, request.query)
        except ApiError:
            return event
        reference = {
            "resource": target.kind.plural,
            "namespace": target.namespace,
            "name": target.name,
            "apiGroup": target.kind.group,
            "apiVersion": target.kind.version,
            "subresource": target.subresource,
        }
        return event | {"objectRef": {name: value for name, value in reference.items() if value}}

    def _write(self, event: dict[str, Any], stage: str) -> None:
        self._file.write(orjson.dumps(event | {"stage": stage, "stageTimestamp": _now()}).decode() + "\n")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
