"""Keeps the logs of Pods before their Jobs go, and notes how each Pod ended."""

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from handler.history.base import Bodies, HistoryError, KeptLog, Key, LogWriter, PodRun, Reader, StoreUnavailable
from handler.history.logs.attending import Attending, Turn, Work
from handler.history.logs.taking import BodiesUnavailable
from handler.history.logs.turns import Turns, doubled
from handler.history.logs.watching import Pods, Seen
from handler.settings.connections import namespaces_of, selector_of
from handler.settings.settings import Settings
from handler.telemetry.metrics import Metrics
from k8s.api.clock import backoff
from k8s.api.cluster import Cluster
from k8s.background import beside
from k8s.base import KubernetesError

logger = logging.getLogger(__name__)

LOST_SECONDS = 30.0
"""For which nothing can be written until the writer counts as lost."""
FIRST_WAIT, LONGEST_WAIT, HURRIED = 1.0, 60.0, 5.0
"""Seconds between tries to read the logs of a pod, each time twice as long; at most, of one that is being deleted."""


class PodLogs:
    """`bodies`: where chunks are kept; None is the database."""

    def __init__(
        self, cluster: Cluster, settings: Settings, metrics: Metrics, reader: Reader, bodies: Bodies | None = None
    ) -> None:
        self._cluster = cluster
        self._settings = settings
        self._metrics = metrics
        self._reader = reader
        self._bodies = bodies
        self._pods = Pods()

    @property
    def problem(self) -> str | None:
        """Why a watch of Pods is behind; None if none is."""
        return self._pods.problem

    async def run(self, writer: LogWriter) -> None:
        """Keep logs until cancelled. Raises `StoreUnavailable` once the writer seems to be lost; survives all else."""
        # Whoever recorded meanwhile has kept logs, too.
        self._pods = Pods()
        settings, watched = self._settings, _Watched(writer)
        attending = Attending(self._cluster, settings, self._metrics, self._reader, watched, self._bodies)
        following = self._pods.run(
            self._cluster.client,
            namespaces_of(settings, self._cluster),
            selector=selector_of(settings),
            idle=settings.watch_idle_seconds,
        )
        async with beside(following):
            await _Rounds(self._pods, attending, watched, self._metrics, most=settings.log_concurrency).run()


class _Watched:
    """A writer, and since when it has failed, by the loop's clock; None if it does not."""

    def __init__(self, writer: LogWriter) -> None:
        self._writer = writer
        self.failing_since: float | None = None

    async def keep_pod(self, key: Key, pod: PodRun, *, created: float, asked: bytes | None = None) -> None:
        with self._watching():
            await self._writer.keep_pod(key, pod, created=created, asked=asked)

    async def keep_log(self, log: KeptLog, *, put: Mapping[int, bytes] = {}, drop: Sequence[int] = ()) -> None:
        with self._watching():
            await self._writer.keep_log(log, put=put, drop=drop)

    @contextmanager
    def _watching(self) -> Iterator[None]:
        try:
            yield
        except StoreUnavailable:
            if self.failing_since is None:
                self.failing_since = asyncio.get_running_loop().time()
            raise
        self.failing_since = None


class _Rounds:
    """Gives each Pod its turns."""

    def __init__(self, pods: Pods, attending: Attending, writer: _Watched, metrics: Metrics, *, most: int) -> None:
        self._pods = pods
        self._attending = attending
        self._writer = writer
        self._metrics = metrics
        self._turns = Turns(most)
        self._works: dict[str, Work] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._pause = 0.0
        self._failures = 0

    async def run(self) -> None:
        try:
            while True:
                self._plan()
                self._begin()
                await self._wait()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _plan(self) -> None:
        self._pods.news.clear()
        changes, self._pods.changes = self._pods.changes, set()
        for uid in changes:
            seen = self._pods.get(uid)
            if seen is None or not seen.begun:
                continue
            work = self._works.setdefault(uid, Work())
            if self._turns.has_turn(uid):
                work.changed = True
            else:
                self._turns.put(uid, "" if seen.gone else seen.node, _now())

    def _begin(self) -> None:
        for task in [task for task in self._tasks if task.done()]:
            self._tasks.discard(task)
            task.result()
        if self._pause <= _now():
            self._tasks.update(asyncio.create_task(self._turn(uid)) for uid in self._turns.take(_now()))

    async def _wait(self) -> None:
        until = self._pause if self._pause > _now() else self._turns.next_at(_now())
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await self._pods.news.wait()

    async def _turn(self, uid: str) -> None:
        try:
            await self._look(uid)
        finally:
            self._pods.news.set()

    async def _look(self, uid: str) -> None:
        seen, work = self._pods.get(uid), self._works[uid]
        turn = Turn(lambda: self._turns.answered(uid), lambda: self._turns.failed(uid, _now()))
        work.changed, after = False, None
        try:
            if seen is not None:
                after = await self._attending.look(seen, work, turn)
                work.failures = 0
                self._goes_well()
        except (StoreUnavailable, BodiesUnavailable) as error:
            after = self._stop(error)
        except HistoryError as error:
            # The database will never take it: the others must not wait.
            self._metrics.history_log_failures.inc()
            logger.warning("a pod is left out of the history: %s", error)
            work.done = True
        except KubernetesError as error:
            after = self._later(seen, work, error)
        finally:
            self._turns.end(uid)
        if seen is None or work.done:
            self._pods.done(uid)
            del self._works[uid]
        elif work.changed or after is not None:
            now = self._pods.get(uid) or seen
            self._turns.put(uid, "" if now.gone else now.node, _now() + (0.0 if work.changed else after or 0.0))

    def _later(self, seen: Seen | None, work: Work, error: KubernetesError) -> float:
        self._metrics.history_log_failures.inc()
        work.failures += 1
        if work.failures == 1:
            logger.info("the log of a pod is asked for again later: %s", error)
        most = HURRIED if seen is not None and seen.deleted else LONGEST_WAIT
        return doubled(FIRST_WAIT, work.failures, longest=most)

    def _stop(self, error: HistoryError) -> float:
        """Nothing can be stored: leave everything for a while."""
        self._metrics.history_log_failures.inc()
        since, now = self._writer.failing_since, _now()
        if since is not None and now - since >= LOST_SECONDS:
            raise error
        if now < self._pause:
            return self._pause - now  # Several that fail together say no more than one.
        if not self._failures:
            logger.warning("logs cannot be stored, trying again: %s", error)
        self._failures += 1
        wait = backoff(self._failures)
        self._pause = now + wait
        return wait

    def _goes_well(self) -> None:
        if self._failures and self._writer.failing_since is None:
            self._failures = 0
            logger.info("logs can be stored again")


def _now() -> float:
    return asyncio.get_running_loop().time()
