"""The exchanges and queues of an installation on RabbitMQ. Pure data.

None of it can be changed without deleting queues. All of it works on RabbitMQ 3.10 to 4: no mirrored or transient
queues, no global prefetch, no delivery limit of -1.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from adapters.base import Kind, Topic
from adapters.lanes import NORMAL
from adapters.topics import installation, lanes_of

DELAYS = (1, 5, 30, 300, 3600)
"""Seconds for which delay queues keep a message. A single queue with per-message TTLs blocks behind the longest."""
DELIVERY_LIMIT = 1_000_000
"""In effect none: the handler counts. By default RabbitMQ 4 drops after 20, and on 3.10 -1 loses messages at once."""
DEAD_BYTES = 256 << 20
LOG_BYTES = 1 << 30
SEGMENT_BYTES = 64 << 20
RETURNED_MS, RETURNED_FROM = 5000, (4, 3)
"""From this version on, a queue keeps what it delivered through a node that is gone for a minute, or for so long."""
_SIZES = {"quorum": "x-quorum-initial-group-size", "stream": "x-initial-cluster-size"}
KEY_LIMIT = 255
"""Largest routing key, in bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A durable exchange."""

    name: str
    kind: str
    arguments: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A durable queue, bound to `exchange` with each of `keys`."""

    name: str
    exchange: str
    keys: tuple[str, ...]
    arguments: Mapping[str, object]
    bounds: Mapping[str, object] = field(default_factory=dict)
    """Further arguments of a new queue. An existing one may have others, or none: earlier versions set none."""
    placement: Mapping[str, object] = field(default_factory=dict)
    """Of a cluster, how many nodes get a new queue, which leads it, and when it gives up those of its consumers' nodes
    that are gone; None: not asked for. Later commands and policies change it.
    """
    spare: bool = False
    """Whether everything works without it, and it may be missing until its owner comes: earlier versions had none."""

    @property
    def soft(self) -> Mapping[str, object]:
        """The arguments in which an existing queue may differ; None: a new one goes without."""
        return {**self.bounds, **self.placement}


class QueueNames:
    """Exchanges and queues of an installation. Raises ValueError for a bad name."""

    def __init__(self, instance: str) -> None:
        self.instance = installation(instance)

    def exchange(self, kind: Kind) -> str:
        """`jobrelay.requests`. Replies go where lifecycle events go."""
        return f"{self.instance}.{Kind.LIFECYCLE if kind is Kind.REPLY else kind}"

    def queue(self, topic: Topic) -> str:
        """`jobrelay.requests.high`, `jobrelay.control`, `jobrelay.lifecycle.log`, `jobrelay.dead`."""
        if topic.kind in (Kind.LIFECYCLE, Kind.REPLY):
            return f"{self.instance}.lifecycle.log"
        return f"{self.instance}.{topic.kind}.{topic.key}" if topic.key else f"{self.instance}.{topic.kind}"

    def origin(self, queue: str) -> str:
        """The topic of a queue, as text: `requests.high`."""
        return queue.removeprefix(f"{self.instance}.")

    @property
    def probe(self) -> str:
        """The queue in which is tried whether anything can be stored; also its key on the exchange of CONTROL."""
        return f"{self.instance}.probe"

    @property
    def other(self) -> str:
        """The exchange for requests whose key names no lane."""
        return f"{self.instance}.requests.other"

    def delay(self, seconds: int) -> str:
        """Exchange and queue that keep requests for so long."""
        return f"{self.instance}.delay.{seconds}"


def delay_for(seconds: float) -> int:
    """The shortest delay that is long enough, or the longest there is."""
    return next((delay for delay in DELAYS if delay >= seconds), DELAYS[-1])


def reader(queue: str) -> str:
    """The queue that whoever reads this queue of dead letters holds."""
    return f"{queue}.reader"


