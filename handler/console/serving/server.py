"""Serves the page at its address until the process ends."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import cast

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from handler.console.backend import Backend
from handler.console.pages.rendering import compile_all
from handler.console.security.security import Security
from handler.console.serving.application import application
from handler.console.serving.limits import CONNECTIONS
from handler.telemetry.connections import Connections, listening

logger = logging.getLogger(__name__)

MAX_LINE = 8190
"""Bytes of a request's line, and of each of its headers."""
MAX_HEADERS = 64
"""That a request may have."""
KEPT_SECONDS = 20.0
"""For which a connection is kept without a request."""
END_SECONDS = 3.0
"""That requests in hand get at the end; streams have ended before."""


@dataclass(frozen=True, slots=True)
class Serving:
    """`url`: of the first page, with a slash at its end. `app`: what answers."""

    url: str
    app: web.Application


@asynccontextmanager
async def serve_page(backend: Backend, *, more: Sequence[web.RouteDef] = ()) -> AsyncIterator[Serving | None]:
    """Serve until the block ends; yields None where there is to be no page.

    Raises `AddressRefused` and `FileRefused`. `more`: further routes.
    """
    address = backend.settings.ui_address
    if address is None:
        yield None
        return
    made = application(backend, Security(backend.settings), more=more)
    connections = Connections(backend.settings.ui_connections)
    made[CONNECTIONS] = connections
    # In a thread, as the recorder goes on meanwhile.
    await asyncio.to_thread(compile_all)
    runner = web.AppRunner(
        made,
        access_log=None,
        logger=_protocol_log(),
        auto_decompress=False,
        keepalive_timeout=KEPT_SECONDS,
        lingering_time=1.0,
        max_line_size=MAX_LINE,
        max_field_size=MAX_LINE,
        max_headers=MAX_HEADERS,
        shutdown_timeout=END_SECONDS,
    )
    await runner.setup()
    try:
        server = cast(web.Server, runner.server)
        async with listening(server, address=address, setting="JOBRELAY_UI_ADDRESS", connections=connections) as port:
            url = f"http://{address.rpartition(':')[0]}:{port}{backend.settings.ui_base_path}/"
            logger.info("serving the page at %s", url)
            yield Serving(url, made)
    finally:
        await runner.cleanup()


def _protocol_log() -> logging.Logger:
    """Where errors outside of all handlers go. That somebody sends what is no HTTP is none: anybody can, endlessly."""
    found = logging.getLogger(f"{__name__}.protocol")
    if not found.filters:
        found.addFilter(lambda record: not _is_no_http(record))
    return found


def _is_no_http(record: logging.LogRecord) -> bool:
    return record.exc_info is not None and isinstance(record.exc_info[1], HttpProcessingError)
