"""The page as an application: its routes, and what holds for every one of them."""

from collections import Counter
from collections.abc import Sequence

from aiohttp import web

from handler.console.actions import routes as actions
from handler.console.api import routes as api
from handler.console.backend import Backend
from handler.console.http.bodies import MAX_BODY
from handler.console.http.keys import BACKEND, BASE, SEAL
from handler.console.live import routes as live
from handler.console.live.hub import HUB, Hub, running
from handler.console.live.lists import written
from handler.console.pages import routes as pages
from handler.console.security.security import SECURITY, Security
from handler.console.serving import login
from handler.console.serving.compression import compress
from handler.console.serving.errors import translate_errors
from handler.console.serving.guard import guard
from handler.console.serving.headers import add_headers
from handler.console.serving.limits import STREAMS, limit_streams, measure
from handler.console.serving.people import tell_person


def application(backend: Backend, security: Security, *, more: Sequence[web.RouteDef] = ()) -> web.Application:
    """Everything that is served. `more`: further routes, without the path that all are below."""
    base = backend.settings.ui_base_path
    app = web.Application(
        middlewares=[measure, compress, translate_errors, limit_streams, tell_person, guard], client_max_size=MAX_BODY
    )
    app[BACKEND], app[BASE], app[SECURITY], app[SEAL] = backend, base, security, security.seal
    app[STREAMS] = Counter()
    app[HUB] = Hub(backend, write=written)
    app.cleanup_ctx.append(running)
    app.on_response_prepare.append(add_headers)
    for route in (*login.routes(), *pages.routes(), *live.routes(), *api.routes(), *actions.routes(), *more):
        web.RouteDef(route.method, base + route.path, route.handler, route.kwargs).register(app.router)
    if base:
        app.router.add_get(base, _to_front)
    return app


async def _to_front(request: web.Request) -> web.StreamResponse:
    raise web.HTTPPermanentRedirect(f"{request.app[BASE]}/")
