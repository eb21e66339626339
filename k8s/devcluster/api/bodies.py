"""Request bodies: JSON, checked against the fields of its kind. Whether values are valid is for the store to say."""

from typing import Any

import orjson
import yaml

from k8s.devcluster.api import protobuf
from k8s.devcluster.api.target import Target
from k8s.devcluster.errors import ApiError, bad_request, invalid
from k8s.devcluster.resources import Obj, Resource
from k8s.devcluster.rules.fields import Undecodable, decode

VALIDATIONS = ("Strict", "Warn", "Ignore")


def parse_json(raw: bytes) -> Any:
    """ApiError 400."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        message = f"couldn't get version/kind; json parse error: {error}"
        raise bad_request(message) from error


def parse_object(kind: Resource, raw: bytes, *, content_type: str, validation: str) -> tuple[Obj, list[str]]:
    """The object in `raw`, and warnings. ApiError 400: it is no such object, or (Strict) has unknown fields; 415."""
    body = _read(raw, content_type)
    if not isinstance(body, dict):
        message = (
            f"the object provided is unrecognized (must be of type {kind.kind}): couldn't get version/kind; "
            f"json parse error: json: cannot unmarshal {_go_type(body)} into Go value ({raw[:64].hex()})"
        )
        raise bad_request(message)
    _check_kind(kind, body)
    return check_fields(kind, body, validation=validation)


def _check_kind(kind: Resource, body: Obj) -> None:
    for name, wanted in (("kind", kind.kind), ("apiVersion", kind.api_version)):
        if body.get(name) not in (None, "", wanted):
            message = f"the object provided is unrecognized (must be of type {kind.kind}): {name} is {body[name]!r}"
            raise bad_request(message)


def _read(raw: bytes, content_type: str) -> Any:
    if content_type == protobuf.CONTENT_TYPE:
        return protobuf.read_object(raw)
    if content_type in ("", "application/json", "application/octet-stream"):
        return parse_json(raw)
    known = f"application/json, {protobuf.CONTENT_TYPE}"
    message = f"the body of the request was in an unknown format - accepted media types include: {known}"
    raise ApiError(415, "UnsupportedMediaType", message)


def check_fields(kind: Resource, body: Obj, *, validation: str) -> tuple[Obj, list[str]]:
    """`body` with known fields only, and the warnings. ApiError 400."""
    try:
        return _decoded(kind, body, validation)
    except Undecodable as error:
        raise bad_request(
            f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: {error}'
        ) from error


def check_patched(kind: Resource, patched: Obj, *, validation: str) -> tuple[Obj, list[str]]:
    """As `check_fields`, of an object that a PATCH led to. ApiError 422: it is the patch that is invalid then."""
    try:
        return _decoded(kind, patched, validation)
    except Undecodable as error:
        told = invalid("patch", orjson.dumps(patched, option=orjson.OPT_SORT_KEYS).decode(), str(error))
        cause = {"reason": told.reason, "message": told.message, "field": told.field}
        message = f' "" is invalid: {told.field}: {told.message}'
        raise ApiError(422, "Invalid", message, details={"causes": [cause]}) from error


def _decoded(kind: Resource, body: Obj, validation: str) -> tuple[Obj, list[str]]:
    if validation not in VALIDATIONS:
        allowed = ", ".join(f'"{name}"' for name in VALIDATIONS)
        message = f'fieldValidation: Unsupported value: "{validation}": supported values: {allowed}'
        raise ApiError(422, "Invalid", message)
    obj, unknown = decode(kind, body)
    told = [f'unknown field "{path}"' for path in unknown]
    if told and validation == "Strict":
        raise Undecodable(f"strict decoding error: {', '.join(told)}")
    return obj, told if validation == "Warn" else []


def parse_applied(kind: Resource, raw: bytes) -> Obj:
    """What is applied, from YAML. ApiError 400, or 500 as a real server answers it: it has unknown fields."""
    try:
        body = yaml.load(raw, Loader=_Loader)  # noqa: S506 it is a SafeLoader
    except yaml.YAMLError as error:
        raise bad_request(f"error decoding YAML: {error}") from error
    if not isinstance(body, dict):
        raise bad_request("error decoding YAML: the body is no object")
    _check_kind(kind, body)
    if (body.get("metadata") or {}).get("managedFields"):
        raise bad_request("metadata.managedFields must be nil")
    try:
        obj, unknown = decode(kind, body)
        told = [f".{path}: field not declared in schema" for path in unknown]
    except Undecodable as error:
        obj, told = {}, [str(error)]
    if told:
        metadata = body.get("metadata") or {}
        what = (
            f"{metadata.get('namespace', '')}/{metadata.get('name', '')}; {kind.group}/{kind.version}, Kind={kind.kind}"
        )
        why = told[0] if len(told) == 1 else "errors:" + "".join(f"\n  {line}" for line in told)
        raise ApiError(500, "", f"failed to create typed patch object ({what}): {why}")
    return obj


class _Loader(yaml.SafeLoader):
    """YAML whose scalars are those of JSON: what looks like a time stays a string."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def check_place(target: Target, obj: Obj) -> None:
    """Fill in namespace and name from the URL. ApiError 400: the body has others."""
    metadata = obj.setdefault("metadata", {})
    if target.kind.namespaced:
        if metadata.get("namespace") not in (None, "", target.namespace):
            message = "the namespace of the provided object does not match the namespace sent on the request"
            raise bad_request(message)
        metadata["namespace"] = target.namespace
    if target.name is not None:
        if metadata.get("name") not in (None, "", target.name):
            message = f"the name of the object ({metadata['name']}) does not match the name on the URL ({target.name})"
            raise bad_request(message)
        metadata["name"] = target.name


def _go_type(value: Any) -> str:
    return {str: "string", list: "array", bool: "bool"}.get(type(value), "number")
