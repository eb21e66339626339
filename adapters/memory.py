"""The broker port within this process, with the promises of real brokers: for tests and for trying things out.

Its messages end with it, and no other process can reach it.
"""

import asyncio
import bisect
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from cloudevents.core.v1.event import CloudEvent

from adapters import headers as stamps
from adapters.base import (
    BrokerUnavailable,
    Cursor,
    DeadLetter,
    Depth,
    Kind,
    Mishaps,
    Record,
    Replicas,
    Subscription,
    Topic,
    TopicRefused,
)
from adapters.lanes import LANES, WEIGHTS, Turns
from adapters.topics import origin, refusal, require_consumed, require_history, selects
from events.cloudevent.binding import from_nats, to_nats

SCHEME = "memory"
DEDUP_SECONDS = 600.0


@dataclass(slots=True, kw_only=True)
class _Message:
    topic: Topic
    sequence: int
    headers: Mapping[str, str]
    body: bytes
    delivered: int = 0


@dataclass(slots=True)
class _Queue:
    """A lane, or control. Delivered messages are only counted, in `unsettled`; delayed ones in `delayed`."""

    ready: deque[_Message] = field(default_factory=deque)
    unsettled: int = 0
    delayed: int = 0

    def hand_back(self, messages: Iterable[_Message]) -> None:
        returned = list(messages)
        self.unsettled -= len(returned)
        self.ready = deque(sorted([*returned, *self.ready], key=lambda message: message.sequence))


class _Delivery:
    def __init__(self, message: _Message, subscription: "_Subscription") -> None:
        self._message = message
        self._subscription = subscription
        used = stamps.attempts_before(message.headers)
        self.attempt = used + message.delivered
        self.message_id = f"{message.topic.kind}/{message.sequence}"

    @property
    def replays(self) -> int:
        return stamps.replays(self._message.headers)

    @property
    def waited(self) -> float:
        return stamps.waited(self._message.headers, time.time())

    @property
    def topic(self) -> Topic:
        return self._message.topic

    @property
    def body(self) -> bytes:
        return self._message.body

    def event(self, *, most: int | None = None) -> CloudEvent:
        return from_nats(self._message.headers, self._message.body, most=most)

    async def ack(self) -> None:
        self._subscription.settle(self._message)

    async def retry(self, delay: float) -> None:
        self._again(delay, attempts=self.attempt)

    async def defer(self, delay: float) -> None:
        self._again(delay, attempts=self.attempt - 1)

    def _again(self, delay: float, *, attempts: int) -> None:
        if self._subscription.settle(self._message):
            copy = stamps.again(self._message.headers, attempts=attempts, until=None, now=time.time())
            self._subscription.broker.put_later(delay, self._message.topic, copy, self._message.body)

    async def reject(self, code: str, reason: str) -> None:
        if self._subscription.settle(self._message):
            dead = stamps.dead(
                self._message.headers, code=code, reason=reason, origin=self.message_id, attempts=self.attempt
            )
            origin = Topic(Kind.DEAD, str(self._message.topic))
            self._subscription.broker.put(origin, dead, self._message.body)


class _DeadLetter:
    def __init__(self, record: Record, broker: "MemoryBroker") -> None:
        self.record = record
        self._broker = broker

    async def replay(self) -> None:
        if self._broker.has(self.record):
            self._broker.put(origin(self.record.topic), stamps.replayed(self.record.headers), self.record.body)
            await self.drop()

    async def drop(self) -> None:
        self._broker.remove(self.record)


class _Subscription:
    """Competes with the other subscriptions of its kind for what `MemoryBroker` has ready."""

    def __init__(self, broker: "MemoryBroker", kind: Kind, prefetch: int) -> None:
        self.broker = broker
        self._kind = kind
        self._prefetch = prefetch
        self._unsettled: dict[int, _Message] = {}
        self._paused = False
        self._closed = False

    def __aiter__(self) -> AsyncIterator[_Delivery]:
        return self

    async def __anext__(self) -> _Delivery:
        while not self._closed:
            pulse = self.broker.pulse
            room = len(self._unsettled) < self._prefetch and not self._paused
            if room and (message := self.broker.deliver(self._kind)):
                self._unsettled[message.sequence] = message
                return _Delivery(message, self)
            await pulse.wait()
        raise StopAsyncIteration

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False
        self.broker.beat()

    def close(self) -> None:
        self._closed = True
        self.broker.beat()

    def settle(self, message: _Message) -> bool:
        """Whether this settles it: False once it is settled, or went back."""
        if self._unsettled.pop(message.sequence, None) is None:
            return False
        self.broker.settled(message)
        return True

    def hand_back(self) -> None:
        self._closed = True
        self.broker.hand_back(self._unsettled.values())
        self._unsettled.clear()


