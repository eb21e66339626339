"""A configured broker, for the life of the process: connects to it, keeps its topology, takes its requests in.

Does not follow Jobs: the controller uses the broker of a link for as long as that is connected.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext

from adapters.base import Broker, Kind, Subscription
from handler.effects.repeating import until_answered
from handler.intake.intake import Intake
from handler.intake.pressure import Pressure
from handler.links.looks import Looks
from handler.settings.settings import Settings
from handler.telemetry.metrics import Metrics
from handler.telemetry.state import State
from k8s.background import beside

logger = logging.getLogger(__name__)

TELL_SECONDS = 1.0
"""Seconds between looks whether there is something to tell of an outage."""
NEVER = "never connected so far"

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
        self._looks: Looks | None = None
        self._unreached: str | None = None
        if intake is not None:
            self._metrics.expect(name)
        state.broker_problems[name] = NEVER

    async def run(self, *, stop: asyncio.Event, over: asyncio.Event) -> None:
        """Take requests in until `stop`, drain, and hold the connection until `over`."""
        async with AsyncExitStack() as stack, beside(self._tell()):
            broker = await self._connected(stack, stop)
            if broker is not None:
                self._looks = looks = self._looks_at(broker)
                self._state.brokers[self.name] = broker
                self.connected.set()
                async with beside(looks.run()):
                    # Subscribing to a queue that does not exist yet would fail, and begin only after a backoff.
                    await _wait_for_any(self.declared, stop)
                    if self._intake is not None and not stop.is_set():
                        await self._take_in(broker, self._intake(broker), stop)
                    await stop.wait()
            self.drained.set()
            await over.wait()

    def _looks_at(self, broker: Broker) -> Looks:
        publishes = self._settings.publishes
        return Looks(broker, declared=self.declared, owns=self._owns, publishes=publishes, state=self._state)

    async def _tell(self) -> None:
        """Tell of an outage when it begins, while it lasts, and when it is over."""
        while True:
            outage = self._unreached if self._looks is None else self._looks.outage
            self._state.outages.look(self.name, self._state.lost(self.name) or outage)
            await asyncio.sleep(TELL_SECONDS)

    async def _connected(self, stack: AsyncExitStack, stop: asyncio.Event) -> Broker | None:
        """The broker as soon as it answers; None if `stop` is set before."""

        async def give_up() -> None:
            await stop.wait()
            limit.reschedule(asyncio.get_running_loop().time())

        def complain(error: Exception) -> None:
            self._unreached = self._state.broker_problems[self.name] = f"{NEVER}: {error}"
            logger.debug("no connection to %s, trying again: %s", self.name, error)

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
