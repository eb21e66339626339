"""Consumes the lanes of one kind on RabbitMQ within one prefetch. On exit it gives back what is unsettled.

Consumers only hand deliveries over: a channel that closes cannot cancel the work on them. They share a channel;
whatever may close a channel for a reason of its own (asking for a queue, publishing) uses others.
"""

import asyncio
import itertools
import logging
import math
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

from adapters.background import running
from adapters.base import BrokerUnavailable, Kind, Topic
from adapters.prefetch import Prefetch
from adapters.rabbitmq.budget import Budget
from adapters.rabbitmq.client import Cancelled, taken_after
from adapters.rabbitmq.connection import Connection, close_channel
from adapters.rabbitmq.declare import Declarer
from adapters.rabbitmq.delivery import Delivery
from adapters.rabbitmq.hold import TIMEOUT_MS, Hold
from adapters.rabbitmq.inlet import Inlet
from adapters.rabbitmq.lane import Lane, plan
from adapters.rabbitmq.publisher import Publisher
from adapters.rabbitmq.topology import QueueNames
from adapters.rabbitmq.wire.content import Message
from adapters.topics import weighted_lanes

logger = logging.getLogger(__name__)

TICK_SECONDS = 0.25
LOOK_SECONDS = 0.7
"""A lane with a backlog is asked for it no sooner: that takes three calls."""
STOP_SECONDS = 5.0
PARKED_LIMIT = 500
"""Control events that wait here for their time without using up the prefetch."""
PARKED_BYTES = 16 * 1024
"""What may wait here: a command is small, and its size is not counted while it waits."""
PARKED_STEP = 10
_EARLY = 0.005