class MemoryBroker:
    """One installation's topics. `reply_topics` are the REPLY topics that exist; events on others are refused."""

    name = "memory"

    def __init__(self, *, max_payload: int = 1 << 20, reply_topics: Collection[str] = ()) -> None:
        self.connected = True
        self.pulse = asyncio.Event()
        self.max_payload = max_payload
        self._queues = {Topic(Kind.REQUESTS, lane): _Queue() for lane in LANES} | {Topic(Kind.CONTROL): _Queue()}
        self._logs: dict[Kind, list[Record]] = {Kind.LIFECYCLE: [], Kind.DEAD: [], Kind.REPLY: []}
        self._reply_topics = frozenset(reply_topics)
        self._sequences = dict.fromkeys(Kind, 0)
        self._streams = {kind: uuid.uuid4().hex for kind in self._logs}
        self._seen: dict[tuple[Kind, str], float] = {}
        self._turns = Turns(WEIGHTS)
        self._timers: set[asyncio.TimerHandle] = set()

    # Publisher

    async def publish(self, topic: Topic, event: CloudEvent, *, message_id: str | None = None) -> None:
        """See the port. A request may be as large as `max_payload` less the reserve."""
        if not self.connected:
            raise BrokerUnavailable("the broker was closed")
        if reason := refusal(topic):
            raise TopicRefused(topic, reason)
        if topic.kind is Kind.REPLY and topic.key not in self._reply_topics:
            raise TopicRefused(topic, "no such topic")
        headers, body = to_nats(event)
        reserve = stamps.RESERVE if topic.kind in (Kind.REQUESTS, Kind.CONTROL) else 0
        if stamps.size(headers) + len(body) > self.max_payload - reserve:
            raise TopicRefused(topic, f"{len(body)} bytes", too_large=True)
        if not self._repeated(topic.kind, message_id or stamps.message_id(topic.kind, event)):
            self.put(topic, headers, body)

    def put(self, topic: Topic, headers: Mapping[str, str], body: bytes) -> None:
        """Store bytes that need not be an event, as a foreign client could."""
        self._sequences[topic.kind] += 1
        message = _Message(topic=topic, sequence=self._sequences[topic.kind], headers=dict(headers), body=body)
        if queue := self._queues.get(topic):
            queue.ready.append(message)
        else:
            self._logs[topic.kind].append(
                Record(
                    topic=topic,
                    sequence=message.sequence,
                    stream=self._streams[topic.kind],
                    time=datetime.now(UTC),
                    headers=message.headers,
                    body=body,
                    decode=partial(from_nats, message.headers, body),
                )
            )
        self.beat()

    def put_later(self, delay: float, topic: Topic, headers: Mapping[str, str], body: bytes) -> None:
        """Store it after `delay` seconds. Until then it counts as unsettled."""
        if delay <= 0:
            self.put(topic, headers, body)
            return

        def due() -> None:
            self._timers.discard(timer)
            self._queues[topic].delayed -= 1
            self.put(topic, headers, body)

        self._queues[topic].delayed += 1
        timer = asyncio.get_running_loop().call_later(delay, due)
        self._timers.add(timer)

    def wipe(self, kind: Kind) -> None:
        """Delete a log and make it anew, as an operator of a broker could."""
        self._logs[kind] = []
        self._sequences[kind] = 0
        self._streams[kind] = uuid.uuid4().hex
        self.beat()

    def replies(self, topic: str) -> list[Record]:
        """What was published on a REPLY topic."""
        return [record for record in self._logs[Kind.REPLY] if record.topic.key == topic]

    def _repeated(self, kind: Kind, message_id: str) -> bool:
        now = time.monotonic()
        key = (kind, message_id)
        if self._seen.get(key, -DEDUP_SECONDS) > now - DEDUP_SECONDS:
            return True
        self._seen.pop(key, None)
        self._seen[key] = now
        while (oldest := next(iter(self._seen))) and self._seen[oldest] <= now - DEDUP_SECONDS:
            del self._seen[oldest]
        return False

    # Subscriptions

    @asynccontextmanager
    async def subscribe(self, kind: Kind, *, prefetch: int) -> AsyncIterator[Subscription]:
        """See the port. On exit everything unsettled goes back at once."""
        require_consumed(kind)
        subscription = _Subscription(self, kind, prefetch)
        try:
            yield subscription
        finally:
            subscription.hand_back()

    def deliver(self, kind: Kind) -> _Message | None:
        """The next message of this kind, if one is ready."""
        lanes = [topic.key for topic, queue in self._queues.items() if topic.kind is kind and queue.ready]
        if not lanes:
            return None
        queue = self._queues[Topic(kind, self._turns.next(lanes))]
        message = queue.ready.popleft()
        message.delivered += 1
        queue.unsettled += 1
        return message

    def settled(self, message: _Message) -> None:
        """The message is done: a subscription may have room again."""
        self._queues[message.topic].unsettled -= 1
        self.beat()

    def hand_back(self, messages: Iterable[_Message]) -> None:
        """Make them ready again, in their old order."""
        returned = list(messages)
        for topic, queue in self._queues.items():
            queue.hand_back([message for message in returned if message.topic == topic])
        self.beat()

    def beat(self) -> None:
        """Wake all who wait for a change."""
        self.pulse.set()
        self.pulse = asyncio.Event()

    # Log

    @asynccontextmanager
    async def history(
        self,
        kind: Kind,
        *,
        key: str | None = None,
        follow: bool = False,
        new_only: bool = False,
        after: Cursor | None = None,
    ) -> AsyncIterator[AsyncIterator[Record]]:
        """See the port."""
        require_history(kind, new_only=new_only, after=after)
        newest = self._sequences[kind]
        last = newest if new_only else self._place(kind, after)
        yield self._read(kind, key=key, last=last, stop=None if follow else newest)

    def _place(self, kind: Kind, after: Cursor | None) -> int:
        """The sequence after which to go on: 0 where nothing is known of that record."""
        log = self._logs[kind]
        index = 0 if after is None else bisect.bisect_left(log, after.sequence, key=lambda record: record.sequence)
        return log[index].sequence if index < len(log) and log[index].cursor == after else 0

    async def _read(self, kind: Kind, *, key: str | None, last: int, stop: int | None) -> AsyncIterator[Record]:
        wanted = selects(key)
        stream = self._streams[kind]
        while True:
            pulse, log = self.pulse, self._logs[kind]
            if stream != self._streams[kind]:
                if stop is not None:
                    return
                stream, last = self._streams[kind], 0
            # By sequence: when dead letters are removed, the indexes of others change.
            position = bisect.bisect_right(log, last, key=lambda record: record.sequence)
            if position < len(log) and (stop is None or log[position].sequence <= stop):
                record = log[position]
                last = record.sequence
                if wanted(record.topic.key):
                    yield record
            elif stop is not None:
                return
            else:
                await pulse.wait()

    @asynccontextmanager
    async def dead_letters(self) -> AsyncIterator[AsyncIterator[DeadLetter]]:
        """See the port."""
        async with self.history(Kind.DEAD) as records:
            yield self._letters(records)

    async def _letters(self, records: AsyncIterator[Record]) -> AsyncIterator[DeadLetter]:
        async for record in records:
            yield _DeadLetter(record, self)

    def has(self, letter: Record) -> bool:
        """Whether it is still among the dead letters."""
        return letter in self._logs[Kind.DEAD]

    def remove(self, letter: Record) -> None:
        """Remove it from the dead letters."""
        self._logs[Kind.DEAD] = [record for record in self._logs[Kind.DEAD] if record is not letter]

    # Topology

    async def declare(self) -> None:
        """Nothing is ever missing."""

    async def check(self) -> None:
        """Nothing ever differs."""
        if not self.connected:
            raise BrokerUnavailable("the broker was closed")

    async def depth(self) -> Mapping[Topic, Depth]:
        """See the port."""
        depths = {
            topic: Depth(ready=len(queue.ready), unsettled=queue.unsettled + queue.delayed)
            for topic, queue in self._queues.items()
        }
        return depths | {Topic(Kind.DEAD): Depth(ready=len(self._logs[Kind.DEAD]), unsettled=0)}

    async def fill(self) -> Mapping[Kind, float]:
        """Nothing has a bound."""
        return {}

    async def probe(self) -> None:
        """See the port."""
        await self.check()

    async def replicas(self) -> Sequence[Replicas]:
        """There is one copy of everything, in this process."""
        return ()

    @property
    def mishaps(self) -> Mishaps:
        """Never any."""
        return Mishaps()

    def shut(self) -> None:
        """Take no more events, and bring back no delayed messages."""
        self.connected = False
        for timer in self._timers:
            timer.cancel()


@asynccontextmanager
async def connect(*, max_payload: int = 1 << 20, reply_topics: Collection[str] = ()) -> AsyncIterator[MemoryBroker]:
    """An empty broker, gone after the block."""
    broker = MemoryBroker(max_payload=max_payload, reply_topics=reply_topics)
    try:
        yield broker
    finally:
        broker.shut()
