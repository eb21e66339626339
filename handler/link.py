"""A configured broker, for the life of the process: connects to it, keeps its topology, takes its requests in.

Does not follow Jobs: the controller uses the broker of a link for as long as that is connected.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext

from adapters.base import Broker, BrokerUnavailable, Kind, Subscription, TopologyDrift
from handler.effects.repeating import until_answered
from handler.intake.intake import Intake
from handler.intake.pressure import Pressure
from handler.settings.settings import Settings
from handler.telemetry.metrics import Metrics
from handler.telemetry.state import State
from k8s.background import beside

logger = logging.getLogger(__name__)

MEASURE_SECONDS = 5.0
"""Seconds between looks at the queue lengths and the topology."""
RETRY_SECONDS = 1.0

Connect = Callable[[], AbstractAsyncContextManager[Broker]]
MakeIntake = Callable[[Broker], Intake]


class Link:
    """`connected` is set once the broker has answered, and `State` has it. `declared` is set once it has our topology,
    or something else under its names; `drained` after intake.

    `intake` is None in a role that takes no requests in. `owns`: this role declares the topology; without it, the link
    only checks it. `pressure` says when to take no more requests in for a while; with None nothing does.
    """

    def __init__(
        self,
        name: str,
        connect: Connect,
        *,
        intake: MakeIntake | None = None,
        owns: bool = False,
        pressure: Pressure | None = None,
        settings: Settings,
        state: State,
    ) -> None:
        self.name = name
        self.connected = asyncio.Event()
        self.declared = asyncio.Event()
        self.drained = asyncio.Event()
        self._connect = connect
        self._intake = intake
        self._owns = owns
        self._pressure = pressure
        self._settings = settings
        self._state = state
        self._metrics: Metrics = state.metrics
        self._warned = False
        if intake is not None:
            self._metrics.expect(name)
        state.broker_problems[name] = "not connected yet"

    async def run(self, *, stop: asyncio.Event, over: asyncio.Event) -> None:
        """Take requests in until `stop`, drain, and hold the connection until `over`."""
        async with AsyncExitStack() as stack:
            broker = await self._connected(stack, stop)
            if broker is not None:
                self._state.brokers[self.name] = broker
                self.connected.set()
                async with beside(self._keep_topology(broker)):
                    # Subscribing to a queue that does not exist yet would fail, and begin only after a backoff.
                    await _wait_for_any(self.declared, stop)
                    if self._intake is not None and not stop.is_set():
                        await self._take_in(broker, self._intake(broker), stop)
                    await stop.wait()
            self.drained.set()
            await over.wait()

    async def _connected(self, stack: AsyncExitStack, stop: asyncio.Event) -> Broker | None:
        """The broker as soon as it answers; None if `stop` is set before."""

        async def give_up() -> None:
            await stop.wait()
            limit.reschedule(asyncio.get_running_loop().time())

        def complain(error: Exception) -> None:
            logger.warning("no connection to %s, trying again: %s", self.name, error)

        try:
            async with asyncio.timeout(None) as limit, beside(give_up()):
                return await until_answered(lambda: stack.enter_async_context(self._connect()), complain=complain)
        except TimeoutError:
            return None

    async def _take_in(self, broker: Broker, intake: Intake, stop: asyncio.Event) -> None:
        # One more than there are calls at a time: it is fetched, read and rendered while they are under way.
        prefetch = self._settings.concurrency + 1
        async with broker.subscribe(Kind.REQUESTS, prefetch=prefetch) as subscription:
            try:
                async with (
                    asyncio.timeout(None) as deadline,
                    self._relieved(subscription),
                    asyncio.TaskGroup() as group,
                ):
                    running = group.create_task(intake.run(subscription))
                    stopping = group.create_task(stop.wait())
                    await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
                    subscription.close()
                    deadline.reschedule(asyncio.get_running_loop().time() + self._settings.drain_seconds)
                    stopping.cancel()
            except TimeoutError:
                logger.warning("drain time is over; %s redelivers what was in flight", self.name)

    def _relieved(self, subscription: Subscription) -> AbstractAsyncContextManager[None]:
        return nullcontext() if self._pressure is None else beside(_relieve(subscription, self._pressure))

    async def _keep_topology(self, broker: Broker) -> None:
        """Declare what is missing, now and whenever it is deleted later; measure the queue lengths."""
        while True:
            problem = await self._look(broker)
            if problem is None:
                self.declared.set()
            if self.declared.is_set():
                unmeasured = await self._measure(broker)
                problem = problem or unmeasured
            self._report(problem)
            await asyncio.sleep(MEASURE_SECONDS if self.declared.is_set() else RETRY_SECONDS)

    async def _look(self, broker: Broker) -> str | None:
        """What is not as it should be."""
        try:
            await (broker.declare() if self._owns else broker.check())
        except TopologyDrift as error:
            self.declared.set()
            return f"topology differs, left as it is: {error}"
        except BrokerUnavailable as error:
            return str(error)
        return None

    async def _measure(self, broker: Broker) -> str | None:
        """Why it cannot be had: how full the stores are and, if the topology is ours, the queue lengths."""
        try:
            depths = await broker.depth() if self._owns else {}
            fill = await broker.fill()
        except BrokerUnavailable as error:
            return str(error)
        for topic, depth in depths.items():
            self._metrics.queue_length.labels(self.name, str(topic)).set(depth.ready)
            self._metrics.queue_unsettled.labels(self.name, str(topic)).set(depth.unsettled)
        for kind, full in fill.items():
            self._metrics.store_filled.labels(self.name, str(kind)).set(full)
        return None

    def _report(self, problem: str | None) -> None:
        before = self._state.broker_problems.get(self.name)
        if problem is None:
            self._state.broker_problems.pop(self.name, None)
            if self._warned:
                logger.info("broker %s: as it should be again", self.name)
        elif problem != before:
            self._state.broker_problems[self.name] = problem
            logger.warning("broker %s: %s", self.name, problem)
        self._warned = problem is not None


async def _relieve(subscription: Subscription, pressure: Pressure) -> None:
    """Take no more requests while too many Jobs wait for room: they wait in the broker."""
    while True:
        await pressure.full.wait()
        subscription.pause()
        await pressure.room.wait()
        subscription.resume()


async def _wait_for_any(*events: asyncio.Event) -> None:
    """Wait until any of these events is set."""
    async with asyncio.TaskGroup() as group:
        waits = [group.create_task(event.wait()) for event in events]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
