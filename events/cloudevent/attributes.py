"""The rules of CloudEvents 1.0 for context attributes: names, types, characters. Not formats, not bindings."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from events.cloudevent.timestamp import EXAMPLE, format_time, parse_time

SPECVERSION = "1.0"
REQUIRED = ("id", "source", "type")
MAX_NAME = 100
"""Characters of an attribute's name. The specification recommends no more than 20, but allows them."""
MAX_VALUE = 8192
"""UTF-8 bytes of an attribute's value: everything here also travels in headers and annotations."""
MAX_MISTAKES = 50

RESERVED = frozenset({"data", "database64"})
"""Names that no attribute can have: the event's data has them."""
_NAME = re.compile(rf"[a-z0-9]{{1,{MAX_NAME}}}", re.ASCII)
_NO_NAME = re.compile(r"[^a-z0-9]", re.ASCII)
# CloudEvents type system, String: no control characters, no noncharacters, no lone surrogates.
_FORBIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef"
    + "".join(f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0, 0x110000, 0x10000))
    + "]"
)
# What RFC 3986 excludes. Characters beyond ASCII pass (RFC 3987): refusing them would help nobody.
_NOT_IN_URI = re.compile(r'[\s<>"{}|\\^`]|%(?![0-9A-Fa-f]{2})|#.*#')
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - RFC 9110's word, no secret
_MEDIA_TYPE = re.compile(rf"{_TOKEN}/{_TOKEN}\s*(;.*)?", re.ASCII)
_INT32 = range(-(2**31), 2**31)


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong with the attribute of this name, in words that follow it and never hold its value."""

    name: str
    message: str

    def __str__(self) -> str:
        return f"attribute {self.name} {self.message}"


class BrokenRules(ValueError):
    """Attributes that no event can have; `mistakes` has each of them, at most `MAX_MISTAKES`."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        found = tuple(mistakes)
        self.mistakes = found[:MAX_MISTAKES]
        more = len(found) - len(self.mistakes)
        super().__init__("; ".join([*map(str, self.mistakes), *([f"and {more} more"] if more else [])]))


def is_name(text: str) -> bool:
    """Whether it has the form of an attribute's name. The names in `RESERVED` have it too."""
    return _NAME.fullmatch(text) is not None


def normalise(attributes: Mapping[str, object]) -> dict[str, Any]:
    """A new dict of those that are there (None means absent), with `time` as an aware datetime and other times as text.

    Raises `BrokenRules` with all mistakes.
    """
    known: dict[str, Any] = {}
    mistakes: list[Mistake] = []
    for name, value in attributes.items():
        if value is None:
            continue
        check = _CHECKS.get(name)
        try:
            # Nearly all: a name that is known, with a text in which nothing is forbidden.
            plain = check is not None and type(value) is str and _is_plain(value)
            typed = value if plain else _typed(name, value)
            known[name] = typed if check is None else check(typed)
        except ValueError as error:
            mistakes.append(Mistake(shown_name(name), str(error)))
    if mistakes or not known.keys() >= _WANTED:
        missing = [Mistake(name, "is missing") for name in _WANTED_IN_ORDER if attributes.get(name) is None]
        raise BrokenRules([*mistakes, *missing])
    return known


def readable(attributes: Mapping[str, object]) -> dict[str, str]:
    """Those of id, source, type and subject that are valid by themselves: what a refusal can name."""
    found = {}
    for name, check in _IDENTIFYING.items():
        try:
            found[name] = check(_typed(name, attributes.get(name)))
        except ValueError:
            continue
    return found


def is_text(value: object) -> bool:
    """Whether it is a string that an attribute which must not be empty can have."""
    if not isinstance(value, str) or not value:
        return False
    try:
        _text(value)
    except ValueError:
        return False
    return True


def shown(text: object) -> str:
    """A short, printable form of an untrusted name for messages. Values are not shown at all."""
    quoted = ascii(text)
    return quoted if len(quoted) <= 80 else f"{quoted[:77]}..."


