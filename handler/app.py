"""The process: connects everything, runs the parts of its role side by side, and drains at the end."""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import partial

from adapters.base import Broker
from adapters.registry import adapter_of
from handler.effects.publisher import Publisher
from handler.effects.services import Services
from handler.intake.functions import Functions
from handler.intake.gate import Gate
from handler.intake.intake import Intake
from handler.intake.launching import Launching
from handler.intake.namespaces import Namespaces
from handler.intake.pressure import Pressure
from handler.intake.requests import Requests
from handler.links.link import Connect, Link
from handler.settings.connections import broker_of, cluster_of, program_of
from handler.settings.settings import Settings
from handler.telemetry.looplag import measure_lag
from handler.telemetry.metrics import Metrics
from handler.telemetry.otlp import tracing_of
from handler.telemetry.state import State
from handler.telemetry.tracing import OFF, Tracing
from handler.telemetry.web import serve
from k8s.api.cluster import Cluster
from k8s.background import beside

logger = logging.getLogger(__name__)


class App:
    """One process in its role. `sources`: how to connect to each broker. Raises `InvalidFunctions`."""

    def __init__(
        self,
        settings: Settings,
        *,
        cluster: Cluster,
        sources: Mapping[str, Connect],
        state: State,
        tracing: Tracing = OFF,
    ) -> None:
        self._settings = settings
        self._state = state
        self._services = services = Services(
            cluster=cluster,
            settings=settings,
            metrics=state.metrics,
            publisher=Publisher(
                state.brokers,
                tuple(sources),
                state.metrics,
                reply_topics=settings.reply_topics,
                tracing=tracing,
            ),
            outages=state.outages,
            tracing=tracing,
        )
        self._gate = Gate(state.metrics)
        self._namespaces = Namespaces(cluster, services.namespaces, instance=settings.instance, metrics=state.metrics)
        state.namespaces, state.gate = self._namespaces, self._gate
        path = settings.functions if settings.takes_in else None
        self._functions = Functions(path, namespaces=services.namespaces, metrics=state.metrics)
        self._pressure = Pressure(services)
        self._links = [
            Link(
                name,
                connect,
                intake=self._intake if settings.takes_in else None,
                owns=settings.follows,
                pressure=self._pressure,
                settings=settings,
                state=state,
            )
            for name, connect in sources.items()
        ]

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set and what was in flight is done, at most the drain time later."""
        over = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for link in self._links:
                group.create_task(link.run(stop=stop, over=over))
            following = group.create_task(self._follow()) if self._settings.follows else None
            watching = [group.create_task(self._functions.watch())]
            if self._settings.takes_in:
                watching += [group.create_task(part.run()) for part in (self._pressure, self._namespaces)]
            await stop.wait()
            self._state.draining = True
            for task in watching:
                task.cancel()
            self._gate.leave()
            for link in self._links:
                await link.drained.wait()
            if following is not None:
                # The controller gives its Lease back before the connections close.
                following.cancel()
                await asyncio.wait({following})
            over.set()

    def _intake(self, broker: Broker) -> Intake:
        launching = Launching(self._services, gate=self._gate, namespaces=self._namespaces, pressure=self._pressure)
        requests = Requests(
            self._services,
            broker=broker.name,
            functions=self._functions,
            launching=launching,
            pressure=self._pressure,
        )
        return Intake(self._services, broker=broker, requests=requests)

    async def _follow(self) -> None:
        # Handlers do without the controller.
        from handler.candidate import Candidate

        await Candidate(self._services, links=self._links, state=self._state).run()


async def run(settings: Settings, *, stop: asyncio.Event) -> None:
    """Run until `stop` is set. Raises `ConfigError`, `InvalidFunctions`, and `OSError` for an HTTP address in use."""
    state = State(Metrics(role=settings.role), follows=settings.follows)
    async with AsyncExitStack() as stack:
        tracing = await stack.enter_async_context(tracing_of(settings, stop))
        await stack.enter_async_context(beside(measure_lag(state.metrics)))
        await stack.enter_async_context(serve(state, address=settings.http_address, fresh=settings.metrics_seconds))
        cluster = await stack.enter_async_context(cluster_of(settings, program=program_of(settings)))
        state.cluster = cluster
        sources = {adapter_of(url).name: partial(broker_of, settings, url) for url in settings.sources}
        await App(settings, cluster=cluster, sources=sources, state=state, tracing=tracing).run(stop)
    logger.info("stopped")
