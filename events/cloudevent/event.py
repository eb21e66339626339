"""Strict CloudEvents 1.0 in the JSON format, into and out of the SDK's type. Not the bindings to brokers (binding.py).

The SDK's own decoder invents what is missing (`id`, `time`, `specversion`) and lets much else pass. JSON is
read as orjson reads it: of duplicate keys the last counts, and integers beyond 64 bits become floats.
"""

import base64
import binascii
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
from cloudevents.core.v1.event import CloudEvent

from events.cloudevent.attributes import normalise, readable, shown
from events.cloudevent.timestamp import format_time, parse_epoch

STRUCTURED = "application/cloudevents+json"
MAX_DEPTH = 100
"""Levels of objects and lists in data. orjson writes 254, and a lifecycle event nests what it echoes deeper."""
BATCH = "a batch of events: send each event as a message of its own, no binding to these brokers has batches"

_EPOCH = datetime.fromtimestamp(0, UTC)
_INT64 = range(-(2**63), 2**64)


class InvalidEvent(ValueError):
    """These bytes, headers or attributes are not a CloudEvent.

    `reason` is one sentence. `attributes` holds what could still be read of id, source, type and subject.
    """

    def __init__(self, reason: str, attributes: Mapping[str, str] | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.attributes: dict[str, str] = dict(attributes or {})


def decode_structured(body: bytes) -> CloudEvent:
    """Read one event in the JSON format. Attributes that are null are absent; `data_base64` becomes bytes.

    Raises `InvalidEvent`, and nothing else, for every other sequence of bytes.
    """
    document = parse_json(body, what="the body")
    if isinstance(document, list):
        raise InvalidEvent(BATCH)
    if not isinstance(document, dict):
        raise InvalidEvent("the body is JSON but no object")
    encoded = document.pop("data_base64", None)
    data = document.pop("data", None)
    if encoded is not None:
        if data is not None:
            raise InvalidEvent("both data and data_base64", readable(document))
        data = _from_base64(encoded, readable(document))
    return from_parts(document, data)


def build(attributes: Mapping[str, object], data: object = None) -> CloudEvent:
    """A CloudEvent of these attributes, `specversion` included, with JSON data, bytes or None.

    `time` may be text or an aware datetime. Raises `InvalidEvent`; nothing is invented.
    """
    if data is not None and not isinstance(data, bytes):
        check_json(data, readable(attributes))
    return from_parts(attributes, data)


def from_parts(attributes: Mapping[str, object], data: Any) -> CloudEvent:
    """What `build` makes, for data that is known to be JSON or bytes. Raises `InvalidEvent`."""
    try:
        known = normalise(attributes)
    except ValueError as error:
        raise InvalidEvent(str(error), readable(attributes)) from error
    if "time" in known:
        return CloudEvent(known, data)
    # The SDK's constructor sets a missing time to now: give it a time, and take that away again.
    event = CloudEvent({**known, "time": _EPOCH}, data)
    del event.get_attributes()["time"]
    return event


def encode_structured(event: CloudEvent) -> bytes:
    """One JSON object. Bytes as data become `data_base64`."""
    document = dict(event.get_attributes())
    if "time" in document:
        document["time"] = format_time(document["time"])
    data: Any = event.get_data()
    if isinstance(data, bytes):
        document["data_base64"] = base64.b64encode(data).decode()
    elif data is not None:
        document["data"] = data
    return orjson.dumps(document)


def data_bytes(event: CloudEvent) -> bytes:
    """The data in a canonical form: JSON with sorted keys and no spaces, text and bytes as they are."""
    data: Any = event.get_data()
    if data is None:
        return b""
    if isinstance(data, bytes):
        return data
    if isinstance(data, str) and not is_json(event.get_datacontenttype()):
        return data.encode()
    return orjson.dumps(data, option=orjson.OPT_SORT_KEYS)


def expired(event: CloudEvent, now: float) -> bool:
    """Its extension `expirytime` has passed at `now` (epoch seconds)."""
    text = event.get_extension("expirytime")
    return text is not None and parse_epoch(text) <= now


def is_json(content_type: str | None) -> bool:
    """Whether the media type is JSON: `application/json`, `text/json`, `anything+json`, and none, the default."""
    if content_type is None:
        return True
    subtype = content_type.partition(";")[0].strip().lower().partition("/")[2]
    return subtype == "json" or subtype.endswith("+json")


def parse_json(body: bytes, *, what: str, known: Mapping[str, str] | None = None) -> Any:
    """Parse bytes as JSON that can be written again. Raises `InvalidEvent` naming `what`."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidEvent(f"{what} is not JSON: {error}", known) from error
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH:
        check_json(document, known or (readable(document) if isinstance(document, dict) else {}))
    return document


def check_json(value: object, known: Mapping[str, str], depth: int = MAX_DEPTH) -> None:
    """Raises `InvalidEvent` for what JSON cannot say (NaN, other types, lone surrogates), and for too many levels."""
    if not isinstance(value, (dict, list, tuple)):
        if not _is_scalar(value):
            raise InvalidEvent(f"data holds what JSON cannot say: {shown(value)}", known)
        return
    if depth == 0:
        raise InvalidEvent(f"nested deeper than {MAX_DEPTH} levels", known)
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise InvalidEvent(f"a key in data is no text: {shown(key)}", known)
            check_json(key, known, depth - 1)
        value = list(value.values())
    for inner in value:
        check_json(inner, known, depth - 1)


def _is_scalar(value: object) -> bool:
    match value:
        case None | bool():
            return True
        case str():
            return value.isascii() or not any("\ud800" <= character <= "\udfff" for character in value)
        case int():
            return value in _INT64
        case float():
            return math.isfinite(value)
        case _:
            return False


def _from_base64(encoded: object, known: Mapping[str, str]) -> bytes:
    if not isinstance(encoded, str):
        raise InvalidEvent("data_base64 must be text", known)
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidEvent(f"data_base64 is not base64: {error}", known) from error
