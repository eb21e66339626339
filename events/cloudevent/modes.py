"""Which mode a message is in, binary or structured, and the event it then is. Knows no broker's headers."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import orjson
from cloudevents.core.v1.event import CloudEvent

from events.cloudevent.attributes import REQUIRED, BrokenRules, Mistake, normalise, readable, shown
from events.cloudevent.content import foreign_charset, is_json, media_type
from events.cloudevent.event import (
    BATCH,
    STRUCTURED,
    InvalidEvent,
    TooLarge,
    attributes_in,
    check_count,
    from_document,
    from_message,
    parse_json,
)
from events.cloudevent.glance import attributes_of
from events.cloudevent.timestamp import parse_time

_CLOUDEVENTS = "application/cloudevents"
_NO_CODING = frozenset({"", "identity", "none", "utf-8", "utf8", "us-ascii", "ascii", "binary", "8bit", "7bit"})
"""What clients call the coding of a body that is sent as it is; some name its charset there."""
_CODINGS = frozenset({"gzip", "x-gzip", "deflate", "br", "zstd", "compress", "snappy", "lz4", "bzip2", "xz", "base64"})
_MEDIA_TYPE = re.compile(r"[a-z0-9.+-]{1,40}/[a-z0-9.+-]{1,80}", re.ASCII)
_BARE_NAMES = ("specversion", *REQUIRED)
_SHOWN = 3
"""Headers that a message names."""


@dataclass(slots=True, kw_only=True)
class Message:
    """A message of any broker: `attributes` are those in its headers, `mistakes` what is wrong with further ones.

    `coding`: how the body is compressed. `most`: bytes above which it is not read. `headers`: all their names;
    `elsewhere`: prefixes in lower case by which another broker's binding would take some of them for attributes.
    """

    body: bytes
    attributes: Mapping[str, object]
    content_type: str | None
    coding: object = None
    most: int | None = None
    headers: Collection[str] = ()
    elsewhere: tuple[str, ...] = ()
    mistakes: tuple[Mistake, ...] = ()


def event_of(message: Message) -> CloudEvent:
    """The event. A content type of CloudEvents makes it structured, an attribute binary, a `specversion` in a JSON
    object structured. Raises `InvalidEvent`, and `TooLarge` of a body that has more than `message.most` bytes.
    """
    if message.most is not None and len(message.body) > message.most:
        raise _too_large(message)
    _check_coding(message)
    content_type = (message.content_type or "").strip()
    message, content_type = _declared_as_data(message, content_type)
    if content_type.lower().startswith(_CLOUDEVENTS):
        return _structured(message, content_type)
    if message.attributes or message.mistakes:
        return _binary(message, content_type)
    return _bare(message, content_type)


def _too_large(message: Message) -> TooLarge:
    binary = bool(message.attributes)
    named = message.attributes if binary else attributes_of(message.body)
    return TooLarge(len(message.body), readable(named), structured=not binary)


def _declared_as_data(message: Message, content_type: str) -> tuple[Message, str]:
    """The SDK for Java writes the content type of a structured event into the header of its data's, alone."""
    declared = message.attributes.get("datacontenttype")
    alone = len(message.attributes) == 1 and not message.mistakes
    if alone and isinstance(declared, str) and declared.strip().lower().startswith(_CLOUDEVENTS):
        return replace(message, attributes={}), declared.strip()
    return message, content_type


def _check_coding(message: Message) -> None:
    coding = str(message.coding or "").strip().lower()
    if coding not in _NO_CODING:
        name = coding if coding in _CODINGS else "of another name"
        reason = f"content_encoding {name} is not supported: send the body as it is"
        raise InvalidEvent(reason, readable(message.attributes))


def _structured(message: Message, content_type: str) -> CloudEvent:
    media = media_type(content_type)
    if media.startswith(f"{_CLOUDEVENTS}-batch"):
        raise InvalidEvent(BATCH)
    if media not in {STRUCTURED, _CLOUDEVENTS}:
        raise InvalidEvent(f"content type {_shown_type(media)} is not supported, only {STRUCTURED}")
    if reason := foreign_charset(content_type):
        raise InvalidEvent(reason)
    document = parse_json(message.body, what="the body")
    if isinstance(document, dict):
        _check_agreement(document, message)
    return from_document(document, message.body)


def _check_agreement(document: Mapping[str, object], message: Message) -> None:
    """Headers may repeat attributes, for whoever routes by them. Raises `InvalidEvent` if they say something else."""
    if not message.attributes and not message.mistakes:
        return
    differing = [name for name, value in message.attributes.items() if not _agree(name, document.get(name), value)]
    differing += (mistake.name for mistake in message.mistakes)
    if differing:
        said = ", ".join(f"attribute {name} in its header and in the body" for name in differing[:_SHOWN])
        reason = f"{said}: they differ, and content type {STRUCTURED} says that the body is the event"
        raise InvalidEvent(reason, readable({**document, **dict.fromkeys(differing)}))


