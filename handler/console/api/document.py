"""The OpenAPI document, made from the operations and their models. Pure."""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from handler.console.api.parameters import parameters_of, path_parameters
from handler.console.api.problem import ProblemDocument
from handler.console.http.operation import COMMON, JSON, PREFIX, Asked, Operation
from handler.console.security.forgery import HEADER

VERSION = "1.0.0"
"""Of the API: the first number changes with what breaks clients."""
PROBLEM_TYPE = "application/problem+json"
_TEMPLATE = "#/components/schemas/{model}"
_DESCRIPTION = """\
What happened to requests, what waits, and what can be done about it. Actions are published as CloudEvents: 202 says
that this was done, and the audit what came of it. Times are RFC 3339, durations seconds, amounts cores and bytes. Lists
are paged by a token; there are no counts. Errors are problem documents (RFC 9457) that name everything that is wrong.
"""
Document = dict[str, Any]
_Mode = Literal["validation", "serialization"]
_Names = Mapping[tuple[Any, str], str]
"""References to schemas, by model and mode."""


def document(operations: Iterable[Operation], *, base: str, auth: str, cookie: str) -> Document:
    """OpenAPI 3.1. `base`: the path that all is below. `auth`: as `JOBRELAY_UI_AUTH` has it. `cookie`: of sessions."""
    operations = tuple(operations)
    names, schemas = _schemas(operations)
    paths: dict[str, Document] = {}
    for one in operations:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, names, schemas)
    queries = {names[one.query, "validation"].rpartition("/")[2] for one in operations if one.query is not None}
    components: Document = {"schemas": {name: schemas[name] for name in sorted(schemas) if name not in queries}}
    security: list[Document] = []
    if auth == "token":
        components["securitySchemes"] = _security(cookie)
        security = [{name: []} for name in components["securitySchemes"]]
    return {
        "openapi": "3.1.0",
        "info": {"title": "jobrelay", "version": VERSION, "description": _DESCRIPTION},
        "servers": [{"url": base + PREFIX}],
        "security": security,
        "paths": paths,
        "components": components,
    }


def _security(cookie: str) -> Document:
    posting = f"Whoever posts with it also sends the token of the page's forms, as the header {HEADER}."
    return {
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "The token of those who may act, or that of those who may only look.",
        },
        "session": {
            "type": "apiKey",
            "in": "cookie",
            "name": cookie,
            "description": f"Of a browser that has logged in. {posting}",
        },
    }


def _schemas(operations: Iterable[Operation]) -> tuple[_Names, Document]:
    """References to the schemas of all models, and the schemas by name."""
    wanted: list[tuple[type[BaseModel], _Mode]] = [(ProblemDocument, "serialization")]
    for one in operations:
        wanted += [(model, "validation") for model in (one.query, one.body) if isinstance(model, type)]
        answers = (one.answer, *one.also.values())
        wanted += [(model, "serialization") for model in answers if isinstance(model, type)]
    found, definitions = models_json_schema(list(dict.fromkeys(wanted)), ref_template=_TEMPLATE)
    return {(model, mode): schema["$ref"] for (model, mode), schema in found.items()}, definitions["$defs"]


def _operation(one: Operation, names: _Names, schemas: Document) -> Document:
    parameters = path_parameters(one.path)
    if one.query is not None:
        parameters += parameters_of(schemas[names[one.query, "validation"].rpartition("/")[2]])
    found: Document = {
        "operationId": one.name,
        "summary": one.summary,
        "tags": [one.group],
        "parameters": parameters,
        "responses": _problems(one, names) | _answers(one, names),
    }
    if one.body is not None:
        found["requestBody"] = {
            "required": not one.bodiless,
            "content": {JSON: {"schema": _schema(one.body, "validation", names)}},
        }
    return found


def _answers(one: Operation, names: _Names) -> Document:
    schema = {"type": "string"} if one.answer is None else _schema(one.answer, "serialization", names)
    found = {one.status: {one.media: {"schema": schema}}}
    found |= {status: {JSON: {"schema": _schema(asked, "serialization", names)}} for status, asked in one.also.items()}
    return {
        str(status): {"description": HTTPStatus(status).phrase, "content": content} for status, content in found.items()
    }


def _problems(one: Operation, names: _Names) -> Document:
    statuses = {*COMMON, *one.problems}
    statuses |= {404} if "{" in one.path else set()
    statuses |= {413, 415} if one.body is not None else set()
    content = {PROBLEM_TYPE: {"schema": {"$ref": names[ProblemDocument, "serialization"]}}}
    return {str(status): {"description": HTTPStatus(status).phrase, "content": content} for status in sorted(statuses)}


def _schema(asked: Asked, mode: _Mode, names: _Names) -> Document:
    return {"$ref": names[asked, mode]} if isinstance(asked, type) else dict(asked)
