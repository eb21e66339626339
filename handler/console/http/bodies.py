"""What is posted, as bytes: read whole, in time, and only so much of it."""

import asyncio

from aiohttp import hdrs, web
from aiohttp.web_exceptions import HTTPRequestEntityTooLarge
from aiohttp.web_protocol import RequestPayloadError

from handler.console.http.problems import Problem

MAX_BODY = 1 << 20
"""Bytes of what is posted."""
BODY_SECONDS = 15.0
"""Within which it must have come."""


async def bytes_of(request: web.Request, *, content_type: str) -> bytes:
    """The body. Raises `Problem`: 415 for another content type, 413 above 1 MiB, 408 where it comes too slowly."""
    if request.content_type != content_type or hdrs.CONTENT_ENCODING in request.headers:
        raise Problem(415, "UNSUPPORTED_MEDIA_TYPE", f"The body must be {content_type}, not compressed.")
    if (request.content_length or 0) > MAX_BODY:
        raise too_large()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await request.read()
    except HTTPRequestEntityTooLarge:
        raise too_large() from None
    except TimeoutError:
        raise Problem(408, "TIMEOUT", f"The body did not come within {BODY_SECONDS:g} seconds.") from None
    except RequestPayloadError:
        raise Problem(400, "BROKEN_BODY", "The body is not as its headers say, or broke off.") from None


def too_large() -> Problem:
    """The answer to a body above the limit."""
    return Problem(413, "TOO_LARGE", "The body is larger than 1 MiB.")
