"""What an event says, for templates, hashes and annotations: attributes as text, data with their numbers as sent."""

from datetime import datetime
from typing import Any

import orjson
from cloudevents.core.v1.event import CloudEvent

from events.cloudevent.content import as_text, is_json, is_text, media_type
from events.cloudevent.event import Arrived, InvalidEvent, encode_structured, parse_json
from events.cloudevent.numbers import AS_WRITTEN, EXACT, Reading
from events.cloudevent.timestamp import format_time, in_utc


class UnreadableData(ValueError):
    """The data are neither JSON nor text. The message says what they are, in words that follow "is"."""


def attribute_text(event: CloudEvent, name: str) -> str | None:
    """An attribute in CloudEvents' canonical form as text, `time` in UTC; None if the event does not have it."""
    value = event.get_attributes().get(name)
    if isinstance(value, datetime):
        return in_utc((event.time if isinstance(event, Arrived) else None) or format_time(value))
    return value if value is None or isinstance(value, str) else orjson.dumps(value).decode()


def parse_as_written(body: bytes, *, what: str) -> Any:
    """Like `parse_json`, with numbers as in `numbers.AS_WRITTEN`."""
    document = parse_json(body, what=what)
    return AS_WRITTEN.force(body) if AS_WRITTEN.needed(body) else document


def data_as_written(event: CloudEvent) -> Any:
    """The data as JSON or text, with numbers as in `numbers.AS_WRITTEN`. Raises `UnreadableData`.

    Bytes are JSON or text if the media type says so, or says nothing and they can be read as that.
    """
    data: Any = event.get_data()
    if not isinstance(data, bytes):
        return _read(event, data, AS_WRITTEN)
    content_type = event.get_datacontenttype()
    about = f"{len(data)} bytes of {media_type(content_type)}" if content_type else f"{len(data)} bytes of unknown type"
    if is_json(content_type):
        try:
            return parse_as_written(data, what="data")
        except InvalidEvent:
            if content_type:
                raise UnreadableData(f"{about} that are not JSON") from None
    elif not is_text(content_type):
        raise UnreadableData(about)
    try:
        return as_text(data, content_type)
    except ValueError as error:
        raise UnreadableData(f"{about}, {error}") from error


def document_as_written(event: CloudEvent) -> Any:
    """The whole event as an object of JSON, with numbers as in `numbers.AS_WRITTEN`."""
    return AS_WRITTEN.read(encode_structured(event))


def exact_data(event: CloudEvent) -> Any:
    """The data, with numbers as in `numbers.EXACT`; bytes as they are."""
    data: Any = event.get_data()
    return data if isinstance(data, bytes) else _read(event, data, EXACT)


def _read(event: CloudEvent, data: Any, reading: Reading) -> Any:
    """The data of an event, read anew from what was sent if that makes a difference."""
    if isinstance(event, Arrived) and data is not None:
        text, key = event.json
        if reading.needed(text):
            found = reading.force(text)
            return found if key is None else found[key]
    return data


def data_bytes(event: CloudEvent) -> bytes:
    """The data in a canonical form: JSON with sorted keys and no spaces, text and bytes as they are."""
    data = exact_data(event)
    if data is None:
        return b""
    if isinstance(data, bytes):
        return data
    if isinstance(data, str) and not is_json(event.get_datacontenttype()):
        return data.encode()
    return orjson.dumps(data, option=orjson.OPT_SORT_KEYS)
