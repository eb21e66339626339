"""Strict CloudEvents 1.0 in the JSON format, into and out of the SDK's type. Not the bindings to brokers (binding.py).

The SDK's own decoder invents what is missing (`id`, `time`, `specversion`) and lets much else pass. JSON is read as
orjson reads it: of duplicate keys the last counts. What was sent stays beside what was read of it: `Arrived`.
"""

import base64
import binascii
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
from cloudevents.core.v1.event import CloudEvent

from events.cloudevent.attributes import BrokenRules, Mistake, kind_of, normalise, readable
from events.cloudevent.content import is_json
from events.cloudevent.numbers import AS_WRITTEN
from events.cloudevent.timestamp import format_time, parse_epoch

STRUCTURED = "application/cloudevents+json"
MAX_ATTRIBUTES = 256
MAX_KEPT = 65_536
MAX_DEPTH = 100
"""Levels of objects and lists in data. orjson writes 254, and a lifecycle event nests what it echoes deeper."""
BATCH = "a batch of events: send each event as a message of its own, no binding to these brokers has batches"

_INT64 = range(-(2**63), 2**64)
_SIGNATURES = {
    b"\x1f\x8b": "compressed with gzip, which is not supported",
    b"\x28\xb5\x2f\xfd": "compressed with zstd, which is not supported",
    b"\xef\xbb\xbf": "not JSON: it begins with a byte order mark",
    b"\xff\xfe": "not UTF-8, but UTF-16",
    b"\xfe\xff": "not UTF-8, but UTF-16",
}
"""What bodies begin with that are no JSON, and what to say of them."""


