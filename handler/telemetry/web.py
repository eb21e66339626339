"""The HTTP side: `/livez /readyz /healthz /metrics`, open to probes and to Prometheus, and read-only."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client.aiohttp import make_aiohttp_handler

from handler.telemetry.state import State

logger = logging.getLogger(__name__)

STATE = web.AppKey("state", State)


@asynccontextmanager
async def serve(state: State, *, address: str) -> AsyncIterator[str]:
    """Serve until the block ends; yields the URL. Raises `OSError` if the address cannot be used."""
    app = web.Application()
    app[STATE] = state
    metrics = make_aiohttp_handler(state.metrics.registry)

    async def measured(request: web.Request) -> web.StreamResponse:
        state.measure()
        return await metrics(request)

    app.router.add_get("/livez", _livez)
    app.router.add_get("/readyz", _readyz)
    app.router.add_get("/healthz", _healthz)
    app.router.add_get("/metrics", measured)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        host, _, port = address.rpartition(":")
        site = web.TCPSite(runner, host.strip("[]"), int(port))
        await site.start()
        url = f"http://{host}:{runner.addresses[0][1]}"
        logger.info("serving %s", url)
        yield url
    finally:
        await runner.cleanup()


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


async def _healthz(request: web.Request) -> web.Response:
    return web.json_response(request.app[STATE].report())
