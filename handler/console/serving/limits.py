"""How much of the server one client can have, and what is counted of what it asks."""

from collections import Counter
from http import HTTPStatus
from time import perf_counter

from aiohttp import web
from aiohttp.typedefs import Handler

from handler.console.http.keys import BACKEND
from handler.console.http.problems import Problem
from handler.console.security.addresses import bucket_of, client_of
from handler.console.serving.headers import is_api, is_static, path_of
from handler.settings.page import is_loopback
from handler.telemetry.connections import Connections

CONNECTIONS = web.AppKey("connections", Connections)
STREAMS = web.AppKey("streams", Counter[str])
"""Open streams by the address of whoever listens."""
RETRY_SECONDS = 10


@web.middleware
async def measure(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Count the request, time it, and keep its connection for as long as it is used."""
    metrics, connections, streams = request.app[BACKEND].metrics, request.app[CONNECTIONS], is_stream(request)
    (connections.hold if streams else connections.touch)(request.protocol)
    begun, status = perf_counter(), HTTPStatus.INTERNAL_SERVER_ERROR.value
    try:
        response = await handler(request)
        status = response.status
        return response
    except web.HTTPException as redirect:
        status = redirect.status
        raise
    finally:
        connections.touch(request.protocol)
        metrics.page_requests.labels(part_of(request), f"{status // 100}xx").inc()
        if not streams:
            metrics.page_seconds.observe(perf_counter() - begun)


@web.middleware
async def limit_streams(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Raises `Problem` (503) for who has many streams already."""
    if not is_stream(request):
        return await handler(request)
    open_, metrics = request.app[STREAMS], request.app[BACKEND].metrics
    settings = request.app[BACKEND].settings
    client, most = client_of(request, settings.ui_networks), settings.ui_streams_per_address
    address = bucket_of(client)
    # This machine's own are not counted, nor those of a proxy beside us.
    if open_[address] >= most and not is_loopback(client):
        detail = f"There are {most} streams to this address already."
        raise Problem(503, "TOO_MANY_STREAMS", detail, retry_after=RETRY_SECONDS)
    open_[address] += 1
    metrics.page_streams.inc()
    try:
        return await handler(request)
    finally:
        metrics.page_streams.dec()
        open_[address] -= 1
        if not open_[address]:
            del open_[address]


def is_stream(request: web.Request) -> bool:
    """Whether the answer goes on until the client has enough."""
    return is_api(request) and path_of(request).endswith("/stream")


def part_of(request: web.Request) -> str:
    """What of the page this is, as metrics call it."""
    if is_static(request):
        return "static"
    if is_stream(request):
        return "stream"
    if request.method == "POST":
        return "action"
    return "api" if is_api(request) else "page"
