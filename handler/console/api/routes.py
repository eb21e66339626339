"""The paths of the JSON API that are read from."""

from aiohttp import web


def routes() -> list[web.RouteDef]:
    """Without the path that all are below."""
    return []
