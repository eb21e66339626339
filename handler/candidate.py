"""The controller's side of a process: follows the Jobs, and acts on them and on commands while it leads."""

import asyncio
import logging
import secrets
import socket
from collections.abc import Sequence

from adapters.base import BrokerUnavailable, Kind
from handler.controller.control import Control
from handler.controller.controller import Controller
from handler.controller.letters import Letters
from handler.controller.term import Term
from handler.effects.services import Services
from handler.effects.writes import Writes
from handler.links.link import Link
from handler.settings.connections import selector_of
from handler.settings.settings import Settings
from handler.telemetry.state import State
from k8s.background import as_task
from k8s.base import KubernetesError, LeadershipLost
from k8s.election.lease import Leadership, lead
from k8s.election.record import LeaseTiming
from k8s.informer.informer import JobCache, follow

logger = logging.getLogger(__name__)

CONTROL_PREFETCH = 256
"""Control events in hand at a time: those that wait for their request must not hold up the others."""
RETRY_SECONDS = 1.0


class Candidate:
    """Of several candidates for a Lease one leads; the others keep their caches warm."""

    def __init__(self, services: Services, *, links: Sequence[Link], state: State) -> None:
        self._services = services
        self._cluster = services.cluster
        self._settings = services.settings
        self._metrics = services.metrics
        self._outages = services.outages
        self._links = links
        self._state = state

    async def run(self) -> None:
        """Follow the Jobs, and lead whenever it can, until cancelled."""
        async with follow(
            self._cluster,
            namespaces=self._services.namespaces,
            selector=selector_of(self._settings),
            idle=self._settings.watch_idle_seconds,
        ) as cache:
            self._state.cache = cache
            while True:
                try:
                    await as_task(self._lead(cache))
                except* LeadershipLost:
                    logger.warning("no longer leading")
                except* KubernetesError as errors:
                    logger.warning("leading failed, trying again: %s", errors.exceptions[0])
                    await asyncio.sleep(RETRY_SECONDS)
                finally:
                    self._state.leading = False

    async def _lead(self, cache: JobCache) -> None:
        """One term of leadership."""
        async with lead(
            self._cluster,
            namespace=self._services.namespaces[0],
            name=self._settings.instance,
            identity=f"{socket.gethostname()}_{secrets.token_hex(4)}",
            timing=_timing(self._settings),
        ) as leadership:
            # See what the former leader wrote up to its last moment before doing anything.
            await cache.resync()
            logger.info("leading")
            self._state.leading = True
            self._measure(leadership)
            writes = Writes(cluster=self._cluster, cache=cache, leadership=leadership)
            term = Term(cache=cache, writes=writes, previous=leadership.previous)
            controller = Controller(self._services, term)
            leadership.reports(published_to=controller.published_to, counts=controller.counts)
            async with asyncio.TaskGroup() as group:
                group.create_task(controller.run())
                for link in self._links:
                    group.create_task(self._serve_commands(link, self._control(link.name, term, controller)))

    def _control(self, broker: str, term: Term, controller: Controller) -> Control:
        letters = Letters(lambda: self._state.brokers[broker])
        return Control(self._services, term, broker=broker, triggers=controller.triggers, letters=letters)

    def _measure(self, leadership: Leadership) -> None:
        self._metrics.leader_terms.inc()
        if leadership.former_until is not None:
            gap = self._cluster.server_time() - leadership.former_until
            self._metrics.takeover_seconds.set(max(0.0, gap))

    async def _serve_commands(self, link: Link, control: Control) -> None:
        """Carry out the control events of one broker, whenever it is there."""
        await link.declared.wait()
        broker = self._state.brokers[link.name]
        try:
            while True:
                try:
                    async with broker.subscribe(Kind.CONTROL, prefetch=CONTROL_PREFETCH) as commands:
                        self._outages.goes_on(control)
                        await control.run(commands)
                except BrokerUnavailable as error:
                    self._outages.waits(control, link.name, f"no control events: {error}")
                    await asyncio.sleep(RETRY_SECONDS)
        finally:
            self._outages.goes_on(control)


def _timing(settings: Settings) -> LeaseTiming:
    return LeaseTiming(
        lease=settings.lease_seconds,
        renew_deadline=settings.lease_renew_seconds,
        retry=settings.lease_retry_seconds,
        call=settings.lease_call_seconds,
    )
