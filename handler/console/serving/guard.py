"""Who may act: whatever changes something passes here, so that no handler has to ask again."""

from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from handler.console.http.keys import BACKEND, PERSON
from handler.console.http.problems import Problem
from handler.console.security.forgery import check_meant
from handler.console.security.security import SECURITY, nobody
from handler.console.serving.headers import is_api, path_of
from handler.console.serving.people import SAFE

HARMLESS: Final = frozenset({"/login", "/logout"})
"""Paths that change nothing but what a browser keeps: for viewers too."""


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Raises `Problem` (403) for actions while nobody may act, of who may only look, and of who did not mean it."""
    if request.method in SAFE or request.match_info.http_exception is not None:
        return await handler(request)
    person = request.get(PERSON)
    if path_of(request) not in HARMLESS:
        if request.app[BACKEND].settings.ui_read_only == "on":
            raise Problem(403, "READ_ONLY", "Nobody can act here: JOBRELAY_UI_READ_ONLY is on.")
        if person is None or not person.operator:
            raise Problem(403, "FORBIDDEN", "You may look, but not act.")
        if is_api(request) and request.can_read_body and not _is_json(request.content_type):
            raise Problem(415, "UNSUPPORTED_MEDIA_TYPE", "The body must be application/json.")
    elif person is not None and path_of(request) == "/login":
        # Who is in already needs nothing more. The form may be from before its browser has shown that, see `cookie_of`.
        return await handler(request)
    security = request.app[SECURITY]
    await check_meant(request, security.seal, person or nobody(security.session(request)))
    return await handler(request)


def _is_json(content_type: str) -> bool:
    return content_type == "application/json" or content_type.endswith("+json")
