"""CloudEvents in brokers' messages: what NATS and AMQP say in headers. Which mode that makes is decided in modes.py."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import unquote_to_bytes

from cloudevents.core.v1.event import CloudEvent

from events.cloudevent.attributes import Mistake, kind_of, readable, shown, shown_name
from events.cloudevent.event import STRUCTURED, InvalidEvent, encode_structured
from events.cloudevent.modes import Message, event_of
from events.cloudevent.timestamp import format_time

CONTENT_TYPE = "Content-Type"
_CONTENT_TYPE = CONTENT_TYPE.lower()
_CONTENT_ENCODING = "content-encoding"
_PREFIX = "ce-"
_AMQP_PREFIXES = (_PREFIX, "cloudevents:", "cloudevents_")
_KAFKA_PREFIX = "ce_"
_NOT_ON_NATS = (_KAFKA_PREFIX, *_AMQP_PREFIXES[1:])
_NOT_ON_AMQP = (_KAFKA_PREFIX,)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
MAX_HEADERS = 1000
_REPLACED = "\ufffd"
"""What the NATS client makes of bytes that are no UTF-8: several values would become one."""


def from_nats(headers: Mapping[str, str] | None, body: bytes, *, most: int | None = None) -> CloudEvent:
    """NATS protocol binding: the content type decides the mode; binary attributes are percent-encoded `ce-` headers.

    Without `ce-` headers, a JSON object with `specversion` is a structured event, whatever the content type says: the
    binding's first version knew no headers, and bridges lose them. In binary mode a content type stands in for a
    missing `ce-datacontenttype`. `most`: bytes above which the body is not read. Raises `InvalidEvent`.
    """
    _check_count(headers)
    lowered = _lowered(headers or {})
    attributes: dict[str, object] = {}
    mistakes = []
    for header, value in lowered.items():
        if header.startswith(_PREFIX):
            name = header.removeprefix(_PREFIX)
            try:
                attributes[name] = _decoded(value)
            except ValueError as error:
                mistakes.append(Mistake(shown_name(name), str(error)))
    message = Message(
        body=body,
        attributes=attributes,
        content_type=lowered.get(_CONTENT_TYPE),
        coding=lowered.get(_CONTENT_ENCODING),
        most=most,
        headers=lowered,
        elsewhere=_NOT_ON_NATS,
        mistakes=tuple(mistakes),
    )
    return event_of(message)


def to_nats(event: CloudEvent) -> tuple[dict[str, str], bytes]:
    """Headers and body of the event in structured mode, which every reader understands."""
    return {CONTENT_TYPE: STRUCTURED}, encode_structured(event)


def from_amqp(
    headers: Mapping[str, object] | None,
    content_type: str | None,
    body: bytes,
    *,
    coding: str | None = None,
    most: int | None = None,
) -> CloudEvent:
    """AMQP 0.9.1: the property `content_type` decides the mode; binary attributes are headers as they are.

    There is no official binding for this version of AMQP and clients differ, so the prefixes `ce-`, `cloudEvents:` and
    `cloudEvents_` are accepted, in upper or lower case. Values are text, booleans, integers or timestamps, and not
    percent-encoded. Without the property, a header of that name decides. Without attributes, a JSON object with
    `specversion` is structured, as on NATS. `coding`: the property `content_encoding`. `most`: as on NATS. Raises
    `InvalidEvent`.
    """
    _check_count(headers)
    attributes: dict[str, object] = {}
    mistakes = []
    for header, value in (headers or {}).items():
        lowered = header.lower()
        name = _amqp_name(lowered)
        if name is not None and value is not None:
            try:
                # Some clients send an attribute under two prefixes, so that more readers understand it.
                if attributes.setdefault(name, found := _plain(value)) != found:
                    raise ValueError("is there twice, and differs")
            except ValueError as error:
                mistakes.append(Mistake(shown_name(name), str(error)))
        elif lowered == _CONTENT_TYPE and isinstance(value, str):
            content_type = content_type or value
        elif lowered == _CONTENT_ENCODING and isinstance(value, str):
            coding = coding or value
    message = Message(
        body=body,
        attributes=attributes,
        content_type=content_type,
        coding=coding,
        most=most,
        headers=headers or (),
        elsewhere=_NOT_ON_AMQP,
        mistakes=tuple(mistakes),
    )
    return event_of(message)


def to_amqp(event: CloudEvent) -> tuple[str, bytes]:
    """Content type and body of the event in structured mode, which every reader understands."""
    return STRUCTURED, encode_structured(event)


def _check_count(headers: Mapping[str, object] | None) -> None:
    if headers and len(headers) > MAX_HEADERS:
        raise InvalidEvent(f"more than {MAX_HEADERS} headers")


def _amqp_name(header: str) -> str | None:
    """The attribute that a header, in lower case, is of."""
    for prefix in _AMQP_PREFIXES:
        if header.startswith(prefix):
            return header[len(prefix) :]
    return None


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return format_time(value if value.tzinfo else value.replace(tzinfo=UTC))
    if isinstance(value, bytes | bytearray):
        try:
            return bytes(value).decode()
        except UnicodeDecodeError:
            raise ValueError("is not UTF-8") from None
    if not isinstance(value, str | bool | int):
        raise ValueError(f"must be text, a boolean, an integer or a timestamp, not {kind_of(value)}")
    return value


def _lowered(headers: Mapping[str, str]) -> dict[str, str]:
    lowered: dict[str, str] = {}
    for name, value in headers.items():
        key = name.lower()
        if key in lowered and (key.startswith(_PREFIX) or key in (_CONTENT_TYPE, _CONTENT_ENCODING)):
            known = {one.removeprefix(_PREFIX): text for one, text in lowered.items() if one != key}
            raise InvalidEvent(f"header {shown(key)} is there twice", readable(known))
        lowered[key] = value
    return lowered


def _decoded(value: str) -> str:
    if value.isascii() and "%" not in value:
        return value  # Nothing is escaped.
    if _REPLACED in value:
        raise ValueError("is not UTF-8 in its header: percent-encode it")
    if _BAD_ESCAPE.search(value):
        raise ValueError("has a % that begins no escape in its header (a percent sign is written %25)")
    try:
        return unquote_to_bytes(value).decode()
    except UnicodeError:
        raise ValueError("is percent-encoded, but not as UTF-8") from None
