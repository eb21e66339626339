"""The paths that are streamed from."""

from aiohttp import web

from handler.console.http.operation import EVENTS, Operation, routes_of
from handler.console.live.asked import Resuming
from handler.console.live.lists import StreamQuery, stream_list
from handler.console.live.logs import LogStreamQuery, stream_log
from handler.console.live.one import stream_request

OPERATIONS = (
    Operation(
        method="GET",
        path="/stream",
        name="streamRequests",
        summary="A list of requests, as it changes: server-sent events `requests`, `gone` and `resync`.",
        handler=stream_list,
        query=StreamQuery,
        media=EVENTS,
    ),
    Operation(
        method="GET",
        path="/requests/{number}/stream",
        name="streamRequest",
        summary="A request, as it changes: server-sent events `request`, `told` and `resync`.",
        handler=stream_request,
        query=Resuming,
        media=EVENTS,
        problems=(404,),
    ),
    Operation(
        method="GET",
        path="/requests/{number}/logs/stream",
        name="streamLog",
        summary="A log, as it grows: server-sent events `log`, `resync` and `end`.",
        handler=stream_log,
        query=LogStreamQuery,
        media=EVENTS,
        problems=(404,),
    ),
)


def routes() -> list[web.RouteDef]:
    """Without the path that all are below."""
    return routes_of(OPERATIONS)
