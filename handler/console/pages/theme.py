"""The switch between light and dark, for those whose browser runs no scripts, too."""

from aiohttp import web

from handler.console.http.back import back_to
from handler.console.http.keys import BASE
from handler.console.pages.rendering import THEME, THEMES

_YEAR = 365 * 86400


def routes() -> list[web.RouteDef]:
    """`/theme?to=dark&back=/queue`: changes what this browser shows, nothing else, so a link may do it."""
    return [web.get("/theme", _choose)]


async def _choose(request: web.Request) -> web.StreamResponse:
    base, chosen = request.app[BASE], request.query.get("to")
    response = web.HTTPSeeOther(f"{base}{back_to(request.query.get('back', '/'))}")
    if chosen in THEMES:
        response.set_cookie(THEME, chosen, path=f"{base}/", max_age=_YEAR, samesite="Strict")
    raise response
