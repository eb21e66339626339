"""The paths that are streamed from."""

from aiohttp import web


def routes() -> list[web.RouteDef]:
    """Without the path that all are below."""
    return []
