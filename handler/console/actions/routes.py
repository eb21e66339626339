"""The paths that actions are posted to, by forms and as JSON."""

from aiohttp import web


def routes() -> list[web.RouteDef]:
    """Without the path that all are below."""
    return []
