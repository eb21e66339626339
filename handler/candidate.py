"""The controller's side of a process: keeps the Jobs in view, and acts on them and on commands while it leads."""

import asyncio
import logging
import secrets
import socket
from collections.abc import Sequence

from adapters.base import BrokerUnavailable, Kind
from handler.controller.admitting import Queue
from handler.controller.control import Control
from handler.controller.controller import Controller
from handler.controller.failover import Failover
from handler.controller.schedules import Schedules
from handler.controller.usage import Sampler
from handler.effects.publisher import Publisher
from handler.effects.writes import Writes
from handler.link import Link
from handler.settings.connections import namespaces_of, selector_of
from handler.settings.settings import Settings
from handler.telemetry.state import State
from handler.telemetry.tracing import OFF, Tracing
from k8s.api.cluster import Cluster
from k8s.base import KubernetesError, LeadershipLost
from k8s.election.lease import LeaseTiming, lead
from k8s.informer.informer import JobCache, follow

logger = logging.getLogger(__name__)

CONTROL_PREFETCH = 256
"""Control events held at a time: one that waits for its request must not hold up the others."""
RETRY_SECONDS = 1.0


class Candidate:
    """Of several with the same Lease one leads; the others are warm."""

    def __init__(
        self,
        *,
        cluster: Cluster,
        links: Sequence[Link],
        publisher: Publisher,
        settings: Settings,
        state: State,
        tracing: Tracing = OFF,
    ) -> None:
        self._cluster = cluster
        self._links = links
        self._publisher = publisher
        self._settings = settings
        self._state = state
        self._tracing = tracing
        self._namespaces = namespaces_of(settings, cluster)
        self._selector = selector_of(settings)

    async def run(self) -> None:
        """Follow the Jobs, and lead whenever it can, until cancelled."""
        idle = self._settings.watch_idle_seconds
        async with follow(self._cluster, namespaces=self._namespaces, selector=self._selector, idle=idle) as cache:
            self._state.cache = cache
            while True:
                try:
                    await self._lead(cache)
                except* LeadershipLost:
                    logger.warning("no longer leading")
                except* KubernetesError as errors:
                    logger.warning("leading failed, trying again: %s", errors.exceptions[0])
                    await asyncio.sleep(RETRY_SECONDS)
                finally:
                    self._state.leading = False

    async def _lead(self, cache: JobCache) -> None:
        """One term of leadership."""
        metrics = self._state.metrics
        sampler = Sampler(
            cluster=self._cluster, cache=cache, selector=self._selector, settings=self._settings, metrics=metrics
        )
        queue = Queue(
            cluster=self._cluster,
            cache=cache,
            settings=self._settings,
            namespaces=self._namespaces,
            metrics=metrics,
        )
        schedules = Schedules(
            cluster=self._cluster,
            cache=cache,
            publisher=self._publisher,
            settings=self._settings,
            metrics=metrics,
        )
        controller = Controller(
            cluster=self._cluster,
            cache=cache,
            publisher=self._publisher,
            sampler=sampler,
            queue=queue,
            failover=Failover(settings=self._settings, publisher=self._publisher),
            schedules=schedules,
            metrics=metrics,
            tracing=self._tracing,
        )
        async with lead(
            self._cluster,
            namespace=self._namespaces[0],
            name=self._settings.instance,
            identity=f"{socket.gethostname()}_{secrets.token_hex(4)}",
            published_to=controller.published_to,
            counts=queue.counts,
            timing=_timing(self._settings),
        ) as leadership:
            # What a former leader wrote up to its last moment must be seen before anything is done.
            await cache.resync()
            logger.info("leading")
            self._state.leading = True
            metrics.leader_terms.inc()
            if leadership.former_until is not None:
                gap = self._cluster.server_time() - leadership.former_until
                metrics.takeover_seconds.set(max(0.0, gap))
            writes = Writes(cluster=self._cluster, cache=cache, leadership=leadership)
            async with asyncio.TaskGroup() as group:
                group.create_task(controller.run(writes, previous=leadership.previous))
                for link in self._links:
                    group.create_task(self._commands(link, cache, writes))

    async def _commands(self, link: Link, cache: JobCache, writes: Writes) -> None:
        """Carry out the control events of one broker, whenever it is there."""
        await link.declared.wait()
        control = Control(
            cluster=self._cluster,
            cache=cache,
            writes=writes,
            publisher=self._publisher,
            metrics=self._state.metrics,
            settings=self._settings,
            namespaces=self._namespaces,
            broker=link.name,
            tracing=self._tracing,
        )
        while True:
            try:
                async with self._state.brokers[link.name].subscribe(
                    Kind.CONTROL, prefetch=CONTROL_PREFETCH
                ) as commands:
                    await control.run(commands)
            except BrokerUnavailable as error:
                logger.warning("no control events from %s, trying again: %s", link.name, error)
                await asyncio.sleep(RETRY_SECONDS)


def _timing(settings: Settings) -> LeaseTiming:
    return LeaseTiming(
        lease=settings.lease_seconds,
        renew_deadline=settings.lease_renew_seconds,
        retry=settings.lease_retry_seconds,
        call=settings.lease_call_seconds,
    )
