"""Headers and properties of a RabbitMQ message, and of the copies of it that are stored again. It sends nothing.

AMQP headers have any name of up to 128 bytes, and values of several types. Ours are text.
"""

import hashlib
import time
import uuid
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from cloudevents.core.v1.event import CloudEvent

from adapters import headers as stamps
from adapters.base import Record, Topic
from adapters.rabbitmq.client import Headers, sendable
from adapters.rabbitmq.policies import why_dead
from adapters.rabbitmq.wire.content import Message
from adapters.rabbitmq.wire.properties import Properties
from events.cloudevent.binding import from_amqp

NUMBER = "jobrelay-number"
"""When a dead letter was made, in microseconds since 1970: its number, which does not change when others go."""

HEADERS_LIMIT = 100_000
"""In bytes. All headers of a message must fit into one frame, of 128 KiB."""
CONTENT_TYPE = "Content-Type"
_LARGEST_NUMBER = 1 << 53
_MOST = 10_000_000
_BY_BROKER = "x-first-death-reason"
# The broker acts on these: it would send a copy elsewhere as well, and again each time that the copy has waited.
_ROUTING = frozenset({"CC", "BCC", "x-cc"})
_REPLY_TO_US = "amq.rabbitmq.reply-to"
"""A publish with it is refused, and closes the channel, where nobody waits for that reply."""
# Written by the broker itself: with them it would take a copy for a message that went in a circle, or came before.
_BROKERS = (
    "x-death",
    "x-first-death",
    "x-last-death",
    "x-delivery-count",
    "x-acquired-count",
    "x-opt-",
    "x-stream-",
)


def headers_of(message: Message) -> Headers:
    """The headers as they were sent; empty without any."""
    return message.properties.headers or {}


def event_of(message: Message, *, most: int | None = None) -> CloudEvent:
    """`most`: bytes above which the body is not read. Raises `InvalidEvent`."""
    properties = message.properties
    coding = properties.content_encoding
    return from_amqp(headers_of(message), properties.content_type, message.body, coding=coding, most=most)


def text(headers: Headers, content_type: str | None = None) -> dict[str, str]:
    """The headers as text. The content type stands among them, as it does on other brokers."""
    shown = {name: _text(value) for name, value in headers.items()}
    if content_type is not None and not any(name.lower() == CONTENT_TYPE.lower() for name in shown):
        shown[CONTENT_TYPE] = content_type
    return shown


def delivered_before(message: Message) -> int:
    """How often this stored message was delivered before. Only the broker's own word counts."""
    if not message.redelivered:
        return 0
    count = headers_of(message).get("x-delivery-count")
    # Queues that are no quorum queues only say that it was delivered before.
    return max(1, count) if isinstance(count, int) and count < _MOST else 1


def name_of(message: Message, queue: str) -> str:
    """`<queue>/<message id>`; without an id, a hash of the body. The same on every redelivery."""
    message_id = message.properties.message_id
    if not message_id:
        message_id = "sha256-" + hashlib.sha256(message.body).hexdigest()
    return f"{queue}/{stamps.sendable(message_id)}"


def properties_of(*, message_id: str, content_type: str) -> Properties:
    """Properties of a new message. `timestamp` is when it was published: the broker records no time."""
    return Properties(message_id=message_id, content_type=content_type, timestamp=datetime.now(UTC), app_id="jobrelay")


def again(message: Message, *, attempts: int, until: float | None) -> Properties:
    """Properties of the copy that `retry` and `defer` store."""
    since = {stamps.SINCE: _text(headers_of(message).get(stamps.SINCE))}
    return _copy(message, stamps.again(since, attempts=attempts, until=until, now=time.time()))


