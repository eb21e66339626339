"""What browsers are told with every answer: load nothing from elsewhere, be framed by nobody, keep nothing."""

from aiohttp import hdrs, web

from handler.console.http.keys import BASE

CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
"""No script and no style but our own files, and no text that becomes HTML or script."""
ALWAYS = {
    "Content-Security-Policy": CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # With `no-referrer`, browsers send `Origin: null` with our own forms: all that older ones say of whose they are.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Called for every answer, streams too, before its headers are sent."""
    response.headers.update(ALWAYS)
    response.headers.pop(hdrs.SERVER, None)
    # Files carry the hash of their content in their names, and say themselves how long they may be kept.
    if not (response.status in (200, 304) and is_static(request)):
        response.headers[hdrs.CACHE_CONTROL] = "no-store"


def path_of(request: web.Request) -> str:
    """Without the path that all are below."""
    return request.path.removeprefix(request.app[BASE])


def is_static(request: web.Request) -> bool:
    """Whether a file of the page is asked for, which anybody may have."""
    return path_of(request).startswith("/static/")


def is_api(request: web.Request) -> bool:
    """Whether the answer is for a program: JSON."""
    return path_of(request).startswith("/api/")
