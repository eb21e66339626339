"""The paths of the pages."""

from aiohttp import web

from handler.console.pages import assets, theme


def routes() -> list[web.RouteDef]:
    """Without the path that all are below."""
    return [*assets.routes(), *theme.routes()]
