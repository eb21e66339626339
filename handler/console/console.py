"""The process of the role `console`: records the history whenever nobody else does, serves the page, stops in order.

It follows the brokers' logs of lifecycle events, keeps the logs of pods, and deletes what is old. It declares nothing
at the broker and changes nothing in the cluster.
"""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import partial

from adapters.registry import adapter_of
from handler.console.backend import Backend
from handler.console.serving.server import Serving, serve_page
from handler.effects.repeating import until_answered
from handler.history.base import Bodies, HistoryError, Store, StoreUnavailable, Writer
from handler.history.logs.objects import open_bodies
from handler.history.logs.podlogs import PodLogs
from handler.history.recording.recorder import Recorder
from handler.history.retention import Retention
from handler.history.sql.store import open_store
from handler.links.link import Connect, Link
from handler.settings.connections import broker_of, cluster_of, program_of
from handler.settings.settings import Settings
from handler.telemetry.looplag import measure_lag
from handler.telemetry.metrics import Metrics
from handler.telemetry.state import State
from handler.telemetry.web import serve
from k8s.api.clock import backoff
from k8s.api.cluster import Cluster
from k8s.background import as_task, beside

logger = logging.getLogger(__name__)

STEADY_SECONDS = 60.0
"""Who has recorded for so long begins anew with short pauses."""


class Console:
    """One process. `sources`: how to connect to each broker whose log is recorded. `recording`: whether it does now.

    `backend`: what its page reads from. `page`: how that is served, from the start, and while it waits for its turn.
    """

    def __init__(self, settings: Settings, *, cluster: Cluster, sources: Mapping[str, Connect], state: State) -> None:
        self.recording = False
        self.backend = Backend(
            settings, cluster=cluster, brokers=state.brokers, metrics=state.metrics, configured=[*sources]
        )
        self.backend.lag = lambda: self.lag
        self.page: Serving | None = None
        self._settings = settings
        self._cluster = cluster
        self._state = state
        self._metrics = state.metrics
        self._links = [Link(name, connect, settings=settings, state=state) for name, connect in sources.items()]
        self._recorders: dict[str, Recorder] = {}
        self._logs: PodLogs | None = None
        self._problem: str | None = "not opened yet"
        for name in sources:
            state.metrics.expect_history(name)
        state.history = self

    @property
    def lag(self) -> float | None:
        """Seconds that the record is behind the brokers; None while it does not record."""
        recorders = self._recorders.values()
        return max((recorder.lag for recorder in recorders), default=None) if self.recording else None

    @property
    def problems(self) -> list[str]:
        """Why nothing is recorded, or not from a broker. Waiting for another process that records is no problem."""
        ours = {recorder.problem for recorder in self._recorders.values()} if self.recording else set()
        return [problem for problem in (self._problem, *sorted(filter(None, ours))) if problem is not None]

    @property
    def notes(self) -> list[str]:
        """What else is not done now."""
        if not self.recording:
            waits = "another process records the history; this one waits for its turn"
            return [] if self.problems else [waits]
        logs = None if self._logs is None else self._logs.problem
        return [] if logs is None else [f"logs of pods wait for the API server: {logs}"]

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set.

        Raises `StoreRefused` for a database, or a store of logs, that cannot be used, `AddressRefused` and
        `FileRefused` for what the page needs.
        """
        over = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as group:
                for link in self._links:
                    group.create_task(link.run(stop=stop, over=over))
                async with serve_page(self.backend) as self.page:
                    self._state.page = None if self.page is None else self.page.url
                    keeping = group.create_task(self._keep())
                    await stop.wait()
                    self._state.draining = True
                    self.backend.stopping.set()
                # The page has ended first: what it shows and asks for needs the store and the brokers. A transaction in
                # hand is finished; what follows is read again by whoever records next.
                keeping.cancel()
                await asyncio.wait({keeping}, timeout=self._settings.drain_seconds)
                over.set()
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def _keep(self) -> None:
        """Open what the history is kept in, and record whenever nobody else does, until cancelled."""
        async with AsyncExitStack() as stack:
            store = await self._opened(stack)
            settings = self._settings
            opening = open_bodies(settings.log_store, workers=settings.log_concurrency)
            bodies = await stack.enter_async_context(opening)
            self.backend.opened(store, bodies)
            self._logs = PodLogs(self._cluster, settings, self._metrics, store, bodies)
            failures, loop = 0, asyncio.get_running_loop()
            while True:
                begun = loop.time()
                try:
                    await as_task(self._record(store, bodies))
                except* HistoryError as errors:
                    self._complain(errors.exceptions[0])
                failures = 1 if loop.time() - begun > STEADY_SECONDS else failures + 1
                await asyncio.sleep(backoff(failures))

    async def _opened(self, stack: AsyncExitStack) -> Store:
        """The store, its tables up to date, as soon as the database answers."""
        url, most = self._settings.history, self._settings.history_max_bytes

        async def opened() -> Store:
            return await stack.enter_async_context(open_store(url, migrate=True, max_bytes=most))

        return await until_answered(opened, complain=self._complain, passing=(StoreUnavailable,))

    async def _record(self, store: Store, bodies: Bodies | None) -> None:
        """Wait until nobody else records; then do it. Raises `StoreUnavailable`, in a group, once the turn is lost."""
        # Whoever waits has no other sign that the database is there.
        await store.position(self._links[0].name)
        self._problem = None
        for recorder in self._recorders.values():
            recorder.forget()
        async with store.writing() as writer:
            logger.info("recording the history")
            self.recording = True
            try:
                async with asyncio.TaskGroup() as group:
                    for link in self._links:
                        group.create_task(self._follow(link, store, writer))
                    if self._logs is not None:
                        group.create_task(self._logs.run(writer))
                    group.create_task(Retention(self._settings, store, self._metrics, bodies=bodies).run())
            finally:
                self.recording = False

    async def _follow(self, link: Link, store: Store, writer: Writer) -> None:
        """Record the log of one broker, once that is connected."""
        await link.connected.wait()
        recorder = self._recorders.get(link.name)
        if recorder is None:
            broker = self._state.brokers[link.name]
            recorder = self._recorders[link.name] = Recorder(broker, reader=store, metrics=self._metrics)
        await recorder.run(writer)

    def _complain(self, error: Exception) -> None:
        logger.warning("the history cannot be recorded now, trying again: %s", error)
        self._problem = str(error)


async def run(settings: Settings, *, stop: asyncio.Event) -> None:
    """Run until `stop` is set. Raises `ConfigError`, `StoreRefused`, `FileRefused` and `AddressRefused`."""
    state = State(Metrics(role=settings.role), follows=settings.follows)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(beside(measure_lag(state.metrics)))
        await stack.enter_async_context(serve(state, address=settings.http_address, fresh=settings.metrics_seconds))
        cluster = await stack.enter_async_context(cluster_of(settings, program=program_of(settings)))
        sources = {adapter_of(url).name: partial(broker_of, settings, url) for url in settings.sources}
        await Console(settings, cluster=cluster, sources=sources, state=state).run(stop)
    logger.info("stopped")
