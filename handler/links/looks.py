"""Looks at one connected broker, again and again: its topology, whether it stores, its replicas, its queue lengths."""

import asyncio
import logging

from adapters.base import Broker, BrokerUnavailable, TopologyDrift
from handler.telemetry.state import State
from k8s.background import beside

logger = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
"""Seconds between two looks while all is well."""
AGAIN_SECONDS = 1.0
"""Seconds until the next look while it is not."""
ANSWER_SECONDS = 4.0
"""A broker that has not said for so long whether it stores does not store: one that is frozen never says it."""
COPIES_SECONDS = 30.0
"""Seconds between two looks at the replicas."""

_TOPOLOGY, _STORING = "topology", "storing"


class Looks:
    """`State` has what they find. `declared` is set once the broker has our topology, or something else in its place.

    `owns`: this role declares the topology; without it, it is only checked. `publishes`: this process does.
    """

    def __init__(self, broker: Broker, *, declared: asyncio.Event, owns: bool, publishes: bool, state: State) -> None:
        self._declared = declared
        self._broker = broker
        self._owns = owns
        self._publishes = publishes
        self._state = state
        self._metrics = state.metrics
        self._drift: str | None = None
        self._outages: dict[str, str] = {}
        self._unseen = {_TOPOLOGY: "connected, its streams and queues are not looked at yet"}
        if publishes:
            self._unseen[_STORING] = "connected, not known yet whether it stores what is published"
        self._show()

    @property
    def outage(self) -> str | None:
        """Why the broker takes nothing now; None if it does."""
        # What does not store first: the rest may follow from it.
        found = [self._outages[look] for look in (_STORING, _TOPOLOGY) if look in self._outages]
        return "; ".join(dict.fromkeys(found)) or None

    async def run(self) -> None:
        """Look until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_topology())
            await self._declared.wait()
            group.create_task(self._keep_copies())
            if self._publishes:
                group.create_task(self._keep_storing())

    async def _keep_topology(self) -> None:
        """Declare what is missing, now and whenever it is deleted later; measure the queue lengths."""
        while True:
            outage = await self._look()
            if self._declared.is_set():
                unmeasured = await self._measure()
                outage = outage or unmeasured
            self._note(_TOPOLOGY, outage)
            await asyncio.sleep(LOOK_SECONDS if outage is None else AGAIN_SECONDS)

    async def _look(self) -> str | None:
        """Why it cannot be had now. That it differs is no outage: somebody has to decide."""
        try:
            await (self._broker.declare() if self._owns else self._broker.check())
        except TopologyDrift as error:
            self._differs(f"topology differs, left as it is: {error}")
        except BrokerUnavailable as error:
            return str(error)
        else:
            self._differs(None)
        self._declared.set()
        return None

    def _differs(self, drift: str | None) -> None:
        if drift is not None and drift != self._drift:
            logger.warning("broker %s: %s", self._broker.name, drift)
        elif drift is None and self._drift is not None:
            logger.info("broker %s: as it should be again", self._broker.name)
        self._drift = drift

    async def _measure(self) -> str | None:
        """Why it cannot be had: how full the stores are and, if the topology is ours, the queue lengths."""
        name = self._broker.name
        try:
            depths = await self._broker.depth() if self._owns else {}
            fill = await self._broker.fill()
        except BrokerUnavailable as error:
            return str(error)
        for topic, depth in depths.items():
            self._metrics.queue_length.labels(name, str(topic)).set(depth.ready)
            self._metrics.queue_unsettled.labels(name, str(topic)).set(depth.unsettled)
        for kind, full in fill.items():
            self._metrics.store_filled.labels(name, str(kind)).set(full)
        return None

    async def _keep_storing(self) -> None:
        """Streams and queues may exist, and yet have no quorum."""
        while True:
            async with beside(self._overdue()):
                outage = await self._stores()
            self._note(_STORING, outage)
            await asyncio.sleep(LOOK_SECONDS if outage is None else AGAIN_SECONDS)

    async def _overdue(self) -> None:
        # Not cancelled: it may yet be answered, and half a question could harm others on its connection.
        await asyncio.sleep(ANSWER_SECONDS)
        if _STORING not in self._outages:  # What was said before tells more.
            self._note(_STORING, f"has not said within {ANSWER_SECONDS:.0f} s that it stores what is published")

    async def _stores(self) -> str | None:
        try:
            await self._broker.probe()
        except BrokerUnavailable as error:
            return str(error)
        return None

    async def _keep_copies(self) -> None:
        """A stream or queue that was declared before its cluster was complete keeps the copies that it got then."""
        name = self._broker.name
        while True:
            try:
                replicas = await self._broker.replicas()
            except BrokerUnavailable as error:
                self._state.copies.unknown(name, str(error))
            else:
                self._state.copies.seen(name, replicas)
            await asyncio.sleep(COPIES_SECONDS)

    def _note(self, look: str, outage: str | None) -> None:
        self._unseen.pop(look, None)
        if outage is None:
            self._outages.pop(look, None)
        else:
            self._outages[look] = outage
        self._show()

    def _show(self) -> None:
        name = self._broker.name
        problems = [problem for problem in (self.outage, self._drift, *self._unseen.values()) if problem]
        if problems:
            self._state.broker_problems[name] = "; ".join(problems)
        else:
            self._state.broker_problems.pop(name, None)
        if self._publishes:
            stores = _STORING not in self._outages and _STORING not in self._unseen
            self._metrics.broker_storing.labels(name).set(stores)
