"""The paths that are streamed from."""

from aiohttp import web

from handler.console.http.operation import routes_of
from handler.console.live.operations import OPERATIONS


def routes() -> list[web.RouteDef]:
    """Without the path that all are below."""
    return routes_of(OPERATIONS)
