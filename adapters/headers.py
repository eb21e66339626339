"""The headers that jobrelay adds to a message it stores again. Pure; the same on every broker.

They count attempts, hold a message back, and say why a dead letter is one. The event's own headers are those of
`events.cloudevent.binding`.
"""

import hashlib
import re
from collections.abc import Mapping
from urllib.parse import quote, unquote

from cloudevents.core.v1.event import CloudEvent

from adapters.base import Kind

ATTEMPTS = "jobrelay-attempts"
"""Attempts that were used up before this message was stored (again)."""
NOT_BEFORE = "jobrelay-not-before"
"""Milliseconds since 1970 before which the message is not handed out; at most `LONGEST_DELAY` from now."""
SINCE = "jobrelay-since"
"""Milliseconds since 1970 when the message was first stored again."""
CODE = "jobrelay-code"
"""The error code of a dead letter."""
REASON = "jobrelay-reason"
"""The reason of a dead letter, in words; percent-encoded UTF-8 (`reason_of` reads it)."""
ORIGIN = "jobrelay-origin"
"""Where a dead letter was before: `<stream>/<sequence>` or `<queue>/<id>`."""
REPLAYS = "jobrelay-replays"
"""How often this message was replayed from the dead letters."""

LONGEST_DELAY = 3600.0
"""In seconds. We never have a message wait for longer, so a header that says more was written by somebody else, or by a
clock that has been set back since: the message is handed out at once."""
LEFT_OUT = "jobrelay-left-out"
"""Of a dead letter that there was no room for: size and hash of its body, which was not kept."""
REASON_LIMIT = 8192
"""Largest reason, in bytes, as encoded in the header."""
RESERVE = 16 * 1024
"""Bytes that a request or control message must stay below the broker's limit, so that its dead letter still fits."""

LETTER = (CODE, REASON, ORIGIN, ATTEMPTS, NOT_BEFORE, SINCE, LEFT_OUT)
"""Our headers of a dead letter, which a replay removes."""

_LONGEST_COUNT = 7
_LONGEST_ID = 256
_SHORT = 256
_LONGEST_TIME = 15
_PLAIN = " !\"#$&'()*+,/:;<=>?@[]^`{|}"
_TORN_ESCAPE = re.compile(r"%[0-9A-F]?$")
# What NATS and AMQP clients agree to send as a header's name.
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,128}")


def attempts_before(headers: Mapping[str, str]) -> int:
    """Attempts used up before; 0 for anything that is not a sensible number (anybody can publish a header)."""
    return _count(headers.get(ATTEMPTS, ""))


def replays(headers: Mapping[str, str]) -> int:
    """How often it was replayed; 0 for anything that is not a sensible number."""
    return _count(headers.get(REPLAYS, ""))


def rest(headers: Mapping[str, str], *, now: float) -> float:
    """Seconds for which the message still waits: 0 without such a header, or when we would not have written it."""
    until = _time(headers.get(NOT_BEFORE, ""))
    return until - now if until is not None and 0 < until - now <= LONGEST_DELAY else 0.0


def waited(headers: Mapping[str, str], now: float) -> float:
    """Seconds since it was first stored again, at `now` (epoch seconds); 0 if it never was.

    Anybody can publish a header: one that names a time to come counts for nothing, and is replaced by the next copy.
    """
    since = _time(headers.get(SINCE, ""))
    return 0.0 if since is None else max(0.0, now - since)


def message_id(kind: Kind, event: CloudEvent) -> str:
    """What lets the broker drop a repeat. Requests of two sources may share an id, so their source counts."""
    identity = str(event.get_id())
    if kind in (Kind.REQUESTS, Kind.CONTROL):
        source = str(event.get_source())
        identity = f"{len(source)}:{source}{identity}"
    return sendable(identity)


def sendable(message_id: str) -> str:
    """A message id that every client sends unchanged: itself, or a hash where it is long or not plain ASCII."""
    plain = message_id.isascii() and message_id.isprintable() and " " not in message_id
    if plain and len(message_id) <= _LONGEST_ID:
        return message_id
    return "sha256-" + hashlib.sha256(message_id.encode(errors="surrogatepass")).hexdigest()


def again(headers: Mapping[str, str], *, attempts: int, until: float | None, now: float) -> dict[str, str]:
    """Headers of the copy that `retry` and `defer` store: the original headers, with `attempts` and `until`.

    It says since when it waits. `until` and `now`: epoch seconds. What is over `LONGEST_DELAY` from now will not be
    believed.
    """
    copy = _kept(headers)
    copy.pop(NOT_BEFORE, None)
    copy[ATTEMPTS] = str(attempts)
    if until is not None:
        copy[NOT_BEFORE] = str(int(until * 1000))
    copy[SINCE] = str(int((now - waited(headers, now)) * 1000))
    return copy


def dead(headers: Mapping[str, str], *, code: str, reason: str, origin: str, attempts: int) -> dict[str, str]:
    """Headers of a dead letter: the original headers, and why it is dead."""
    copy = _kept(headers)
    copy[CODE] = quote(code, errors="replace")[:100]
    copy[REASON] = _cut(reason)
    copy[ORIGIN] = origin
    copy[ATTEMPTS] = str(attempts)
    return copy


def replayed(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers of a replayed dead letter: the original headers, one replay more, no attempt used up."""
    copy = _kept(headers)
    for name in LETTER:
        copy.pop(name, None)
    copy[REPLAYS] = str(replays(headers) + 1)
    return copy


def without_body(letter: Mapping[str, str], body: bytes) -> dict[str, str]:
    """Headers of a dead letter whose body there is no room for: ours and the short ones, at most 16 KiB of those."""
    ours = {name: letter[name] for name in LETTER if name in letter}
    short: dict[str, str] = {}
    for name, value in letter.items():
        if name not in ours and len(value) <= _SHORT and size(short) < RESERVE:
            short[name] = value
    return {**short, **ours, LEFT_OUT: f"{len(body)} bytes, sha256:{hashlib.sha256(body).hexdigest()}"}


def reason_of(headers: Mapping[str, str]) -> str:
    """The reason of a dead letter, readable."""
    return unquote(headers.get(REASON, ""))


def size(headers: Mapping[str, str]) -> int:
    """Bytes that headers take on NATS; close enough elsewhere."""
    return 12 + sum(len(name.encode()) + len(value.encode()) + 4 for name, value in headers.items())


def _time(text: str) -> float | None:
    """Epoch seconds of a header that names milliseconds; None for anything else."""
    return int(text) / 1000 if text.isascii() and text.isdigit() and len(text) <= _LONGEST_TIME else None


def _count(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _LONGEST_COUNT else 0


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    """Without what the broker itself acted on (a copy must not be a duplicate) and what no client can send."""
    return {
        name: value
        for name, value in headers.items()
        if not name.lower().startswith("nats-") and name.lower() not in ("status", LEFT_OUT) and _NAME.fullmatch(name)
    }


def _cut(reason: str) -> str:
    encoded = quote(reason, safe=_PLAIN, errors="replace").strip()
    if len(encoded) <= REASON_LIMIT:
        return encoded
    # Do not cut within an escape or a character.
    whole = unquote(_TORN_ESCAPE.sub("", encoded[:REASON_LIMIT]), errors="ignore")
    return quote(whole, safe=_PLAIN).strip()
