"""CloudEvents in brokers' messages: the mode of a message, attributes in headers. Not the JSON format itself."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote_to_bytes

from cloudevents.core.v1.event import CloudEvent

from events.cloudevent.attributes import readable, shown
from events.cloudevent.event import (
    BATCH,
    STRUCTURED,
    InvalidEvent,
    decode_structured,
    encode_structured,
    from_parts,
    is_json,
    parse_json,
)
from events.cloudevent.timestamp import format_time

CONTENT_TYPE = "Content-Type"
_PREFIX = "ce-"
_AMQP_PREFIXES = (_PREFIX, "cloudevents:", "cloudevents_")
_CLOUDEVENTS = "application/cloudevents"
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([^\s\";]+)", re.IGNORECASE)


def from_nats(headers: Mapping[str, str] | None, body: bytes) -> CloudEvent:
    """NATS protocol binding: the content type decides the mode; binary attributes are percent-encoded `ce-` headers.

    A message with neither content type nor `ce-` header is structured, as in the binding's first version, which knew no
    headers. In binary mode a content type stands in for a missing `ce-datacontenttype`. Raises `InvalidEvent`.
    """
    lowered = _lowered(headers or {})
    content_type = lowered.get(CONTENT_TYPE.lower())
    raw = {name.removeprefix(_PREFIX): value for name, value in lowered.items() if name.startswith(_PREFIX)}
    if content_type is None and not raw:
        return decode_structured(body)
    if content_type is not None and content_type.strip().lower().startswith(_CLOUDEVENTS):
        return _structured(content_type, body)
    return _binary(_decoded(raw), content_type, body)


def to_nats(event: CloudEvent) -> tuple[dict[str, str], bytes]:
    """Headers and body of the event in structured mode, which every reader understands."""
    return {CONTENT_TYPE: STRUCTURED}, encode_structured(event)


def from_amqp(headers: Mapping[str, object] | None, content_type: str | None, body: bytes) -> CloudEvent:
    """AMQP 0.9.1: the property `content_type` decides the mode; binary attributes are headers as they are.

    There is no official binding for this version of AMQP and clients differ, so the prefixes `ce-`, `cloudEvents:` and
    `cloudEvents_` are accepted, in upper or lower case. Values are text, booleans, integers or timestamps, and not
    percent-encoded. Without the property, a header of that name decides; without either and without attributes the
    message is structured. Raises `InvalidEvent`.
    """
    raw: dict[str, object] = {}
    for header, value in (headers or {}).items():
        lowered = header.lower()
        prefix = next((prefix for prefix in _AMQP_PREFIXES if lowered.startswith(prefix)), None)
        if prefix is not None and value is not None:
            _add(raw, lowered.removeprefix(prefix), _plain(header, value))
        elif lowered == CONTENT_TYPE.lower() and isinstance(value, str):
            content_type = content_type or value
    if not content_type and not raw:
        return decode_structured(body)
    if content_type and content_type.strip().lower().startswith(_CLOUDEVENTS):
        return _structured(content_type, body)
    return _binary(raw, content_type or None, body)


def to_amqp(event: CloudEvent) -> tuple[str, bytes]:
    """Content type and body of the event in structured mode, which every reader understands."""
    return STRUCTURED, encode_structured(event)


def _add(attributes: dict[str, object], name: str, value: object) -> None:
    # Some clients send an attribute under two prefixes, so that more readers understand it.
    if attributes.setdefault(name, value) != value:
        raise InvalidEvent(f"attribute {shown(name)} is there twice, and differs", readable(attributes))


def _plain(header: str, value: object) -> object:
    if isinstance(value, datetime):
        return format_time(value if value.tzinfo else value.replace(tzinfo=UTC))
    if isinstance(value, bytes | bytearray):
        try:
            return bytes(value).decode()
        except UnicodeDecodeError as error:
            raise InvalidEvent(f"header {shown(header)} is not UTF-8") from error
    return value


def _lowered(headers: Mapping[str, str]) -> dict[str, str]:
    lowered: dict[str, str] = {}
    for name, value in headers.items():
        key = name.lower()
        if key in lowered and (key.startswith(_PREFIX) or key == CONTENT_TYPE.lower()):
            raise InvalidEvent(f"header {shown(key)} is there twice")
        lowered[key] = value
    return lowered


def _decoded(raw: Mapping[str, str]) -> dict[str, str]:
    decoded: dict[str, str] = {}
    for name, value in raw.items():
        try:
            if _BAD_ESCAPE.search(value):
                raise ValueError("a % that begins no escape (a percent sign is written %25)")
            decoded[name] = unquote_to_bytes(value).decode()
        except ValueError as error:
            raise InvalidEvent(f"header {shown(_PREFIX + name)}: {error}", readable(decoded)) from error
    return decoded


def _structured(content_type: str, body: bytes) -> CloudEvent:
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type.startswith(f"{_CLOUDEVENTS}-batch"):
        raise InvalidEvent(BATCH)
    if media_type not in {STRUCTURED, _CLOUDEVENTS}:
        raise InvalidEvent(f"content type {shown(media_type)} is not supported, only {STRUCTURED}")
    charset = _CHARSET.search(content_type)
    if charset and charset[1].lower() not in {"utf-8", "utf8", "us-ascii"}:
        raise InvalidEvent(f"charset {shown(charset[1])} is not supported, only UTF-8")
    return decode_structured(body)


def _binary(attributes: Mapping[str, object], content_type: str | None, body: bytes) -> CloudEvent:
    """The binary mode of any binding: attributes come from headers, and the body is the data alone."""
    known: dict[str, object] = dict(attributes)
    if content_type is not None:
        known.setdefault("datacontenttype", content_type)
    data_type = known.get("datacontenttype")
    data: Any = body or None
    if data is not None and isinstance(data_type, str) and is_json(data_type):
        data = parse_json(body, what="the data", known=readable(attributes))
    return from_parts(known, data)