class InvalidEvent(ValueError):
    """These bytes, headers or attributes are not a CloudEvent.

    `reason` is a sentence, or one for each of `mistakes`, and never holds a value. `attributes` holds what could still
    be read of id, source, type and subject.
    """

    def __init__(
        self, reason: str, attributes: Mapping[str, str] | None = None, *, mistakes: Sequence[Mistake] = ()
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.attributes: dict[str, str] = dict(attributes or {})
        self.mistakes = tuple(mistakes)


class TooLarge(InvalidEvent):
    """The message has more bytes than its reader allows; it was not read. `structured`: its body is the whole event."""

    def __init__(self, size: int, attributes: Mapping[str, str], *, structured: bool) -> None:
        super().__init__(f"{size} bytes, which is too large to be read", attributes)
        self.size = size
        self.structured = structured


class _Event(CloudEvent):
    def __init__(self, attributes: dict[str, Any], data: Any) -> None:
        """`attributes`: what `normalise` gives. The SDK would invent a time, and refuses what nothing is done with.

        So its own `__init__`, which does no more than that and this, is left out.
        """
        self._attributes = attributes
        self._data = data


class Arrived(_Event):
    """An event as it came: `document` is the whole event as sent, or `body` is its data, and `sent` its attributes.

    Once it is to `let_go` of its data, they are read anew each time, if there are more than `MAX_KEPT` bytes of it:
    objects and lists take up to 40 times their bytes, and an event may have to wait for long.
    """

    def __init__(
        self,
        attributes: dict[str, Any],
        data: Any,
        *,
        sent: Mapping[str, object],
        document: bytes | None = None,
        body: bytes | None = None,
    ) -> None:
        super().__init__(attributes, data)
        self._kept = True
        self._sent = sent
        self._document = document
        self._body = body

    def let_go(self) -> None:
        """What was read of it is not needed for now."""
        data: Any = super().get_data()
        if self.size > MAX_KEPT and isinstance(data, dict | list):
            self._kept, self._data = False, None

    def get_data(self) -> Any:
        """The data, as JSON or bytes."""
        if self._kept:
            return super().get_data()
        text, key = self.json
        found = _parsed(text)[0]
        return found if key is None else found[key]

    @property
    def document(self) -> bytes:
        """The event in the JSON format: as it was sent or, in binary mode, around the data as they were sent."""
        if self._document is None:
            self._document = _composed(self._sent, self.get_data(), self._body)
        return self._document

    @property
    def json(self) -> tuple[bytes, str | None]:
        """JSON with the data as they were sent, and their key in it; without a key, it is the data themselves."""
        return (self.document, "data") if self._body is None else (self._body, None)

    @property
    def size(self) -> int:
        """Bytes of its data, or of the whole event, as they were sent."""
        text = self._document or self._body or super().get_data() or b""
        return len(text) if isinstance(text, bytes) else 0

    @property
    def time(self) -> str | None:
        """Attribute `time` as it was sent."""
        found = self._sent.get("time")
        return found if isinstance(found, str) else None


def decode_structured(body: bytes) -> CloudEvent:
    """Read one event in the JSON format. Attributes that are null are absent; `data_base64` becomes bytes.

    Raises `InvalidEvent`, and nothing else, for every other sequence of bytes.
    """
    return from_document(parse_json(body, what="the body"), body)


def from_document(document: Any, body: bytes) -> CloudEvent:
    """The event of a body that was parsed. Raises `InvalidEvent`."""
    if isinstance(document, list):
        raise InvalidEvent(BATCH)
    if not isinstance(document, dict):
        raise InvalidEvent("the body is JSON but no object")
    check_count(document)
    sent = attributes_in(document)
    data, encoded = document.get("data"), document.get("data_base64")
    if encoded is not None:
        if data is not None:
            raise InvalidEvent("both data and data_base64", readable(sent))
        data = _from_base64(encoded, readable(sent))
    return Arrived(_known(sent), data, sent=sent, document=body)


def check_count(attributes: Mapping[str, object]) -> None:
    """Raises `InvalidEvent` if there are more attributes than any event has. Data may be among them."""
    if len(attributes) > MAX_ATTRIBUTES:
        raise InvalidEvent(f"more than {MAX_ATTRIBUTES} attributes", readable(attributes))


def attributes_in(document: Mapping[str, Any]) -> dict[str, Any]:
    """What is not the data in an event in the JSON format."""
    found = dict(document)
    found.pop("data", None)
    found.pop("data_base64", None)
    return found


def from_message(attributes: Mapping[str, object], body: bytes) -> CloudEvent:
    """The event of a message in binary mode, whose body is the data. Raises `InvalidEvent`."""
    check_count(attributes)
    known = _known(attributes)
    data_type = known.get("datacontenttype")
    if not body:
        return Arrived(known, None, sent=attributes)
    if not data_type or not is_json(data_type):
        return Arrived(known, body, sent=attributes)
    return Arrived(known, parse_json(body, what="the data", known=readable(attributes)), sent=attributes, body=body)


def build(attributes: Mapping[str, object], data: object = None) -> CloudEvent:
    """A CloudEvent of these attributes, `specversion` included, with JSON data, bytes or None.

    `time` may be text or an aware datetime. Raises `InvalidEvent`; nothing is invented.
    """
    if data is not None and not isinstance(data, bytes):
        check_json(data, readable(attributes))
    return from_parts(attributes, data)


def from_parts(attributes: Mapping[str, object], data: Any) -> CloudEvent:
    """What `build` makes, for data that is known to be JSON or bytes. Raises `InvalidEvent`."""
    return _Event(_known(attributes), data)


def from_own(attributes: dict[str, Any], data: Any) -> CloudEvent:
    """What `from_parts` makes, without looking: of attributes that we wrote ourselves, so that no rule can be broken.

    None of them is None, and `time` is in UTC. Tests hold what callers give against the rules.
    """
    return _Event(attributes, data)


def _known(attributes: Mapping[str, object]) -> dict[str, Any]:
    try:
        return normalise(attributes)
    except BrokenRules as error:
        raise InvalidEvent(str(error), readable(attributes), mistakes=error.mistakes) from None


def encode_structured(event: CloudEvent) -> bytes:
    """One JSON object: of an event that arrived, what was sent. Bytes as data become `data_base64`."""
    return event.document if isinstance(event, Arrived) else _composed(event.get_attributes(), event.get_data(), None)


def _composed(attributes: Mapping[str, object], data: Any, body: bytes | None) -> bytes:
    """The document of these attributes around these data; `body`: JSON that stands in it as it is."""
    document = {name: value for name, value in attributes.items() if value is not None}
    if isinstance(document.get("time"), datetime):
        document["time"] = format_time(document["time"])  # type: ignore[arg-type]
    if body is not None:
        return orjson.dumps({**document, "data": orjson.Fragment(body)})
    if isinstance(data, bytes):
        document["data_base64"] = base64.b64encode(data).decode()
    elif data is not None:
        document["data"] = data
    return orjson.dumps(document)


def expired(event: CloudEvent, now: float) -> bool:
    """Its extension `expirytime` has passed at `now` (epoch seconds)."""
    text = event.get_extension("expirytime")
    return text is not None and parse_epoch(text) <= now


def parse_json(body: bytes, *, what: str, known: Mapping[str, str] | None = None) -> Any:
    """Parse bytes as JSON that can be written again. Raises `InvalidEvent` naming `what`."""
    try:
        document, unsure = _parsed(body)
    except orjson.JSONDecodeError as error:
        raise InvalidEvent(f"{what} is {_no_json(body, error)}", known) from None
    if unsure or (body.count(b"[") + body.count(b"{") > MAX_DEPTH and _is_deep(document)):
        check_json(document, known or (readable(document) if isinstance(document, dict) else {}))
    return document


def _parsed(body: bytes) -> tuple[Any, bool]:
    """What the bytes say, and whether that still has to be checked. Raises `orjson.JSONDecodeError`."""
    try:
        return orjson.loads(body), False
    except orjson.JSONDecodeError as error:
        # Valid JSON may hold numbers that no double does, such as 1e400.
        if "infinity" not in error.msg:
            raise
        try:
            return AS_WRITTEN.force(body), True
        except (ValueError, RecursionError):
            raise error from None


def _is_deep(document: Any) -> bool:
    """Whether it has more than `MAX_DEPTH` levels. Level by level, which takes a fifth of the time of `check_json`."""
    level = [document] if isinstance(document, dict | list) else []
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for holder in level
            for inner in (holder.values() if type(holder) is dict else holder)
            if type(inner) is dict or type(inner) is list
        ]
        if not level:
            return False
    return True