def shown_name(name: object) -> str:
    """An attribute's name as messages have it: quoted if it is none."""
    return name if isinstance(name, str) and is_name(name) else shown(name)


def kind_of(value: object) -> str:
    """What a value is, in words of JSON: all that messages say of it."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case bytes() | bytearray():
            return "bytes"
        case list() | tuple():
            return "a list"
        case dict():
            return "an object"
        case _:
            return "something else"


def _typed(name: str, value: object) -> object:
    if name not in _CHECKS:
        _check_name(name)
    if isinstance(value, datetime):
        if name == "time" and value.tzinfo is UTC:
            return value  # Formatting and parsing it, as below, would only give the same time again.
        value = _time_text(value)
    if isinstance(value, str):
        return _text(value)
    if name in _CHECKS or isinstance(value, bool):
        return value  # The check of this name refuses what is no text.
    if isinstance(value, int) and value in _INT32:
        return value
    what = "a decimal or longer number" if isinstance(value, int | float) else kind_of(value)
    raise ValueError(f"must be text, a boolean or an integer of 32 bits, not {what}")


def _check_name(name: str) -> None:
    if not is_name(name):
        like = _NO_NAME.sub("", name.lower())[:MAX_NAME]
        raise ValueError(f"must have a name of a-z and 0-9, at most {MAX_NAME}" + (f", such as {like}" if like else ""))
    if name in RESERVED:
        raise ValueError("has the name of the event's data")


def _text(value: str) -> str:
    if _is_plain(value):
        return value  # The rules below are slower.
    if _FORBIDDEN.search(value):
        raise ValueError("holds a control character or another that CloudEvents forbids")
    if len(value.encode()) > MAX_VALUE:
        raise ValueError(f"is longer than {MAX_VALUE} bytes")
    return value


def _is_plain(value: str) -> bool:
    return len(value) <= MAX_VALUE and value.isascii() and value.isprintable()


def _time_text(value: datetime) -> str:
    if value.utcoffset() is None:
        raise ValueError("is a time without an offset from UTC")
    return format_time(value)


def _plain(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be text, not {kind_of(value)}")
    return value


def _non_empty(value: object) -> str:
    if not _plain(value):
        raise ValueError("must not be empty")
    return str(value)


def _version(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f'must be the text "{SPECVERSION}", not {kind_of(value)}')
    if value != SPECVERSION:
        raise ValueError(f'has a version that is not supported, only "{SPECVERSION}" is')
    return value


def _uri_reference(value: object) -> str:
    text = _non_empty(value)
    if _NOT_IN_URI.search(text):
        raise ValueError("is no URI reference: it holds a character that has to be escaped (a space is written %20)")
    return text


def _media_type(value: object) -> str:
    text = _plain(value)
    if text and not _MEDIA_TYPE.fullmatch(text):
        raise ValueError("is no media type such as application/json")
    return text


def _datetime(value: object) -> datetime:
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str):
        raise ValueError(f"must be {EXAMPLE}, not {kind_of(value)}")
    try:
        return parse_time(_non_empty(value))
    except ValueError as error:
        raise ValueError(_sentence(str(error))) from error


def _sentence(reason: str) -> str:
    return reason if reason.startswith("must ") else f"is {reason}"


def _timestamp(value: object) -> str:
    _datetime(value)
    return _non_empty(value)


_WANTED_IN_ORDER = ("specversion", *REQUIRED)
_WANTED = frozenset(_WANTED_IN_ORDER)
_IDENTIFYING: Mapping[str, Callable[[object], str]] = {
    "id": _non_empty,
    "source": _uri_reference,
    "type": _non_empty,
    "subject": _plain,
}
# The attributes that something is done with. Others, dataschema included, are passed on as they came.
_CHECKS: Mapping[str, Callable[[object], object]] = {
    "specversion": _version,
    **_IDENTIFYING,
    "datacontenttype": _media_type,
    "dataschema": _plain,
    "time": _datetime,
    "expirytime": _timestamp,
}
