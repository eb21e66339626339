"""Serves the page at its address until the process ends."""

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from aiohttp import web

from handler.console.backend import Backend
from handler.console.serving.application import application

logger = logging.getLogger(__name__)


@asynccontextmanager
async def serve_page(backend: Backend, *, more: Sequence[web.RouteDef] = ()) -> AsyncIterator[str | None]:
    """Serve until the block ends; yields the URL, None where there is to be no page. Raises `OSError`.

    `more`: further routes.
    """
    address = backend.settings.ui_address
    if address is None:
        yield None
        return
    runner = web.AppRunner(application(backend, more=more), access_log=None, auto_decompress=False)
    await runner.setup()
    try:
        host, _, port = address.rpartition(":")
        site = web.TCPSite(runner, host.strip("[]"), int(port))
        await site.start()
        url = f"http://{host}:{runner.addresses[0][1]}{backend.settings.ui_base_path}/"
        logger.info("serving the page at %s", url)
        yield url
    finally:
        await runner.cleanup()
