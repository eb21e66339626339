"""What a message says of itself that is too large to be read: a few texts, found without keeping anything else."""

from collections.abc import Collection
from typing import Any

import msgspec

LOOKED_AT = 1 << 22
"""Bytes of a message beyond which it is not even looked at: looking takes a millisecond for each 250 kB."""
_MOST = 8192
"""Bytes of a text, as it is written, that is believed."""
_ABSENT = msgspec.Raw(b"null")


class _Envelope(msgspec.Struct):
    id: msgspec.Raw = _ABSENT
    source: msgspec.Raw = _ABSENT
    type: msgspec.Raw = _ABSENT
    subject: msgspec.Raw = _ABSENT


class _Around(msgspec.Struct):
    data: msgspec.Raw = _ABSENT


class _Naming(msgspec.Struct):
    id: msgspec.Raw = _ABSENT
    service: msgspec.Raw = _ABSENT


def attributes_of(body: bytes) -> dict[str, str]:
    """Those of id, source, type and subject that are text, of a structured event. Empty if it cannot be told."""
    return _texts(body, _Envelope, ("id", "source", "type", "subject"))


def names_in(body: bytes, *, structured: bool) -> dict[str, str]:
    """`id` and `service` in the data, as far as they are there and are text; the body is the data, or an event."""
    if structured:
        found = _look(body, _Around)
        body = b"" if found is None else bytes(found.data)
    return _texts(body, _Naming, ("id", "service"))


def _texts(body: bytes, kind: type[msgspec.Struct], names: Collection[str]) -> dict[str, str]:
    found = _look(body, kind)
    texts = {name: _text(getattr(found, name)) for name in names} if found else {}
    return {name: text for name, text in texts.items() if text is not None}


def _text(raw: msgspec.Raw) -> str | None:
    if len(memoryview(raw)) > _MOST:
        return None
    value = _look(bytes(raw), str)
    return value if isinstance(value, str) else None


def _look(body: bytes, kind: type[Any]) -> Any:
    if len(body) > LOOKED_AT:
        return None
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
