"""Answers in JSON."""

from collections.abc import Mapping
from typing import Any

import orjson
from aiohttp import web
from pydantic import BaseModel

JSON_TYPE = "application/json"


def answer(model: BaseModel, *, status: int = 200) -> web.Response:
    """A model as JSON, by its aliases."""
    return web.Response(status=status, body=dumped(model), content_type=JSON_TYPE)


def written(document: Mapping[str, Any]) -> web.Response:
    """A document as JSON."""
    return web.Response(body=orjson.dumps(document), content_type=JSON_TYPE)


def dumped(model: BaseModel) -> bytes:
    """A model as JSON, by its aliases; numbers of events and results in the digits they were written with."""
    document = model.model_dump(by_alias=True)
    try:
        return orjson.dumps(document)
    except TypeError:
        # JSON can spell half of a surrogate pair, and UTF-8 cannot.
        return orjson.dumps(_whole(document))


def _whole(value: Any) -> Any:
    match value:
        case str():
            return value.encode(errors="replace").decode()
        case dict():
            return {_whole(name): _whole(inner) for name, inner in value.items()}
        case list() | tuple():
            return [_whole(inner) for inner in value]
        case _:
            return value
