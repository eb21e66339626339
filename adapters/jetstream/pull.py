"""Our own pull loop on NATS JetStream: several lanes within one prefetch, extension, drain. It publishes nothing.

nats-py's `fetch` stalls (issue 986), waits out its timeout after a reconnect and takes a deleted consumer for an empty
consumer. Here each lane has either a *watch*, a long pull request for one message, with heartbeats, or *grabs*, pull
requests for messages that are known to wait. So a message on an idle lane arrives at once, and grabs are answered at
once. What is requested and what waits here counts towards the prefetch, except that each lane beyond the first may add
one message. It counts towards the budget of bytes, too, each requested message as the largest that the server takes:
nothing that comes can exceed it.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial

from adapters import headers as stamps
from adapters.background import running
from adapters.base import BrokerUnavailable, Kind
from adapters.jetstream.client import Interest
from adapters.jetstream.connection import Connection
from adapters.jetstream.delivery import Delivery, Receipt, nak
from adapters.jetstream.errors import LEADERLESS
from adapters.jetstream.lane import Lane, plan, room, wanting
from adapters.jetstream.letters import Letters
from adapters.jetstream.message import Message
from adapters.jetstream.options import JetStreamOptions
from adapters.jetstream.topology import NANOSECONDS, StreamNames
from adapters.prefetch import Prefetch
from adapters.topics import weighted_lanes

logger = logging.getLogger(__name__)

EXPIRES_SECONDS = 30
HEARTBEAT_SECONDS = 2
SILENT_SECONDS = 2.5 * HEARTBEAT_SECONDS
UNANSWERED_SECONDS = 1.5 * HEARTBEAT_SECONDS
"""A first request may go to a node that led the consumer and is dead, while its cluster has not noticed."""
TICK_SECONDS = 0.25
BLIND_SECONDS = 2.1
"""So long after a pull request, a server with leaf nodes delivers to it without asking whether anybody listens."""
_WATCH = b'{"batch":1,"expires":%d,"idle_heartbeat":%d}' % (
    EXPIRES_SECONDS * NANOSECONDS,
    HEARTBEAT_SECONDS * NANOSECONDS,
)
_GRAB = b'{"batch":%d,"no_wait":true}'


class PullSubscription:
    """See the port's `Subscription`. Use `subscription()`."""

    def __init__(
        self,
        connection: Connection,
        letters: Letters,
        names: StreamNames,
        kind: Kind,
        *,
        prefetch: int,
        options: JetStreamOptions,
    ) -> None:
        self.connection = connection
        self.letters = letters
        self._next = connection.api_subject(f"CONSUMER.MSG.NEXT.{names.stream(kind)}")
        self._lanes = {
            topic.key: Lane(topic=topic, consumer=names.consumer(topic), weight=weight)
            for topic, weight in weighted_lanes(kind, options.lane_weights).items()
        }
        self._handing_out = Prefetch(self._lanes, size=prefetch)
        # While one lane uses the whole prefetch, each other lane can still bring a message.
        self._capacity = prefetch + len(self._lanes) - 1
        self._max_bytes = options.max_bytes
        self._ack_wait = options.ack_wait
        self._linger = BLIND_SECONDS if options.remote else 0.0
        self._pulled = 0.0
        self._unsettled: set[Delivery] = set()
        self._interests: dict[str, Interest] = {}
        self._inboxes: dict[str, str] = {}
        self._attach = True
        self._paused = False
        self._closed = False
        self._wake = asyncio.Event()

    # The port

    def __aiter__(self) -> AsyncIterator[Delivery]:
        return self

    async def __anext__(self) -> Delivery:
        delivery = await self._handing_out.next()
        self._consider()
        return delivery

    def pause(self) -> None:
        """Request no more. What was requested still comes: taken back, it could be lost in transit."""
        self._paused = True

    def resume(self) -> None:
        """Go on requesting."""
        self._paused = False
        self._wake.set()

    def close(self) -> None:
        """The pump then gives back what was not handed out."""
        self._closed = True
        self._handing_out.close()
        self._wake.set()

    # For deliveries

    def forget(self, delivery: Delivery) -> None:
        """It was settled: its place is free."""
        self._unsettled.discard(delivery)
        lane = self._lanes[delivery.topic.key]
        lane.unsettled -= 1
        lane.held -= delivery.size
        self._handing_out.release()
        self._consider()

    # The pump

    def _consider(self) -> None:
        if wanting(self._lanes.values(), capacity=self._capacity):
            self._wake.set()

    def reattach(self) -> None:
        """After a reconnect: forget what was requested, and request it again."""
        self._attach = True
        self._wake.set()

    async def pump(self) -> None:
        """Request messages until closed, then give back what was not handed out."""
        while not self._closed:
            self._wake.clear()
            if not self._paused and self.connection.connected:
                await self._round()
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK_SECONDS):
                    await self._wake.wait()
        await self.stop()

    async def _round(self) -> None:
        now = asyncio.get_running_loop().time()
        attach, self._attach = self._attach, False
        try:
            for lane in self._lanes.values():
                limit = SILENT_SECONDS if lane.answered else UNANSWERED_SECONDS
                silent = lane.requested and now - lane.seen > limit
                if silent:
                    self.connection.doubt(since=lane.seen)
                if attach or silent:
                    await self._interest(lane, now)
            lanes = tuple(self._lanes.values())
            fits = room(lanes, max_bytes=self._max_bytes, largest=self.connection.max_payload)
            for lane, batch in plan(lanes, capacity=self._capacity, now=now, room=fits):
                self._pull(lane, batch, now)
        except BrokerUnavailable as error:
            logger.debug("not pulling: %s", error)
            self._attach = True

    async def _interest(self, lane: Lane, now: float) -> None:
        # A new inbox each time: earlier requests that the broker may still have must not bring more than there is room
        # for.
        key = lane.topic.key
        await self.connection.unsubscribe(self._interests.pop(key, None))
        lane.forget_requests()
        lane.seen, lane.answered = now, False
        inbox = self._inboxes[key] = self.connection.new_inbox()
        self._interests[key] = await self.connection.interest(inbox, partial(self._on_message, lane))

    def _pull(self, lane: Lane, batch: int, now: float) -> None:
        if not lane.requested:
            lane.seen = now
        request = lane.request(batch)
        self._pulled = now
        sent = self.connection.send(
            f"{self._next}.{lane.consumer}",
            _GRAB % batch if batch else _WATCH,
            reply=f"{self._inboxes[lane.topic.key]}.{request}",
            keep=False,
        )
        if not sent:
            raise self.connection.missing

    # What comes

    def _on_message(self, lane: Lane, message: Message) -> None:
        lane.seen, lane.answered = asyncio.get_running_loop().time(), True
        if not message.reply:
            # Only the broker's own status messages have no reply subject; publishers can forge the rest.
            self._on_status(lane, message)
            return
        receipt = Receipt(message.reply)
        if lane.backoff.failing:
            self._recovered(lane)
        lane.arrived(receipt.pending, again=receipt.delivered > 1, capacity=self._capacity)
        rest = _rest(message.headers) if message.headers and stamps.NOT_BEFORE in message.headers else 0.0
        if self._closed or rest > 0:
            self.connection.send(message.reply, nak(rest))
            self._wake.set()
            return
        delivery = Delivery(self, lane.topic, message, receipt)
        lane.unsettled += 1
        lane.held += delivery.size
        lane.buffer.append(delivery)
        self._unsettled.add(delivery)
        if lane.idle:
            self._wake.set()
        self._handing_out.added()

    def _on_status(self, lane: Lane, message: Message) -> None:
        headers = message.headers or {}
        status = headers.get("Status", "")
        if status != "100":
            lane.ended(message.subject.rpartition(".")[2])
            self._wake.set()
        if status in ("100", "404", "408"):
            if status == "404":
                lane.backlog = 0
            self._recovered(lane)
            return
        reason = self._no_consumer() if status == "503" else headers.get("Description", "").strip()
        # One warning for all lanes: they fail together.
        level = logging.DEBUG if self._failing else logging.WARNING
        logger.log(level, "consumer %s: %s %s; trying until it is back", lane.consumer, status, reason)
        lane.failed(lane.seen)
        lane.answered = False

    def _recovered(self, lane: Lane) -> None:
        if lane.backoff.recovered() and not self._failing:
            logger.info("consumer %s: back", lane.consumer)

    @property
    def _failing(self) -> bool:
        return any(lane.backoff.failing for lane in self._lanes.values())

    def _no_consumer(self) -> str:
        if self.connection.clustered:
            return f"it has {LEADERLESS}, or is missing"
        return "no such stream or consumer"

    # Extension and the end

    async def extend(self) -> None:
        """Keep the broker from redelivering to others what this process has not settled."""
        while True:
            await asyncio.sleep(self._ack_wait / 3)
            for delivery in tuple(self._unsettled):
                await delivery.extend()

    async def stop(self) -> None:
        """End all requests and give back what was not handed out."""
        self._closed = True
        self._handing_out.close()
        await self._until_the_broker_looks()
        # What the broker sent before it read this still arrives, and is given back on arrival.
        while self._interests:
            _, interest = self._interests.popitem()
            await self.connection.unsubscribe(interest, wait=True)
        for delivery in self._handing_out.rest():
            await delivery.give_back()

    async def _until_the_broker_looks(self) -> None:
        """Go on listening while the broker would deliver to nobody what then comes again only after `ack_wait`."""
        end = self._pulled + self._linger
        loop = asyncio.get_running_loop()
        while self._interests and self.connection.connected and any(lane.requested for lane in self._lanes.values()):
            if (rest := end - loop.time()) <= 0:
                return
            self._wake.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(rest):
                    await self._wake.wait()

    async def give_back(self) -> None:
        """Give back everything unsettled: the block that could settle it is over."""
        for delivery in tuple(self._unsettled):
            await delivery.give_back()
        await self.connection.flush()


@asynccontextmanager
async def subscription(
    connection: Connection,
    letters: Letters,
    names: StreamNames,
    kind: Kind,
    *,
    prefetch: int,
    options: JetStreamOptions,
) -> AsyncIterator[PullSubscription]:
    """Pulls while it is iterated. On exit everything unsettled goes back at once."""
    pull = PullSubscription(connection, letters, names, kind, prefetch=prefetch, options=options)
    try:
        async with connection.reconnects.listening(pull.reattach), running(pull.extend()):
            try:
                async with running(pull.pump()):
                    yield pull
            finally:
                await pull.stop()
    finally:
        await pull.give_back()


def _rest(headers: Mapping[str, str]) -> float:
    """Seconds until the message may be handed out."""
    rest = stamps.rest(headers, now=time.time())
    # A little more, so that rounding does not make it early: it would have to wait again.
    return rest + 0.005 if rest else 0.0
