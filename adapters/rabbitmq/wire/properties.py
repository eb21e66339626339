"""Properties of a message in the payload of its content header (sections 2.3.5 and 4.2.6 of the specification).

Read here where they are well-formed; what is not is for the library to judge, so that both always find the same. What
we write is what the library would write.
"""

import struct
from functools import lru_cache
from typing import Any, TypeAlias

import pamqp.decode
import pamqp.header
from pamqp.commands import Basic

Properties: TypeAlias = Basic.Properties

_BEGIN = 12
"""Class, weight, and size of the body come before."""
_SHORT, _LONG = struct.Struct(">H"), struct.Struct(">I")
_UNUSUAL = 0b11
"""Flags that no property of these has; the lower one says that more flags follow."""
_LONG_STRING = 0x53
_TIME = 8


_EACH = tuple((name, flag, Properties.amqp_type(name) == "shortstr") for name, flag in Properties.flags.items())


def encoded(properties: Properties) -> bytes:
    """As they stand in a content header. Raises `ValueError` or `TypeError` for what cannot be sent."""
    flags, parts = 0, [b""]
    for name, flag, short in _EACH:
        value = getattr(properties, name)
        if value is None or value == "":
            continue
        flags |= flag
        if short:
            text = value.encode()
            parts += (bytes((len(text),)), text)
        else:
            parts.append(properties.encode_property(name, value))
    parts[0] = _SHORT.pack(flags)
    return b"".join(parts)


def properties_of(header: bytes) -> Properties:
    """What the payload of a content header says; nothing at all where the library could not decode it.

    Anybody who may publish can send a name that is no text, or a time beyond the end of time.
    """
    try:
        return _well_formed(header)
    except Exception:  # noqa: BLE001 - whatever a decoder raises
        return _judged(header)


def _judged(header: bytes) -> Properties:
    found = pamqp.header.ContentHeader()
    try:
        found.unmarshal(header)
    except Exception:  # noqa: BLE001 - whatever a decoder raises
        return Properties()
    return found.properties


def _well_formed(header: bytes) -> Properties:
    (flags,) = _SHORT.unpack_from(header, _BEGIN)
    if flags & _UNUSUAL:
        raise ValueError("unusual flags")
    found = Properties()
    at = _BEGIN + 2
    value: Any
    for name, kind in _fields(flags):
        if kind == "shortstr":
            end = at + 1 + header[at]
            value, at = header[at + 1 : end].decode(), end
        elif kind == "octet":
            value, at = header[at], at + 1
        elif kind == "table":
            value, at = _table(header, at)
        else:
            value, at = pamqp.decode.timestamp(header[at : at + _TIME])[1], at + _TIME
        setattr(found, name, value)
    if at > len(header):
        raise ValueError("longer than its frame")
    return found


# Publishers send few combinations. Other flags than those of properties were refused before.
@lru_cache(maxsize=64)
def _fields(flags: int) -> tuple[tuple[str, str], ...]:
    """Names and types of the properties with these flags, in their order."""
    return tuple(
        (name, Properties.amqp_type(name)) for name in Properties.attributes() if flags & Properties.flags[name]
    )


def _table(header: bytes, at: int) -> tuple[dict[str, Any], int]:
    """A table, and where it ends. Nearly all values are strings."""
    end = at + 4 + _LONG.unpack_from(header, at)[0]
    at += 4
    found: dict[str, Any] = {}
    value: Any
    while at < end:
        begin = at + 1 + header[at]
        name = header[at + 1 : begin].decode()
        if header[begin] == _LONG_STRING:
            at = begin + 5 + _LONG.unpack_from(header, begin + 1)[0]
            value = _text(header[begin + 5 : at])
        else:
            # All that follows: of a value that is too long, the library reads on behind the table.
            used, value = pamqp.decode.embedded_value(header[begin:])
            at = begin + used
        found[name] = value
    if at != end:
        raise ValueError("values longer than their table")
    return found, end


def _text(value: bytes) -> str | bytes:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value
