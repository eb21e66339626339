"""The streams and consumers of an installation on NATS JetStream, and what counts as drift. Pure data.

Field names and values are those of the server's JSON API (durations in nanoseconds), so that they compare with what
`STREAM.INFO` and `CONSUMER.INFO` answer.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from adapters.base import Kind, Topic
from adapters.headers import RESERVE
from adapters.jetstream.options import JetStreamOptions
from adapters.lanes import LANES
from adapters.topics import installation, lanes_of

NANOSECONDS = 1_000_000_000
_DAY = 86_400 * NANOSECONDS
FORMER_ACK_WAIT = 30 * NANOSECONDS
"""Of consumers that earlier versions made: what was on its way when a node of a cluster died was away for too long."""
_LEAST_BYTES = 1 << 20
_SIZES: Mapping[Kind, tuple[str, int]] = {
    Kind.REQUESTS: ("JOBRELAY_NATS_MAX_BYTES", 1 << 30),
    Kind.LIFECYCLE: ("JOBRELAY_NATS_LIFECYCLE_BYTES", 1 << 30),
    Kind.DEAD: ("JOBRELAY_NATS_DEAD_BYTES", 256 << 20),
}
"""The setting that bounds a stream, and what it is for a new stream if nobody has set it."""
_LANE_NAMES = {lane: lane or "normal" for lane in LANES}


@dataclass(frozen=True, slots=True, kw_only=True)
class Consumer:
    """A durable pull consumer, of a lane or of control."""

    name: str
    topic: Topic
    config: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """`config` is what it is created with. Of an existing stream, only the fields in `compared` must match.

    `setting` names what bounds it, `elastic` whether it may be smaller than its config says where there is little room.
    """

    name: str
    config: Mapping[str, object]
    compared: frozenset[str]
    subjects: tuple[str, ...]
    consumers: tuple[Consumer, ...] = ()
    setting: str = ""
    elastic: bool = False

    def smaller(self) -> "Stream | None":
        """The same with a quarter of its size; None if nobody may make it smaller."""
        size = self.config.get("max_bytes")
        if not self.elastic or not isinstance(size, int) or size // 4 < _LEAST_BYTES:
            return None
        return replace(self, config={**self.config, "max_bytes": size // 4})

    @property
    def remedy(self) -> str:
        """What helps, too, if the server has no room for it."""
        return f", or lower {self.setting}" if self.setting else ""


class StreamNames:
    """Streams, subjects and consumers of an installation. Raises ValueError for a bad name."""

    def __init__(self, instance: str) -> None:
        self.instance = installation(instance)

    def stream(self, kind: Kind) -> str:
        """`JOBRELAY_REQUESTS`."""
        return f"{self.instance.upper()}_{kind.upper()}"

    def subject(self, topic: Topic) -> str:
        """`jobrelay.requests.high`; of a REPLY topic its key."""
        return topic.key if topic.kind is Kind.REPLY else f"{self.instance}.{topic}"

    def key(self, kind: Kind, subject: str) -> str:
        """The reverse of `subject`: the key of the topic."""
        return subject.removeprefix(f"{self.instance}.{kind}").removeprefix(".")

    def consumer(self, topic: Topic) -> str:
        """`jobrelay-high`, `jobrelay-control`."""
        return f"{self.instance}-{_LANE_NAMES[topic.key] if topic.kind is Kind.REQUESTS else topic.kind}"


def streams(names: StreamNames, *, max_payload: int, options: JetStreamOptions) -> tuple[Stream, ...]:
    """What an installation needs, on a server that takes messages of `max_payload` bytes."""
    # A dead letter is the message with a reason beside it, and has to fit as well.
    queue: Mapping[str, object] = {"retention": "workqueue", "max_msg_size": max(max_payload - RESERVE, 1024)}
    bounded = {"discard": "new", "duplicate_window": 600 * NANOSECONDS}
    lifecycle = {"retention": "limits", "max_age": 7 * _DAY, "duplicate_window": 600 * NANOSECONDS}
    # Nobody's garbage may push out the dead letters of others.
    dead = {"retention": "limits", "max_age": 30 * _DAY, "discard": "new"}
    return (
        _stream(names, Kind.REQUESTS, {**queue, **bounded}, options),
        _stream(names, Kind.CONTROL, queue, options),
        _stream(names, Kind.LIFECYCLE, lifecycle, options),
        _stream(names, Kind.DEAD, dead, options),
    )


def _stream(names: StreamNames, kind: Kind, fields: Mapping[str, object], options: JetStreamOptions) -> Stream:
    queue = fields["retention"] == "workqueue"
    topics = lanes_of(kind) if queue else ()
    subjects = sorted(names.subject(topic) for topic in topics) or [f"{names.subject(Topic(kind))}.>"]
    setting, size = _SIZES.get(kind, ("", 0))
    asked = {
        Kind.REQUESTS: options.requests_max_bytes,
        Kind.LIFECYCLE: options.lifecycle_max_bytes,
        Kind.DEAD: options.dead_max_bytes,
    }.get(kind)
    bound = {"max_bytes": size if asked is None else asked} if setting else {}
    config = {
        "name": names.stream(kind),
        "subjects": subjects,
        "storage": "file",
        "num_replicas": options.replicas or 1,
        **fields,
        **bound,
    }
    # Those of earlier versions had no bound, and dropped the oldest.
    free = {"num_replicas": None, "max_bytes": asked}
    if kind is Kind.DEAD:
        free["discard"] = None
    return Stream(
        name=names.stream(kind),
        config=config,
        compared=frozenset(field for field in config if field not in free or free[field] is not None),
        subjects=tuple(subjects),
        consumers=tuple(_consumer(names, topic, options) for topic in topics),
        setting=setting,
        elastic=kind in (Kind.LIFECYCLE, Kind.DEAD) and asked is None,
    )


def _consumer(names: StreamNames, topic: Topic, options: JetStreamOptions) -> Consumer:
    name = names.consumer(topic)
    config = {
        "name": name,
        "durable_name": name,
        "filter_subject": names.subject(topic),
        "deliver_policy": "all",
        "ack_policy": "explicit",
        "ack_wait": int(options.ack_wait * NANOSECONDS),
        # No limit: at its limit a work queue keeps the message for ever and delivers it to nobody.
        "max_deliver": -1,
        "max_ack_pending": -1,
        "replay_policy": "instant",
    }
    return Consumer(name=name, topic=topic, config=config)


def stream_drift(stream: Stream, found: Mapping[str, object]) -> Iterator[str]:
    """One sentence for each field of an existing stream that breaks what we promise."""
    for field in sorted(stream.compared):
        wanted, is_now = stream.config[field], found.get(field)
        if not _suits(field, wanted, is_now):
            yield f"stream {stream.name}: {field} is {is_now!r}, not {wanted!r}"


def consumer_drift(stream: Stream, consumer: Consumer, found: Mapping[str, object]) -> Iterator[str]:
    """One sentence for each field of an existing consumer that differs."""
    for field, wanted in sorted(consumer.config.items()):
        if found.get(field) != wanted and not (field == "ack_wait" and is_former(found)):
            yield f"consumer {consumer.name} of {stream.name}: {field} is {found.get(field)!r}, not {wanted!r}"
    if found.get("backoff"):
        yield f"consumer {consumer.name} of {stream.name}: backoff replaces ack_wait, and has to go"


def is_former(found: Mapping[str, object]) -> bool:
    """Whether a consumer of this configuration waits for acknowledgements as long as those of earlier versions."""
    return found.get("ack_wait") == FORMER_ACK_WAIT


def paused(stream: Stream, consumer: Consumer, info: Mapping[str, object]) -> Iterator[str]:
    """One sentence for a consumer that somebody has paused (NATS 2.11 can). `info` is what `CONSUMER.INFO` answers."""
    if info.get("paused"):
        config = info.get("config")
        until = config.get("pause_until") if isinstance(config, Mapping) else None
        yield (
            f"consumer {consumer.name} of {stream.name} is paused until {until or 'it is resumed'} and delivers nothing"
            f": `nats consumer resume {stream.name} {consumer.name}` ends that"
        )


def collide(one: str, other: str) -> bool:
    """Whether a subject exists that both cover; `*` stands for one token, `>` for all that follow, at least one."""
    ours, theirs = one.split("."), other.split(".")
    for mine, their in zip(ours, theirs, strict=False):
        if ">" in (mine, their):
            return True
        if mine != their and "*" not in (mine, their):
            return False
    return len(ours) == len(theirs)


def _suits(field: str, wanted: object, found: object) -> bool:
    if field == "subjects":
        return isinstance(found, list) and sorted(found) == wanted
    if field == "max_msg_size":
        # A lower limit keeps the promise too: the server's max_payload may have been raised since.
        return isinstance(found, int) and isinstance(wanted, int) and 0 < found <= wanted
    return found == wanted
