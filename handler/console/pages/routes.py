"""The paths of the pages."""

from aiohttp import web

from handler.console.pages import assets, request, requests, theme


def routes() -> list[web.RouteDef]:
    """Without the path that all are below."""
    return [*assets.routes(), *theme.routes(), *requests.routes(), *request.routes()]