def _agree(name: str, inside: object, outside: object) -> bool:
    if inside is None or inside == outside:
        return True
    if isinstance(outside, str) and not isinstance(inside, str):
        return orjson.dumps(inside).decode() == outside
    try:
        return name in ("time", "expirytime") and parse_time(str(inside)) == parse_time(str(outside))
    except ValueError:
        return False


def _binary(message: Message, content_type: str) -> CloudEvent:
    """Attributes come from headers, and the body is the data alone."""
    known: dict[str, object] = dict(message.attributes)
    wrong = {mistake.name for mistake in message.mistakes}
    if content_type and "datacontenttype" not in wrong:
        known.setdefault("datacontenttype", content_type)
    data_type = known.get("datacontenttype")
    try:
        if isinstance(data_type, str) and is_json(data_type) and not message.body.isascii():
            _require_utf8(data_type, known)
        event = from_message(known, message.body)
        if not message.mistakes:
            return event
        found: list[Mistake] = []
        attributes = readable(known)
    except InvalidEvent as error:
        if not error.mistakes and not message.mistakes:
            raise
        found, attributes = [one for one in error.mistakes if one.name not in wrong], error.attributes
    broken = BrokenRules([*message.mistakes, *found])
    lacking = any(one.name in ("specversion", *REQUIRED) for one in found)
    reason = f"{broken}{_contradiction(message, content_type) if lacking else ''}{_hint(message)}"
    raise InvalidEvent(reason, attributes, mistakes=broken.mistakes)


def _require_utf8(data_type: str, known: Mapping[str, object]) -> None:
    if reason := foreign_charset(data_type):
        raise InvalidEvent(f"the data are JSON, and their {reason}", readable(known))


def _contradiction(message: Message, content_type: str) -> str:
    """What to add if the body looks like the event that the headers are not."""
    try:
        document = parse_json(message.body, what="the body")
    except InvalidEvent:
        return ""
    if not isinstance(document, dict) or "specversion" not in document:
        return ""
    headers = ", ".join(f"ce-{name}" for name in [*message.attributes][:_SHOWN])
    return (
        f"; the headers ({headers}) say that this is a binary event, its body is a structured event"
        f"{_of(content_type)}: send all attributes in headers, or none"
    )


def _bare(message: Message, content_type: str) -> CloudEvent:
    """No header says what it is: the body has to."""
    try:
        document = parse_json(message.body, what="the body")
    except InvalidEvent as error:
        raise InvalidEvent(f"{error.reason}, {_no_event(message, content_type)}", error.attributes) from None
    if not isinstance(document, dict) or "specversion" in document:
        return from_document(document, message.body)
    check_count(document)
    mistakes = _mistakes(document)
    further = "".join(f"; {one}" for one in mistakes if one.name != "specversion")
    reason = f"no specversion, {_no_event(message, content_type)}{further}"
    raise InvalidEvent(reason, readable(document), mistakes=mistakes)


def _no_event(message: Message, content_type: str) -> str:
    return f"and no ce- headers: this is no CloudEvent{_of(content_type)}{_hint(message)}"


def _mistakes(document: Mapping[str, object]) -> tuple[Mistake, ...]:
    """What else is wrong with a document that is meant to be an event; nothing if it hardly is."""
    if not all(name in document for name in REQUIRED):
        return ()
    try:
        normalise(attributes_in(document))
    except BrokenRules as error:
        return error.mistakes
    return ()


def _of(content_type: str) -> str:
    return f" (content type {_shown_type(content_type)})" if content_type else " (without a content type)"


def _shown_type(content_type: str) -> str:
    """The media type alone, as messages name it: what has not its form may be anything."""
    media = media_type(content_type)
    return media if _MEDIA_TYPE.fullmatch(media) else "that is no media type"


def _hint(message: Message) -> str:
    found = _foreign(message)
    if not found:
        return ""
    names = ", ".join(map(shown, found[:_SHOWN]))
    first = found[0]
    whose = "Kafka's" if first.startswith("ce_") else "AMQP's"
    fault = f"the headers {names} have no prefix" if first in _BARE_NAMES else f"the prefix of {names} is {whose}"
    return f"; {fault}: attributes are headers with the prefix ce-, or the body is a structured event"


def _foreign(message: Message) -> list[str]:
    """Headers that another binding would take for attributes: by their prefix, or without any, as MQTT 5 has them."""
    headers = [name.lower() for name in message.headers]
    bare = [name for name in headers if name in _BARE_NAMES] if "specversion" in headers else []
    return [name for name in headers if name.startswith(message.elsewhere)] or bare