def _no_json(body: bytes, error: orjson.JSONDecodeError) -> str:
    """Why these bytes are no JSON, in words that follow "is" and quote nothing."""
    if not body:
        return "empty, which is not JSON"
    for signature, reason in _SIGNATURES.items():
        if body.startswith(signature):
            return reason
    try:
        body.decode()
    except UnicodeDecodeError:
        return "not UTF-8"
    return f"not JSON: {error.msg}, at character {error.pos + 1}"


def check_json(value: object, known: Mapping[str, str], depth: int = MAX_DEPTH) -> None:
    """Raises `InvalidEvent` for what JSON cannot say (NaN, other types, lone surrogates), and for too many levels."""
    if not isinstance(value, (dict, list, tuple)):
        if not _is_scalar(value):
            raise InvalidEvent(f"data holds {_unsayable(value)}, which JSON cannot say", known)
        return
    if depth == 0:
        raise InvalidEvent(f"nested deeper than {MAX_DEPTH} levels", known)
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise InvalidEvent(f"a key in data must be text, not {kind_of(key)}", known)
            check_json(key, known, depth - 1)
        value = list(value.values())
    for inner in value:
        check_json(inner, known, depth - 1)


def _unsayable(value: object) -> str:
    match value:
        case str():
            return "half of a surrogate pair"
        case int():
            return "an integer beyond 64 bits"
        case float():
            return "a number that is infinite or none"
        case _:
            return kind_of(value)


def _is_scalar(value: object) -> bool:
    match value:
        case None | bool() | orjson.Fragment():
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
        raise InvalidEvent(f"data_base64 must be text, not {kind_of(encoded)}", known)
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidEvent("data_base64 is not base64", known) from error
