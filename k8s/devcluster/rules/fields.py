"""Decodes request bodies by the fields of their kind: finds unknown fields, checks types, drops nulls.

The client library's models say which fields there are. Each is imported at its first use.
"""

import re
from base64 import b64decode
from collections.abc import Callable
from functools import cache
from typing import Any

from k8s.devcluster.resources import Obj, Resource
from k8s.devcluster.rules.quantities import canonical
from k8s.devcluster.times import parse_time
from k8s.library import fields_of

Unknown = list[str]
_Decode = Callable[[Any, str, Unknown], Any]

_AMOUNTS = {
    "allocatable", "allocatedResources", "capacity", "default", "defaultRequest", "hard", "limits", "max",
    "maxLimitRequestRatio", "min", "requests", "used",
}  # fmt: skip
_SCALARS: dict[str, type | tuple[type, ...]] = {
    "str": str,
    "int": int,
    "bool": bool,
    "float": (int, float),
    "datetime": str,
}
_ENCODED = {("V1Secret", "data"), ("V1ConfigMap", "binaryData")}
_GO_TYPES = {"str": "string", "int": "int32", "bool": "bool", "float": "float64", "datetime": "Time"}


class Undecodable(Exception):
    """The body is no object of this kind. The message is that of Kubernetes' decoder."""


def decode(kind: Resource, obj: Obj) -> tuple[Obj, Unknown]:
    """`obj` without unknown and null fields, and the paths of the unknown fields. Undecodable: a wrong type."""
    unknown: Unknown = []
    decoded: Obj = _model(kind.model, kind.kind)(obj, "", unknown)
    return decoded, unknown


@cache
def _model(name: str, owner: str) -> _Decode:
    """The decoder of a model in a field of `owner`. It looks fields up at first use: models may contain themselves."""
    types = fields_of(name)
    decoders: dict[str, _Decode] = {}

    def decode_model(value: Any, path: str, unknown: Unknown) -> Any:
        if not isinstance(value, dict):
            raise Undecodable(_mismatch(value, path, owner, _go_type(name)))
        known = {}
        for field, item in value.items():
            where = f"{path}.{field}" if path else field
            if field not in types:
                # Long unused, but every server still accepts them.
                if field not in ("selfLink", "managedFields"):
                    unknown.append(where)
            elif item is not None:
                if field not in decoders:
                    encoded = (name, field) in _ENCODED
                    own = _struct(name)
                    decoders[field] = _dict(_base64, own, "[]uint8") if encoded else _decoder(types[field], field, own)
                known[field] = decoders[field](item, where, unknown)
        return known

    return decode_model


def _decoder(declared: str, field: str, owner: str) -> _Decode:
    """The decoder of a field of type `declared`, in the client library's words, in the struct `owner`."""
    if declared.startswith("list["):
        item = declared[5:-1]
        return _list(_decoder(item, field, owner), owner, _go_type(item))
    if declared.startswith("dict("):
        item = declared[5:-1].partition(", ")[2]
        decode_item = _quantity(owner) if field in _AMOUNTS else _decoder(item, field, owner)
        return _dict(decode_item, owner, _go_type(item))
    if declared == "object":
        return _anything
    if declared in _GO_TYPES:
        return _quantity(owner) if field in ("sizeLimit", "divisor") else _scalar(declared, owner)
    return _model(declared, owner)


def _list(decode_item: _Decode, owner: str, wanted: str) -> _Decode:
    def decode_list(value: Any, path: str, unknown: Unknown) -> Any:
        if not isinstance(value, list):
            raise Undecodable(_mismatch(value, path, owner, f"[]{wanted}"))
        return [decode_item(item, f"{path}[{number}]", unknown) for number, item in enumerate(value)]

    return decode_list


def _dict(decode_item: _Decode, owner: str, wanted: str) -> _Decode:
    def decode_dict(value: Any, path: str, unknown: Unknown) -> Any:
        if not isinstance(value, dict):
            raise Undecodable(_mismatch(value, path, owner, f"map[string]{wanted}"))
        return {name: decode_item("" if item is None else item, path, unknown) for name, item in value.items()}

    return decode_dict


def _scalar(declared: str, owner: str) -> _Decode:
    wanted = _SCALARS[declared]

    def decode_scalar(value: Any, path: str, _unknown: Unknown) -> Any:
        if not isinstance(value, wanted) or (isinstance(value, bool) and declared != "bool"):
            raise Undecodable(_mismatch(value, path, owner, _GO_TYPES[declared]))
        if declared == "datetime":
            _check_time(str(value))
        return value

    return decode_scalar


def _check_time(text: str) -> None:
    try:
        parse_time(text)
    except ValueError as error:
        raise Undecodable(str(error)) from None


def _base64(value: Any, path: str, _unknown: Unknown) -> Any:
    if not isinstance(value, str):
        raise Undecodable(_mismatch(value, path, "Secret", "[]uint8"))
    try:
        b64decode(value, validate=True)
    except ValueError as error:
        raise Undecodable("illegal base64 data at input byte 0") from error
    return value


def _quantity(owner: str) -> _Decode:
    def decode_quantity(value: Any, path: str, _unknown: Unknown) -> Any:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise Undecodable(_mismatch(value, path, owner, "string"))
        try:
            return canonical(value)
        except ValueError as error:
            raise Undecodable(str(error)) from error

    return decode_quantity


def _anything(value: Any, _path: str, _unknown: Unknown) -> Any:
    return value


_JSON_TYPES = {str: "string", bool: "bool", int: "number", float: "number", list: "array", dict: "object"}
_INDEX = re.compile(r"\[[0-9]+\]")


def _mismatch(value: Any, path: str, owner: str, wanted: str) -> str:
    """Go's message. It names the struct of the field, and leaves out which item of a list it is."""
    found = _JSON_TYPES.get(type(value), "null")
    return f"json: cannot unmarshal {found} into Go struct field {owner}.{_INDEX.sub('', path)} of type {wanted}"


def _struct(model: str) -> str:
    """The Go name of a model: V1JobSpec is JobSpec."""
    return model.removeprefix("Core").removeprefix("V1")


def _go_type(declared: str) -> str:
    return _GO_TYPES.get(declared) or f"v1.{_struct(declared)}"
