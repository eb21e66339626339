"""The broker port: what jobrelay needs of a message broker, and the errors every adapter translates its own into."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from hashlib import blake2b
from typing import Protocol

from cloudevents.core.v1.event import CloudEvent


class BrokerError(Exception):
    """Base of what an adapter raises."""


class BrokerUnavailable(BrokerError):
    """Not now: connection lost, timeout, store full, topology missing. Nothing is known to be lost; try again later."""


class TopicRefused(BrokerError):
    """The broker will never take this event on this topic: unroutable, no stream, forbidden, or too large."""

    def __init__(self, topic: "Topic", reason: str, *, too_large: bool = False) -> None:
        super().__init__(f"{topic}: {reason}")
        self.topic = topic
        self.reason = reason
        self.too_large = too_large


class TopologyDrift(BrokerError):
    """A stream, consumer, exchange or queue exists, but not as ours should be: with other arguments, or paused.

    Reported, and left as it is.
    """


class Kind(StrEnum):
    """What a topic carries. `REPLY` topics are named by the requester and used as they are."""

    REQUESTS = "requests"
    CONTROL = "control"
    LIFECYCLE = "lifecycle"
    DEAD = "dead"
    REPLY = "reply"


@dataclass(frozen=True, slots=True)
class Topic:
    """Where an event goes. The prefix of the installation is not part of it: adapters add that.

    `key` is the lane (`high`, `low`, empty for normal) of REQUESTS, `<service>.<id>.<phase>` of LIFECYCLE (parts
    already encoded), the broker's own subject or routing key of REPLY, the origin of DEAD, and empty for CONTROL.
    """

    kind: Kind
    key: str = ""

    def __str__(self) -> str:
        return f"{self.kind}.{self.key}" if self.key else str(self.kind)


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in a log: the record that was read last.

    `stream` tells the log from one that was deleted and made anew under its name, where the broker does: JetStream's
    time of creation; on RabbitMQ it is empty, and `digest` of the record at `sequence` is compared instead.
    """

    stream: str
    sequence: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One stored message, read without consuming it. `sequence` is the broker's position, `time` when it was stored.

    `stream`: see `Cursor`.
    """

    topic: Topic
    sequence: int
    stream: str = ""
    time: datetime
    headers: Mapping[str, str]
    body: bytes
    decode: Callable[[], CloudEvent] = field(compare=False, repr=False)
    """Decodes the message in the way its broker binds events to messages."""

    def event(self) -> CloudEvent:
        """Raises `events.cloudevent.event.InvalidEvent`: decoding is lazy."""
        return self.decode()

    @property
    def cursor(self) -> Cursor:
        """The place of this record, from which `Log.history` goes on."""
        return Cursor(self.stream, self.sequence, digest_of(self.body))


def digest_of(body: bytes) -> str:
    """What `Cursor.digest` is of a record with this body."""
    return blake2b(body, digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Depth:
    """How many messages of a topic wait (`ready`), and how many are delivered but not settled (`unsettled`).

    RabbitMQ does not say what it has delivered: there `unsettled` counts only what this process has.
    """

    ready: int
    unsettled: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Mishaps:
    """What has gone wrong on a broker since this process connected to it. The numbers only grow."""

    redeclared: int = 0
    """Streams, consumers, exchanges and queues that had gone and were declared anew."""
    taken_away: int = 0
    """Deliveries that the broker took back from this process because they were unsettled for too long."""
    letters_cut: int = 0
    """Dead letters that were kept without their bodies, because there was little room."""
    letters_lost: int = 0
    """Messages that were refused without a dead letter, because there was no room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicas:
    """The copies of one stream or queue on the nodes of a broker's cluster."""

    store: str
    """What has them, as people name it: `stream JOBRELAY_REQUESTS`, `queue jobrelay.requests`."""
    members: int
    """Nodes that have a copy, whether they are up or not."""
    online: int
    """Members that are up and take part."""
    wanted: int
    """How many members it should have: the setting, or what suits the cluster."""
    remedy: str = ""
    """What an operator runs to have as many as wanted; empty if there are."""


class Delivery(Protocol):
    """One message in flight. Settle it exactly once; left unsettled, the broker redelivers it.

    The adapter keeps the broker from redelivering it while this process holds it. Settling on a lost connection is no
    error: the broker redelivers, and effects are idempotent.
    """

    @property
    def attempt(self) -> int:
        """1 on the first delivery; counts redeliveries and `retry`, not `defer`."""
        ...

    @property
    def message_id(self) -> str:
        """The broker's name of this stored message, the same on every redelivery.

        `<stream>/<sequence>`, or `<queue>/<id>`.
        """
        ...

    @property
    def replays(self) -> int:
        """How often it was replayed from the dead letters; 0 for a message as published."""
        ...

    @property
    def waited(self) -> float:
        """Seconds since it was first put back with `retry` or `defer`; 0 if it never was."""
        ...

    @property
    def topic(self) -> Topic:
        """Where it came from (REQUESTS with its lane, or CONTROL)."""
        ...

    @property
    def body(self) -> bytes:
        """The bytes as published."""
        ...

    def event(self, *, most: int | None = None) -> CloudEvent:
        """Decode it. Raises `events.cloudevent.event.InvalidEvent` here and nowhere earlier: poison has one owner.

        A body of more than `most` bytes is not read: then that is a `TooLarge`.
        """
        ...

    async def ack(self) -> None:
        """Done: its effect is durable."""
        ...

    async def retry(self, delay: float) -> None:
        """Have it delivered again, no sooner than `delay` seconds from now. Counts as an attempt."""
        ...

    async def defer(self, delay: float) -> None:
        """Have it delivered again, no sooner than `delay` seconds from now. Does not count as an attempt."""
        ...

    async def reject(self, code: str, reason: str) -> None:
        """Move it to the dead letters: original bytes and headers, with `code` and `reason` (cut at 8 KiB)."""
        ...


