"""What topics allow on every broker: which can be published to, consumed, read, and selected by a pattern. Pure."""

import re
from collections.abc import Callable, Mapping

from adapters.base import Cursor, Kind, Topic, TopicRefused
from adapters.lanes import LANES

KEY_LIMIT = 1024
"""Largest key, in bytes. NATS servers drop the connection at a line over 4 KiB; AMQP keys end at 255 bytes."""

_WILDCARDS = {"*": r"[^.]+", "#": r".+"}
_INSTALLATION = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_FORBIDDEN = re.compile(r"[\s*>\x00-\x20\x7f]")


def installation(name: str) -> str:
    """The name of an installation, which prefixes all its names on a broker. Raises ValueError for a bad name."""
    if not _INSTALLATION.fullmatch(name):
        raise ValueError(f"instance {name!r}: lower-case letters, digits and inner hyphens only")
    return name


def lanes_of(kind: Kind) -> tuple[Topic, ...]:
    """What a subscription to `kind` consumes."""
    return tuple(Topic(kind, lane) for lane in LANES) if kind is Kind.REQUESTS else (Topic(kind),)


def weighted_lanes(kind: Kind, weights: Mapping[str, int]) -> dict[Topic, int]:
    """The lanes of `kind` with their weights; control is a lane of its own."""
    return {topic: weights[topic.key] if kind is Kind.REQUESTS else 1 for topic in lanes_of(kind)}


def require_consumed(kind: Kind) -> None:
    """Raises ValueError for a kind that has no subscriptions."""
    if kind not in (Kind.REQUESTS, Kind.CONTROL):
        raise ValueError(f"{kind} is read, not consumed")


def require_history(kind: Kind, *, new_only: bool = False, after: Cursor | None = None) -> None:
    """Raises ValueError for a kind that is consumed and cannot be read again, and for an `after` without sense."""
    if kind not in (Kind.LIFECYCLE, Kind.DEAD):
        raise ValueError(f"{kind} has no history")
    if after is not None and kind is not Kind.LIFECYCLE:
        raise ValueError(f"after: {kind} is read from its first record on; only lifecycle has places to go on from")
    if after is not None and new_only:
        raise ValueError("after: not together with new_only, which begins at the end")


def refusal(topic: Topic) -> str | None:
    """Why nothing can be published on this topic; None when it may be tried."""
    match topic.kind:
        case Kind.REQUESTS:
            return None if topic.key in LANES else f"no such lane: {topic.key!r}"
        case Kind.CONTROL:
            return None if not topic.key else "control has no key"
        case Kind.DEAD:
            return "dead letters are made by rejecting a delivery"
        case Kind.LIFECYCLE | Kind.REPLY:
            return _bad_key(topic.key)


def origin(letter: Topic) -> Topic:
    """Where a dead letter came from, as its key says: REQUESTS or CONTROL. Raises `TopicRefused` for anything else."""
    kind, _, key = letter.key.partition(".")
    if kind in (Kind.REQUESTS, Kind.CONTROL):
        topic = Topic(Kind(kind), key)
        if refusal(topic) is None:
            return topic
    raise TopicRefused(letter, "it came from no topic that can be published on")


def _bad_key(key: str) -> str | None:
    if not key or not all(key.split(".")):
        return "an empty part"
    if key.startswith("$"):
        return "names that begin with $ are the broker's own"
    if _FORBIDDEN.search(key):
        return "wildcards, spaces and control characters are not allowed"
    try:
        length = len(key.encode())
    except UnicodeEncodeError:
        return "not Unicode"
    return f"longer than {KEY_LIMIT} bytes" if length > KEY_LIMIT else None


def selects(pattern: str | None) -> Callable[[str], bool]:
    """A test for keys: in `pattern`, `*` stands for one part and a final `#` for at least one. None selects all."""
    if pattern is None:
        return lambda key: True
    expression = re.compile(r"\.".join(_WILDCARDS.get(part, re.escape(part)) for part in pattern.split(".")))
    return lambda key: expression.fullmatch(key) is not None
