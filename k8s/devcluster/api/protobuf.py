"""Decodes the protobuf that `kubectl create` sends. Refuses, by name, fields that protobuf_messages.py lacks."""

import base64
from collections.abc import Callable, Iterator
from typing import Any

from k8s.devcluster.api.protobuf_messages import MESSAGES, Field
from k8s.devcluster.errors import ApiError, bad_request
from k8s.devcluster.resources import Obj

CONTENT_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\0"
_VARINT, _BYTES = 0, 2


def read_object(raw: bytes) -> Obj:
    """The object in a Kubernetes protobuf envelope. ApiError 400: malformed; 415: unknown field."""
    if not raw.startswith(_MAGIC):
        raise bad_request("the body is not Kubernetes protobuf: it does not start with its magic number")
    try:
        envelope = _message("Unknown", raw[len(_MAGIC) :])
        about = envelope.get("typeMeta", {})
        if about.get("kind") not in MESSAGES:
            raise _unreadable(str(about.get("kind")))
        obj: Obj = about | _message(about["kind"], base64.b64decode(envelope["raw"]))
        return obj
    except (IndexError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise bad_request("the body is not valid protobuf") from error


def _message(name: str, raw: bytes) -> Obj:
    known = MESSAGES[name]
    obj: Obj = {}
    for number, value in _fields(raw):
        field = known.get(number)
        if field is None:
            raise _unreadable(f"field {number} of {name}")
        if field.type != "skip":
            _set(obj, field, value)
    return obj


def _set(obj: Obj, field: Field, value: Any) -> None:
    if field.shape == "map":
        entry = dict(_fields(value))
        obj.setdefault(field.name, {})[entry.get(1, b"").decode()] = _convert(field, entry.get(2, b""))
    elif field.shape == "list":
        obj.setdefault(field.name, []).append(_convert(field, value))
    elif field.shape == "inline":
        obj.update(_convert(field, value))
    else:
        converted = _convert(field, value)
        # Fields that are not pointers in Go are always sent: empty means not set.
        if converted or field.type not in ("text", "count", "flag"):
            obj[field.name] = converted


def _convert(field: Field, value: Any) -> Any:
    if field.type == "Quantity":
        return _message(field.type, value).get("string", "0")
    return _SCALARS[field.type](value) if field.type in _SCALARS else _message(field.type, value)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


_SCALARS: dict[str, Callable[[Any], Any]] = {
    "text": bytes.decode,
    "bytes": lambda value: base64.b64encode(value).decode(),
    "int": _signed,
    "count": _signed,
    "bool": bool,
    "flag": bool,
}


def _fields(raw: bytes) -> Iterator[tuple[int, Any]]:
    """Field numbers and values: an int, or bytes for text, bytes and messages."""
    at = 0
    while at < len(raw):
        tag, at = _varint(raw, at)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, at = _varint(raw, at)
            yield number, value
        elif wire == _BYTES:
            length, at = _varint(raw, at)
            if at + length > len(raw):
                raise IndexError(at)
            yield number, raw[at : at + length]
            at += length
        else:
            raise _unreadable(f"wire type {wire}")


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = raw[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _unreadable(what: str) -> ApiError:
    message = f"this server does not read {what} in {CONTENT_TYPE}: send application/json"
    return ApiError(415, "UnsupportedMediaType", message)
