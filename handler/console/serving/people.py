"""Who asks, told before anything else is looked at."""

from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from yarl import URL

from handler.console.http.keys import BASE, FORM_TOKEN, PERSON
from handler.console.http.problems import Problem
from handler.console.security.forgery import token_of
from handler.console.security.security import KEEP, SECURITY, nobody
from handler.console.security.sessions import cookie_of
from handler.console.serving.headers import is_api, is_static, path_of

SAFE: Final = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS})
"""Methods that change nothing."""
OPEN: Final = frozenset({"/login", "/theme"})
"""Paths for those who have not said yet who they are."""
_AGAIN = '<!doctype html>\n<meta http-equiv="refresh" content="0">\n<title>jobrelay</title>\n<a href="">Go on</a>\n'


@web.middleware
async def tell_person(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Say who asks. Whoever has to log in first is sent there; who does not get in at all gets a `Problem`."""
    if is_static(request):
        return await handler(request)
    if _comes_from_elsewhere(request):
        return web.Response(text=_AGAIN, content_type="text/html")
    security = request.app[SECURITY]
    session = security.session(request)
    person = security.door.person(request, session)
    if person is not None:
        request[PERSON] = person
    elif path_of(request) not in OPEN:
        return _to_login(request)
    if is_api(request) or (person is not None and person.bearer):
        # Programs keep no cookies, and what pages ask for must not replace that of the page.
        request.pop(KEEP, None)
    request[FORM_TOKEN] = token_of(security.seal, person or nobody(session))
    try:
        response = await handler(request)
    except web.HTTPRedirection as moved:
        _write_cookie(request, moved)
        raise
    _write_cookie(request, response)
    return response


def _write_cookie(request: web.Request, response: web.StreamResponse) -> None:
    request.app[SECURITY].write_cookie(request, response, path=request.app[BASE] or "/")


def _comes_from_elsewhere(request: web.Request) -> bool:
    """Whether a link on another site leads here: then the browser has kept our cookies back, if it has any (`Strict`).

    To answer as if it had none would ask for a login. So the page has itself loaded again, this time from here.
    """
    foreign = request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site")
    alone = not any(cookie_of(request, proven=proven) in request.cookies for proven in (True, False))
    return foreign and alone and request.method in SAFE and not is_api(request)


def _to_login(request: web.Request) -> web.StreamResponse:
    if is_api(request) or request.method not in SAFE:
        raise Problem(401, "UNAUTHENTICATED", "Log in, or send `Authorization: Bearer` with the token.")
    back = request.raw_path.removeprefix(request.app[BASE])
    raise web.HTTPSeeOther(URL(f"{request.app[BASE]}/login").with_query(back=back))
