"""What is asked for, checked as a whole: parameters of the query, and bodies in JSON."""

from typing import Any, TypeVar, get_args, get_origin

import orjson
from aiohttp import web
from pydantic import BaseModel

from handler.console.http.bodies import bytes_of
from handler.console.http.faults import checked, names_of, unknown
from handler.console.http.problems import Fault, Problem

M = TypeVar("M", bound=BaseModel)
JSON_TYPE = "application/json"
MAX_VALUE = 2000
"""Characters of a parameter."""


def query_of(request: web.Request, model: type[M]) -> M:
    """The parameters as this model, whose fields are named by their aliases. An empty one counts as not given.

    Fields that are lists or tuples take a parameter each time it is given. Raises `Problem` with everything that is
    wrong: unknown names with the nearest known one, repeated ones, and what the model says.
    """
    known, values, faults = names_of(model), dict[str, Any](), list[Fault]()
    for name in dict.fromkeys(request.query):
        given = [value for value in request.query.getall(name) if value]
        if name not in known:
            faults.append(unknown(name, known))
        elif any("\0" in value or len(value) > MAX_VALUE for value in given):
            faults.append(
                Fault(path=name, message="too long, or with a NUL character", allowed=f"{MAX_VALUE} characters")
            )
        elif _is_list(model, known[name]):
            values[name] = given
        elif len(given) > 1:
            faults.append(Fault(path=name, message="given more than once"))
        elif given:
            values[name] = given[0]
    return checked(model, values, faults, of="The parameters")


def number_of(request: web.Request) -> int:
    """The number in the path, whose route takes digits alone."""
    return int(request.match_info["number"])


async def json_of(request: web.Request) -> Any:
    """The body of a request, JSON. Raises `Problem`."""
    body = await bytes_of(request, content_type=JSON_TYPE)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        # Not the error's own text, which may quote the body.
        where = f"line {error.lineno}, column {error.colno}"
        raise Problem(400, "INVALID_JSON", f"The body is no JSON: it cannot be read at {where}.") from None


async def body_of(request: web.Request, model: type[M]) -> M:
    """The body, JSON, as this model. Raises `Problem` with everything that is wrong."""
    values = await json_of(request)
    if not isinstance(values, dict):
        raise Problem(400, "INVALID_PARAMETERS", "The body must be a JSON object.")
    return checked(model, values, [], of="The fields of the body")


def _is_list(model: type[BaseModel], field: str) -> bool:
    annotation = model.model_fields[field].annotation
    kinds = (annotation, *get_args(annotation))
    return any(get_origin(kind) in (list, tuple, set, frozenset) for kind in kinds)
