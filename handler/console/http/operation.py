"""What the JSON API can be asked, as data: both its routes and the document that describes it are made from this.

Every folder that answers such requests has `OPERATIONS`.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from pydantic import BaseModel

PREFIX = "/api/v1"
JSON, EVENTS, TEXT = "application/json", "text/event-stream", "text/plain"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Asked = type[BaseModel] | Mapping[str, Any]
"""A model, or a schema (JSON Schema 2020-12) for what no model describes."""
COMMON = (400, 401, 403, 503)
"""Statuses of problems that any operation may answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """GET or POST of one path. `path`: below `PREFIX`, as `/requests/{number}`. `name`: unique, as `listRequests`.

    `query`: its fields, by alias, are the parameters. `body`: what is sent as JSON; `bodiless`: it may be left out.
    `answer`: what `status` carries, as `media`; None where that is no JSON. `also`: what other statuses carry, JSON.
    `problems`: statuses that it answers beside those of `COMMON`. `group`: what the document files it under.
    """

    method: str
    path: str
    name: str
    summary: str
    handler: Handler
    query: type[BaseModel] | None = None
    body: Asked | None = None
    bodiless: bool = False
    answer: Asked | None = None
    status: int = 200
    media: str = JSON
    also: Mapping[int, Asked] = field(default_factory=dict)
    problems: tuple[int, ...] = ()
    group: str = "requests"


def routes_of(operations: Iterable[Operation]) -> list[web.RouteDef]:
    """Where they are answered, without the path that all are below. A number in a path is of digits alone."""
    return [_route(one, PREFIX + one.path.replace("{number}", "{number:[0-9]{1,18}}")) for one in operations]


def _route(one: Operation, path: str) -> web.RouteDef:
    if one.method != "GET":
        return web.post(path, one.handler)
    # A stream has no end, and so no head alone.
    return web.get(path, one.handler, allow_head=one.media != EVENTS)
