"""The paths that actions are posted to, by forms and as JSON."""

from aiohttp import web

from handler.console.actions.operations import OPERATIONS
from handler.console.http.operation import routes_of


def routes() -> list[web.RouteDef]:
    """Without the path that all are below."""
    return routes_of(OPERATIONS)
