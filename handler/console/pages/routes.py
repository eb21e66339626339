"""The paths of the pages."""

from aiohttp import web


def routes() -> list[web.RouteDef]:
    """Without the path that all are below."""
    return []