class Subscription(Protocol):
    """Deliveries of one kind of topic; at most `prefetch` of them are handed out and unsettled.

    Messages that wait in the subscription count too, except that each lane beyond the first may add one. Together they
    have at most as many bytes as the adapter's options say, except that a lane which has none may always add one.

    As long as a place is free and a message waits, it is fetched and handed out while the others are worked on. So who
    works on n at a time asks for n + 1: fetching a message takes as long as a call or two.
    """

    def __aiter__(self) -> AsyncIterator[Delivery]: ...

    def pause(self) -> None:
        """Request no more messages. Those requested before still come out, and nothing goes back.

        That is at most the prefetch, and for a lane that was empty one message that arrives on it later. Only
        RabbitMQ takes back messages in transit, and counts them as delivered.
        """
        ...

    def resume(self) -> None:
        """Request messages again."""
        ...

    def close(self) -> None:
        """Stop: the iteration ends, what was handed out can still be settled, the rest goes back."""
        ...


class Publisher(Protocol):
    """Takes events out."""

    async def publish(self, topic: Topic, event: CloudEvent, *, message_id: str | None = None) -> None:
        """Return once the broker has stored it. `message_id` lets the broker drop repeats within ten minutes.

        By default it is the event's id, and for REQUESTS and CONTROL, whose ids are unique only within a source, source
        and id.
        Raises `BrokerUnavailable` or `TopicRefused`.
        """
        ...


class Log(Protocol):
    """Reads what is stored, without consuming it."""

    def history(
        self,
        kind: Kind,
        *,
        key: str | None = None,
        follow: bool = False,
        new_only: bool = False,
        after: Cursor | None = None,
    ) -> AbstractAsyncContextManager[AsyncIterator[Record]]:
        """Records of LIFECYCLE or DEAD, oldest first.

        `key` selects by key: parts separated by dots, `*` for one part, `#` for the rest. `follow` goes on with
        new records; without it the iteration ends with what was stored on entry. `new_only` skips what was stored
        before. `after`, of LIFECYCLE only: what was stored after that record, or everything, if the log is not the one
        that it was in: another stream, another record at its place, or none where the log has not come so far. What the
        broker has dropped since is missing: `sequence` shows how much. Raises `ValueError` for `after` with `new_only`,
        and for `after` of DEAD.
        """
        ...


class DeadLetter(Protocol):
    """A dead letter. It stays on the broker until `replay` or `drop` has returned; after that both do nothing."""

    @property
    def record(self) -> Record: ...

    async def replay(self) -> None:
        """Put it back on the topic it came from, as a new message with its bytes and headers; then remove it.

        A crash in between leaves it to be replayed twice, never lost. Raises `BrokerUnavailable`, or `TopicRefused`
        when it came from no topic of ours or does not fit any more.
        """
        ...

    async def drop(self) -> None:
        """Remove it for good. Raises `BrokerUnavailable`: then it may be there still."""
        ...


class DeadLetters(Protocol):
    """Gives access to the dead letters, to one operator at a time where the broker can enforce that."""

    def dead_letters(self) -> AbstractAsyncContextManager[AsyncIterator[DeadLetter]]:
        """Those that were stored on entry, oldest first. What is neither replayed nor dropped in the block stays."""
        ...


class Topology(Protocol):
    """Streams and queues. One role owns and declares them, the others check."""

    async def declare(self) -> None:
        """Create what is missing, with a warning if it was there before.

        Raises `TopologyDrift` when something exists, but not as it should be (left as it is), `BrokerUnavailable` when
        something cannot be created.
        """
        ...

    async def check(self) -> None:
        """Raises `BrokerUnavailable` naming what is missing, `TopologyDrift` naming what differs. Creates nothing."""
        ...

    async def depth(self) -> Mapping[Topic, Depth]:
        """Of each request lane, of control, and of the dead letters (`ready` only), as far as the broker tells us."""
        ...

    async def fill(self) -> Mapping[Kind, float]:
        """How full the stores of REQUESTS, LIFECYCLE and DEAD are, from 0 to 1, where the broker says it."""
        ...

    async def probe(self) -> None:
        """Return if what is published now is stored. Streams and queues may exist, and yet have no quorum.

        Raises `BrokerUnavailable`, which names what does not store.
        """
        ...

    async def replicas(self) -> Sequence[Replicas]:
        """Of each stream and queue, where the broker is a cluster and says it. Raises `BrokerUnavailable`."""
        ...

    @property
    def mishaps(self) -> Mishaps: ...


class Broker(Publisher, Log, DeadLetters, Topology, Protocol):
    """One connected broker."""

    @property
    def name(self) -> str:
        """The name of its adapter, which annotation `broker` of a Job repeats."""
        ...

    @property
    def connected(self) -> bool: ...

    def subscribe(self, kind: Kind, *, prefetch: int) -> AbstractAsyncContextManager[Subscription]:
        """Consume REQUESTS (all lanes, weighted so that none starves) or CONTROL, competing with other members."""
        ...