def exchanges(names: QueueNames) -> tuple[Exchange, ...]:
    """In the order in which they are declared."""
    return (
        Exchange(name=names.exchange(Kind.DEAD), kind="fanout"),
        Exchange(name=names.other, kind="fanout"),
        Exchange(name=names.exchange(Kind.REQUESTS), kind="topic", arguments={"alternate-exchange": names.other}),
        Exchange(name=names.exchange(Kind.CONTROL), kind="direct"),
        Exchange(name=names.exchange(Kind.LIFECYCLE), kind="topic"),
        *(Exchange(name=names.delay(seconds), kind="fanout") for seconds in DELAYS),
    )


def queues(names: QueueNames, replicas: int | None = None, *, version: tuple[int, int] = (0, 0)) -> tuple[Queue, ...]:
    """In the order in which they are declared: what others dead-letter to comes first.

    `replicas`: of each queue, if it is new; None: as many as RabbitMQ chooses. `version`: of the server.
    """
    return tuple(
        replace(queue, placement=_placement(str(queue.arguments["x-queue-type"]), replicas, version))
        for queue in _queues(names)
    )


def _placement(kind: str, replicas: int | None, version: tuple[int, int]) -> Mapping[str, object]:
    # Without the first, whichever node the declaring process is connected to leads all queues.
    made: dict[str, object] = {"x-queue-leader-locator": "balanced", _SIZES[kind]: replicas}
    if kind == "quorum" and version >= RETURNED_FROM:
        # Older servers refuse a quorum queue with an argument that they do not know.
        made["x-consumer-disconnected-timeout"] = RETURNED_MS
    return made


def _queues(names: QueueNames) -> tuple[Queue, ...]:
    quorum: Mapping[str, object] = {"x-queue-type": "quorum", "x-delivery-limit": DELIVERY_LIMIT}
    safely: Mapping[str, object] = {"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}
    work = {**quorum, **safely, "x-dead-letter-exchange": names.exchange(Kind.DEAD)}
    lanes = (
        Queue(
            name=names.queue(topic),
            exchange=names.other if topic.key == NORMAL else names.exchange(Kind.REQUESTS),
            keys=(topic.key,),
            arguments=work,
        )
        for topic in lanes_of(Kind.REQUESTS)
    )
    delays = (
        Queue(
            name=names.delay(seconds),
            exchange=names.delay(seconds),
            keys=("",),
            # No routing key: the message keeps its own, and with it its lane.
            arguments={
                **quorum,
                **safely,
                "x-message-ttl": seconds * 1000,
                "x-dead-letter-exchange": names.exchange(Kind.REQUESTS),
            },
        )
        for seconds in DELAYS
    )
    control, dead, log = Topic(Kind.CONTROL), Topic(Kind.DEAD), Topic(Kind.LIFECYCLE)
    return (
        Queue(
            name=names.queue(dead),
            exchange=names.exchange(Kind.DEAD),
            keys=("",),
            arguments=quorum,
            # Full, it loses its oldest letters. If it refused new ones, what expires would fill the queue it was in.
            bounds={"x-max-length-bytes": DEAD_BYTES},
        ),
        *lanes,
        Queue(
            name=names.queue(control),
            exchange=names.exchange(Kind.CONTROL),
            # The empty key, and what clients send that think of queues.
            keys=("", names.queue(control)),
            arguments=work,
        ),
        Queue(
            name=names.queue(log),
            exchange=names.exchange(Kind.LIFECYCLE),
            keys=("#",),
            arguments={"x-queue-type": "stream", "x-max-age": "7D"},
            # What goes are whole segments; by default each has 500 MB.
            bounds={"x-max-length-bytes": LOG_BYTES, "x-stream-max-segment-size-bytes": SEGMENT_BYTES},
        ),
        *delays,
        Queue(
            name=names.probe,
            exchange=names.exchange(Kind.CONTROL),
            keys=(names.probe,),
            # Nobody reads it: the next message takes the place of the last.
            arguments={**quorum, "x-max-length": 1, "x-overflow": "drop-head"},
            spare=True,
        ),
    )
