"""The paths of the JSON API that are read from."""

from aiohttp import web

from handler.console.actions import operations as actions
from handler.console.api.document import document
from handler.console.api.operations import OPERATIONS
from handler.console.api.raw import stream_log
from handler.console.http.answers import written
from handler.console.http.keys import BACKEND, BASE
from handler.console.http.operation import Operation, routes_of
from handler.console.live import routes as live
from handler.console.security.sessions import cookie_of


async def describe(request: web.Request) -> web.Response:
    """The document about all that can be asked."""
    auth = request.app[BACKEND].settings.ui_auth
    return written(document(EVERYTHING, base=request.app[BASE], auth=auth, cookie=cookie_of(request)))


DESCRIBED = Operation(
    method="GET",
    path="/openapi.json",
    name="describe",
    summary="This document",
    handler=describe,
    answer={"type": "object"},
    group="page",
)
EVERYTHING = (*OPERATIONS, *live.OPERATIONS, *actions.OPERATIONS, DESCRIBED)
"""All that the JSON API can be asked, wherever it is answered."""


def routes() -> list[web.RouteDef]:
    """Without the path that all are below."""
    raw = web.get("/requests/{number:[0-9]{1,18}}/logs", stream_log)
    return [*routes_of((*OPERATIONS, DESCRIBED)), raw]
