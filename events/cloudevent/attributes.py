"""The rules of CloudEvents 1.0 for context attributes: names, types, characters. Not formats, not bindings."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from events.cloudevent.timestamp import format_time, parse_time

SPECVERSION = "1.0"
REQUIRED = ("id", "source", "type")
MAX_NAME = 100
"""Characters of an attribute's name. The specification recommends no more than 20, but allows them."""
MAX_VALUE = 8192
"""UTF-8 bytes of an attribute's value: everything here also travels in headers and annotations."""

RESERVED = frozenset({"data", "database64"})
"""Names that no attribute can have: the event's data has them."""
_NAME = re.compile(rf"[a-z0-9]{{1,{MAX_NAME}}}", re.ASCII)
# CloudEvents type system, String: no control characters, no noncharacters, no lone surrogates.
_FORBIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef"
    + "".join(f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0, 0x110000, 0x10000))
    + "]"
)
# What RFC 3986 excludes. Characters beyond ASCII pass (RFC 3987): refusing them would help nobody.
_NOT_IN_URI = re.compile(r'[\s<>"{}|\\^`]|%(?![0-9A-Fa-f]{2})|#.*#')
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:", re.ASCII)
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - RFC 9110's word, no secret
_MEDIA_TYPE = re.compile(rf"{_TOKEN}/{_TOKEN}\s*(;.*)?", re.ASCII)
_INT32 = range(-(2**31), 2**31)


def is_name(text: str) -> bool:
    """Whether it has the form of an attribute's name. The names in `RESERVED` have it too."""
    return _NAME.fullmatch(text) is not None


def normalise(attributes: Mapping[str, object]) -> dict[str, Any]:
    """A new dict of those that are there (None means absent), with `time` as an aware datetime and other times as text.

    Raises `ValueError` with one sentence about the first attribute that breaks a rule.
    """
    known: dict[str, Any] = {name: _typed(name, value) for name, value in attributes.items() if value is not None}
    version = known.get("specversion")
    if version is None:
        raise ValueError("attribute specversion is missing")
    if version != SPECVERSION:
        raise ValueError(f"specversion {shown(version)} is not supported, only {SPECVERSION}")
    for name in REQUIRED:
        if name not in known:
            raise ValueError(f"attribute {name} is missing")
    for name, check in _CHECKS.items():
        if name in known:
            known[name] = check(name, known[name])
    return known


def readable(attributes: Mapping[str, object]) -> dict[str, str]:
    """Those of id, source, type and subject that are valid by themselves: what a refusal can name."""
    found = {}
    for name, check in _IDENTIFYING.items():
        try:
            found[name] = check(name, _typed(name, attributes.get(name)))
        except ValueError:
            continue
    return found


def is_text(value: object) -> bool:
    """Whether it is a string that an attribute which must not be empty can have."""
    if not isinstance(value, str) or not value:
        return False
    try:
        _text("", value)
    except ValueError:
        return False
    return True


def shown(value: object) -> str:
    """A short, printable form of an untrusted value for messages."""
    text = ascii(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _typed(name: str, value: object) -> str | bool | int | datetime:
    if not is_name(name):
        raise ValueError(f"attribute name {shown(name)}: only a-z and 0-9, at most {MAX_NAME}")
    if name in RESERVED:
        raise ValueError(f"{name} cannot be the name of an attribute")
    if isinstance(value, datetime):
        if name == "time" and value.tzinfo is UTC:
            return value  # Formatting and parsing it, as below, would only give the same time again.
        value = _time_text(name, value)
    if isinstance(value, str):
        return _text(name, value)
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and value in _INT32:
        return value
    raise ValueError(f"attribute {name}: text, a boolean or an integer of 32 bits, not {shown(value)}")


def _text(name: str, value: str) -> str:
    if len(value) <= MAX_VALUE and value.isascii() and value.isprintable():
        return value  # Nearly all values are like that, and the rules below are slower.
    if _FORBIDDEN.search(value):
        raise ValueError(f"attribute {name} holds a control character or another that CloudEvents forbids")
    if len(value.encode()) > MAX_VALUE:
        raise ValueError(f"attribute {name} is longer than {MAX_VALUE} bytes")
    return value


def _time_text(name: str, value: datetime) -> str:
    if value.utcoffset() is None:
        raise ValueError(f"attribute {name}: a time without an offset from UTC")
    return format_time(value)


def _non_empty(name: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"attribute {name} must be a text that is not empty")
    return value


def _uri_reference(name: str, value: object) -> str:
    text = _non_empty(name, value)
    if _NOT_IN_URI.search(text):
        raise ValueError(f"attribute {name} is no URI reference: {shown(text)}")
    return text


def _uri(name: str, value: object) -> str:
    text = _uri_reference(name, value)
    if not _SCHEME.match(text):
        raise ValueError(f"attribute {name} must be an absolute URI: {shown(text)}")
    return text


def _media_type(name: str, value: object) -> str:
    text = _non_empty(name, value)
    if not _MEDIA_TYPE.fullmatch(text):
        raise ValueError(f"attribute {name} is no media type: {shown(text)}")
    return text


def _datetime(name: str, value: object) -> datetime:
    if isinstance(value, datetime):
        return value
    try:
        return parse_time(_non_empty(name, value))
    except ValueError as error:
        raise ValueError(f"attribute {name}: {shown(value)} is {_reason(error)}") from error


def _reason(error: ValueError) -> str:
    text = str(error)
    return text if text.startswith("not ") else f"not a time: {text}"


def _timestamp(name: str, value: object) -> str:
    _datetime(name, value)
    return _non_empty(name, value)


_IDENTIFYING = {"id": _non_empty, "source": _uri_reference, "type": _non_empty, "subject": _non_empty}
_CHECKS = _IDENTIFYING | {
    "datacontenttype": _media_type,
    "dataschema": _uri,
    "time": _datetime,
    "expirytime": _timestamp,
}
