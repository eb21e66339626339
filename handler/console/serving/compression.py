"""Answers in fewer bytes, for whoever reads gzip."""

import asyncio
import gzip

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

LEAST = 1400
"""Bytes below which it saves no packet."""
_AT_ONCE = 64 << 10
"""Bytes that are compressed within a millisecond; more in a thread, so that others need not wait."""
_TYPES = frozenset({"text/html", "text/plain", "application/json", "application/problem+json"})
"""Files of the page are compressed already, and streams are sent as they come."""


@web.middleware
async def compress(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Compress what is worth it.

    A page holds a token and texts of others, from whose compressed length the token could be guessed (BREACH); but only
    pages of ours can ask for it with the cookie (`SameSite=Strict`).
    """
    response = await handler(request)
    if not isinstance(response, web.Response) or response.content_type not in _TYPES or response.prepared:
        return response
    response.headers[hdrs.VARY] = hdrs.ACCEPT_ENCODING
    body = response.body
    wanted = (
        "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, "").lower()
        and hdrs.CONTENT_ENCODING not in response.headers
    )
    if wanted and isinstance(body, bytes | bytearray) and len(body) >= LEAST:
        small = len(body) <= _AT_ONCE
        response.body = _packed(body) if small else await asyncio.to_thread(_packed, body)
        response.headers[hdrs.CONTENT_ENCODING] = "gzip"
    return response


def _packed(body: bytes | bytearray) -> bytes:
    return gzip.compress(body, compresslevel=4, mtime=0)
