"""The HTTP side: `/livez /readyz /healthz /metrics`, open to probes and to Prometheus, and read-only.

Whoever reaches the port may ask as often as they like. So what is asked is made only now and then, a connection has
one answer, and there are only so many of them: see connections.py.
"""

import gzip
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import cast

import orjson
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from handler.telemetry.answers import Answers
from handler.telemetry.connections import listening
from handler.telemetry.state import State

logger = logging.getLogger(__name__)

MAX_HEADERS = 4096
"""Bytes of a request's line, and of each of its headers. Nobody has to send a body: none is read."""
STATE = web.AppKey("state", State)


@asynccontextmanager
async def serve(state: State, *, address: str, fresh: float = 1.0) -> AsyncIterator[str]:
    """Serve until the block ends; yields the URL. Raises `AddressRefused`.

    `fresh`: how old an answer about this process may be, in seconds.
    """
    app = web.Application(middlewares=[_once])
    app[STATE] = state
    app.router.add_get("/livez", _livez)
    app.router.add_get("/readyz", _readyz)
    app.router.add_get("/healthz", _healthz(state, fresh))
    app.router.add_get("/metrics", _metrics(state, fresh))
    runner = web.AppRunner(
        app, access_log=None, lingering_time=0, max_line_size=MAX_HEADERS, max_field_size=MAX_HEADERS
    )
    await runner.setup()
    try:
        server = cast(web.Server, runner.server)
        async with listening(server, address=address, setting="JOBRELAY_HTTP_ADDRESS") as port:
            url = f"http://{address.rpartition(':')[0]}:{port}"
            logger.info("serving %s", url)
            yield url
    finally:
        await runner.cleanup()


@web.middleware
async def _once(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Close the connection after an answer: of those that keep theirs, each could ask in turn without a pause."""
    try:
        response = await handler(request)
    except web.HTTPException as error:
        response = web.Response(status=error.status, text=f"{error.reason}\n")
    response.force_close()
    return response


async def _livez(_: web.Request) -> web.Response:
    # The loop answers, so the process lives. A broker or API server that is down is no reason to restart it.
    return web.Response(text="ok\n")


async def _readyz(request: web.Request) -> web.Response:
    state = request.app[STATE]
    problems = state.problems()
    if problems:
        return web.Response(status=503, text="".join(f"{problem}\n" for problem in problems))
    # One tenant's namespace is no reason to take the whole process for unready.
    return web.Response(text="".join(f"{line}\n" for line in ("ok", *state.notes())))


def _healthz(state: State, fresh: float) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def report() -> bytes:
        return orjson.dumps(state.report())

    answers = Answers()

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(body=await answers.get("report", report, fresh=fresh), content_type="application/json")

    return healthz


def _metrics(state: State, fresh: float) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def exposition() -> tuple[bytes, bytes]:
        await state.measure()
        text = generate_latest(state.metrics.registry)
        return text, gzip.compress(text, compresslevel=1)

    answers = Answers()

    async def metrics(request: web.Request) -> web.Response:
        text, compressed = await answers.get("exposition", exposition, fresh=fresh)
        headers = {hdrs.CONTENT_TYPE: CONTENT_TYPE_PLAIN_0_0_4, hdrs.VARY: hdrs.ACCEPT_ENCODING}
        if "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, ""):
            return web.Response(body=compressed, headers=headers | {hdrs.CONTENT_ENCODING: "gzip"})
        return web.Response(body=text, headers=headers)

    return metrics