class Subscription:
    """See the port's `Subscription`. Use `subscription()`."""

    def __init__(
        self, connection: Connection, publisher: Publisher, names: QueueNames, kind: Kind, *, prefetch: int, hold: Hold
    ) -> None:
        self.publisher = publisher
        self.names = names
        self.hold = hold
        self._connection = connection
        self._declarer = Declarer(connection, names)
        self._lanes = {
            topic.key: Lane(topic=topic, queue=names.queue(topic), weight=weight)
            for topic, weight in weighted_lanes(kind, connection.options.lane_weights).items()
        }
        self._handing_out = Prefetch(self._lanes, size=prefetch)
        self._kind = kind
        self._prefetch = prefetch
        self._budget = Budget(connection.options.max_bytes)
        self._inlet: Inlet | None = None
        self._unsettled: dict[Delivery, None] = {}
        self._early: list[Delivery] = []
        self._timers: set[asyncio.TimerHandle] = set()
        self._tags: dict[str, Lane] = {}
        self._numbers = itertools.count(1)
        self._waiting_for_room = False
        self._paused = False
        self._closed = False
        self._wake = asyncio.Event()
        self._stopped = asyncio.Event()

    # The port

    def __aiter__(self) -> AsyncIterator[Delivery]:
        return self

    async def __anext__(self) -> Delivery:
        while (delivery := await self._handing_out.next()).settled:
            # Its channel was lost, or it was stored again, while it waited here.
            self._handing_out.release()
        delivery.handed_out = True
        return delivery

    def pause(self) -> None:
        """The pump cancels its consumers. The broker takes back what is in transit, and counts it as delivered."""
        self._paused = True
        self._wake.set()

    def resume(self) -> None:
        """The pump starts new consumers."""
        self._paused = False
        self._wake.set()

    def close(self) -> None:
        """The pump then gives back what was not handed out."""
        self._closed = True
        self._handing_out.close()
        self._wake.set()

    # For deliveries

    def forget(self, delivery: Delivery) -> None:
        """The broker has removed it, or has it back."""
        self._unsettled.pop(delivery, None)
        self._lanes[delivery.topic.key].settled(delivery.tag)
        if not delivery.handed_out:
            self._gone(delivery)
        if self._waiting_for_room:
            self._wake.set()

    def free(self, delivery: Delivery) -> None:
        """Its place is free."""
        if delivery.handed_out:
            self._handing_out.release()
            self._gone(delivery)

    def _gone(self, delivery: Delivery) -> None:
        self._budget.settled(delivery.topic.key, delivery.size)
        if self._budget.waits:
            self._wake.set()

    @property
    def unsettled(self) -> Mapping[Topic, int]:
        """How many deliveries of each topic this process has not settled."""
        return {lane.topic: lane.unsettled.total() for lane in self._lanes.values()}

    # The pump

    def wake(self) -> None:
        """Something changed: the pump acts on it now."""
        self._wake.set()

    async def pump(self) -> None:
        """Consume until closed, then give back what was not handed out."""
        try:
            while not self._closed:
                self._wake.clear()
                try:
                    await self._round()
                except BrokerUnavailable as error:
                    logger.debug("not consuming: %s", error)
                with suppress(TimeoutError):
                    async with asyncio.timeout(TICK_SECONDS):
                        await self._wake.wait()
            await self._stop()
        finally:
            self._stopped.set()

    async def _round(self) -> None:
        if not self._connection.connected:
            return
        inlet = self._inlet
        if inlet is None or inlet.channel.is_closed:
            inlet = await self._attach()
        now = asyncio.get_running_loop().time()
        self._return_what_fits(now)
        if self._paused:
            await self._end_consumers(inlet)
        else:
            await self._keep_consumers(inlet, now)
        await self._store_again(now)

    async def _keep_consumers(self, inlet: Inlet, now: float) -> None:
        for lane in self._lanes.values():
            if not lane.watch and lane.backoff.resume_at <= now:
                await self._try_to_begin(inlet, lane, now)
            elif lane.saturated and now - lane.busy_at >= LOOK_SECONDS and await self._declarer.ready(lane.queue):
                lane.busy_at = now
        await self._share(inlet, now)

    async def _attach(self) -> Inlet:
        inlet = self._inlet = await self._connection.open_inlet()
        inlet.channel.on_consumer_cancel_callbacks.add(self._on_cancelled)
        inlet.channel.closing.add_done_callback(lambda _: self._on_lost(inlet))
        return inlet

    async def _try_to_begin(self, inlet: Inlet, lane: Lane, now: float) -> None:
        """A queue that cannot be consumed holds up no other, unless it took the channel with it."""
        try:
            await self._begin(inlet, lane, now)
        except BrokerUnavailable as error:
            if not self._connection.connected:
                raise
            # An outage mostly is that of all lanes.
            level = logging.DEBUG if self._failing else logging.WARNING
            logger.log(level, "queue %s cannot be consumed: %s; trying until it is back", lane.queue, error)
            lane.failed(asyncio.get_running_loop().time())
            if inlet.ended:
                raise

    async def _begin(self, inlet: Inlet, lane: Lane, now: float) -> None:
        ready = await self._declarer.ready(lane.queue)
        if ready is None:
            raise BrokerUnavailable("it is missing, or down")
        if ready:
            lane.busy_at = now
        lane.watch = await self._consume(inlet, lane, 1)
        if lane.backoff.recovered() and not self._failing:
            logger.info("all queues of %s are consumed again", self._kind.value)

    @property
    def _failing(self) -> bool:
        return any(lane.backoff.failing for lane in self._lanes.values())

    async def _share(self, inlet: Inlet, now: float) -> None:
        # In steps, since each new size cancels a consumer and starts another.
        parked = min(-(-len(self._timers) // PARKED_STEP) * PARKED_STEP, PARKED_LIMIT)
        prefetch = min(self._prefetch, self._budget.messages) + parked
        planned = plan(tuple(self._lanes.values()), prefetch=prefetch, now=now)
        for lane in planned.end:
            tag, lane.bulk, lane.size = lane.bulk, "", 0
            await self._cancel(inlet, tag)
        for lane, size in planned.begin:
            lane.bulk = await self._consume(inlet, lane, size)
            lane.size = size if lane.bulk else 0
        self._waiting_for_room = bool(planned.end)
        if planned.end:
            self._wake.set()

    async def _consume(self, inlet: Inlet, lane: Lane, prefetch: int) -> str:
        tag = f"{lane.queue}-{next(self._numbers)}"
        self._tags[tag] = lane

        def on_message(message: Message) -> None:
            try:
                self._on_message(inlet, lane, message)
            except Exception:
                logger.exception("a message of %s cannot be read", lane.queue)

        async with self._connection.answered(f"consuming {lane.queue}"):
            await inlet.consume(
                lane.queue, on_message, tag=tag, prefetch=prefetch, arguments={"x-consumer-timeout": TIMEOUT_MS}
            )
        # The server may have cancelled it right after its reply.
        return tag if tag in self._tags else ""

    async def _cancel(self, inlet: Inlet, tag: str) -> None:
        self._tags.pop(tag, None)
        async with self._connection.answered("ending a consumer"):
            await inlet.cancel(tag)

    async def _end_consumers(self, inlet: Inlet) -> None:
        for tag in tuple(self._tags):
            await self._cancel(inlet, tag)
        for lane in self._lanes.values():
            lane.lost()

    async def _store_again(self, now: float) -> None:
        """Store again what came too early, and what is unsettled for so long that the broker would take it away."""
        # From the oldest on.
        old = itertools.takewhile(lambda delivery: now - delivery.since >= self.hold.shortest, tuple(self._unsettled))
        overdue = [delivery for delivery in old if now - delivery.since >= self.hold.of(delivery.attempt)]
        # More may come while these are stored.
        early, self._early = self._early, []
        stored = await asyncio.gather(*(each.store_again() for each in (*early, *overdue)), return_exceptions=True)
        failed = [error for error in stored if error is not None]
        if failed:
            self._early += [each for each in early if not each.settled]
            raise failed[0]

    def _return_what_fits(self, now: float) -> None:
        """Give back what was put aside for want of room, as far as there is room now: it comes again, with its body."""
        for aside in self._budget.returning(now):
            self._lanes[aside.lane].settled(aside.consumer)
            aside.inlet.nack(aside.tag)

    # What comes

    def _on_message(self, inlet: Inlet, lane: Lane, message: Message) -> None:
        if inlet is not self._inlet:
            return
        delivery = Delivery(self, lane.topic, inlet=inlet, message=message)
        lane.unsettled[delivery.tag] += 1
        if not self._budget.admits(lane.topic.key, delivery.size, now=delivery.since):
            self.hold.returned(delivery.message_id)
            self._budget.put_aside(delivery.aside())
            return
        self._unsettled[delivery] = None
        rest = delivery.rest
        if rest <= 0:
            self._offer(lane, delivery)
        elif self._kind is Kind.REQUESTS:
            self._early.append(delivery)
            self._wake.set()
        elif len(self._timers) < PARKED_LIMIT and len(delivery.body) <= PARKED_BYTES:
            self._park(lane, delivery, rest)
        else:
            # Anybody can have commands wait. Beyond what has room here, they only come early.
            self._offer(lane, delivery)

    def _offer(self, lane: Lane, delivery: Delivery) -> None:
        lane.buffer.append(delivery)
        self._handing_out.added()

    def _park(self, lane: Lane, delivery: Delivery, rest: float) -> None:
        def due() -> None:
            self._timers.discard(timer)
            if not delivery.settled:
                self._offer(lane, delivery)

        timer = asyncio.get_running_loop().call_later(rest + _EARLY, due)
        self._timers.add(timer)

    def _on_cancelled(self, frame: Cancelled) -> None:
        # The queue was deleted, or lost its leader.
        lane = self._tags.pop(str(frame.consumer_tag), None)
        if lane is not None:
            lane.lost()
            self._wake.set()

    def _on_lost(self, inlet: Inlet) -> None:
        if inlet is not self._inlet:
            return
        self._inlet = None
        if (timeout := taken_after(inlet.channel)) is not None and self._unsettled:
            oldest = asyncio.get_running_loop().time() - next(iter(self._unsettled)).since
            taken = [delivery.message_id for delivery in self._unsettled]
            self.hold.took_back(taken, timeout=timeout or None, oldest=oldest)
        self._tags.clear()
        self._early.clear()
        self._budget.lost()
        for lane in self._lanes.values():
            lane.lost()
            lane.buffer.clear()
        for delivery in tuple(self._unsettled):
            delivery.lose()
        self._wake.set()

    # The end

    async def _stop(self) -> None:
        if self._inlet is not None:
            with suppress(BrokerUnavailable):
                await self._end_consumers(self._inlet)
        for lane in self._lanes.values():
            lane.lost()
            lane.buffer.clear()
        for timer in self._timers:
            timer.cancel()
        self._return_what_fits(math.inf)
        for delivery in tuple(self._unsettled):
            if not delivery.handed_out:
                delivery.give_back()

    async def leave(self) -> None:
        """Close, and wait for the pump: the block that could settle deliveries is over."""
        self.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await self._stopped.wait()

    async def give_back(self) -> None:
        """Give back what is unsettled, then close the channel. The connection survives that in this order only."""
        for delivery in tuple(self._unsettled):
            delivery.give_back()
        inlet, self._inlet = self._inlet, None
        if inlet is not None:
            await close_channel(inlet)


@asynccontextmanager
async def subscription(
    connection: Connection, publisher: Publisher, names: QueueNames, kind: Kind, *, prefetch: int, hold: Hold
) -> AsyncIterator[Subscription]:
    """Consumes from now on. On exit everything unsettled goes back at once."""
    consumer = Subscription(connection, publisher, names, kind, prefetch=prefetch, hold=hold)
    try:
        async with connection.reconnects.listening(consumer.wake), running(consumer.pump()):
            try:
                yield consumer
            finally:
                await consumer.leave()
    finally:
        await consumer.give_back()
