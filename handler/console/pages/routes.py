"""The paths of the pages."""

from aiohttp import web

from handler.console.pages import acting, assets, done, request, requests, submit, theme


def routes() -> list[web.RouteDef]:
    """Without the path that all are below."""
    return [
        *assets.routes(),
        *theme.routes(),
        *requests.routes(),
        *request.routes(),
        *submit.routes(),
        *done.routes(),
        *acting.routes(),
    ]