def dead(message: Message, *, code: str, reason: str, origin: str, attempts: int) -> Properties:
    """Properties of a dead letter."""
    why = stamps.dead({}, code=code, reason=reason, origin=origin, attempts=attempts)
    return _copy(message, why | {NUMBER: str(time.time_ns() // 1000)})


def replayed(message: Message) -> Properties:
    """Properties of a replayed dead letter."""
    ours = {stamps.REPLAYS: str(stamps.replays(text(headers_of(message))) + 1)}
    return _copy(message, ours, without=(*stamps.LETTER, NUMBER))


def _copy(message: Message, ours: Mapping[str, str], *, without: Collection[str] = ()) -> Properties:
    original = message.properties
    kept = {
        name: value
        for name, value in headers_of(message).items()
        if name not in (stamps.ATTEMPTS, stamps.NOT_BEFORE, *ours, *without)
        and name not in _ROUTING
        and not name.startswith(_BROKERS)
    }
    room = HEADERS_LIMIT - len(str(ours))
    reply_to = original.reply_to
    # Not the user id, which has to be the publisher's; nor the expiration, which began with the original; nor the
    # priority, which has no meaning between copies.
    return Properties(
        headers={**sendable(kept, limit=room), **ours},
        message_id=uuid.uuid4().hex,
        content_type=original.content_type,
        content_encoding=original.content_encoding,
        correlation_id=original.correlation_id,
        reply_to=None if (reply_to or "").startswith(_REPLY_TO_US) else reply_to,
        timestamp=original.timestamp,
        message_type=original.message_type,
        app_id=original.app_id,
    )


def number_of(message: Message) -> int:
    """The number of a dead letter, equal at every listing. Made up from its content where it has none of ours."""
    stamped = _stamped(message)
    if stamped.isascii() and stamped.isdigit() and len(stamped) < 17 and 0 < int(stamped) < _LARGEST_NUMBER:
        return int(stamped)
    seed = (message.properties.message_id or "").encode() + message.body
    return int.from_bytes(hashlib.sha256(seed).digest()[:5])


def stored_at(message: Message) -> datetime:
    """When a dead letter was made, else when its publisher says that it was published; 1970 when nothing says."""
    if _stamped(message):
        return datetime.fromtimestamp(number_of(message) / 1e6, UTC)
    timestamp = message.properties.timestamp
    return timestamp if isinstance(timestamp, datetime) else datetime.fromtimestamp(0, UTC)


def _stamped(message: Message) -> str:
    """The number that we gave it. On what the broker itself dead-lettered, that header is its publisher's."""
    headers = headers_of(message)
    return "" if _BY_BROKER in headers else str(headers.get(NUMBER, ""))


def died(message: Message) -> dict[str, str]:
    """What our headers would say of a message that the broker itself dead-lettered, for instance because it expired.

    Headers of ours that it has are its publisher's: we leave those of the broker away from our own dead letters.
    """
    headers = headers_of(message)
    if _BY_BROKER not in headers:
        return {}
    reason, queue = _last_death(headers)
    return {stamps.CODE: reason.upper(), stamps.REASON: why_dead(reason), stamps.ORIGIN: queue}


def _last_death(headers: Headers) -> tuple[str, str]:
    """Why and in which queue it died last. A retry died before: it expired in a delay queue."""
    deaths = headers.get("x-death")
    newest = deaths[0] if isinstance(deaths, list) and deaths and isinstance(deaths[0], dict) else {}
    reason = newest.get("reason", headers[_BY_BROKER])
    return _text(reason), _text(newest.get("queue", headers.get("x-first-death-queue", "")))


def record_of(message: Message, topic: Topic, sequence: int, extra: Mapping[str, str] | None = None) -> Record:
    """The record of `message`, with `extra` headers."""
    return Record(
        topic=topic,
        sequence=sequence,
        time=stored_at(message),
        headers={**text(headers_of(message), message.properties.content_type), **(extra or {})},
        body=message.body,
        # From the headers as they were sent: their text says nothing of types.
        decode=partial(event_of, message),
    )


def _text(value: Any) -> str:
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case bytes() | bytearray():
            return bytes(value).decode(errors="replace")
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case None:
            return ""
        case _:
            return str(value)
