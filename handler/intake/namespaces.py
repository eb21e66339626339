"""Which namespaces take Jobs at present, and whose fault it is that a Job was not taken. Holds no deliveries."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from handler.telemetry.metrics import Metrics
from k8s.api.clock import backoff
from k8s.api.cluster import Cluster
from k8s.base import Cause, KubernetesError, Unavailable
from k8s.manifests.trial import trial

logger = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
"""Seconds that a namespace has to take a trial Job."""
PROMPT_SECONDS = 0.25
"""Seconds in which a trial Job is judged by an API server that is not slow."""
RECENT_SECONDS = 2.0
"""A Job that was taken within these seconds shows that its namespace takes Jobs."""
OTHERS = 3
"""Other namespaces that are asked whether it is only this one."""


class Blame(Enum):
    """Why a Job was not taken: the API server as a whole takes none, its namespace takes none, or it takes not this."""

    SERVER = auto()
    NAMESPACE = auto()
    JOB = auto()


@dataclass(slots=True)
class _Known:
    """`asked`, `passed`: times of the last look, and of the last Job that was taken.

    `took`: seconds of that look; `error`: what it met.
    """

    asked: float = float("-inf")
    took: float = 0.0
    passed: float = float("-inf")
    error: Unavailable | None = None
    looking: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(slots=True)
class _Sick:
    error: Unavailable
    looks: int = 0
    due: float = 0.0


class Namespaces:
    """Tells one sick namespace from an API server that is away, by asking it and others for the trial of a Job.

    A sick namespace is asked again until it takes Jobs, by `run`; meanwhile no request of it asks the API server.
    """

    def __init__(
        self,
        cluster: Cluster,
        names: Sequence[str],
        *,
        instance: str,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cluster = cluster
        self._names = tuple(names)
        self._instance = instance
        self._metrics = metrics
        self._clock = clock
        self._known = {name: _Known() for name in names}
        self._sick: dict[str, _Sick] = {}
        self._fallen = asyncio.Event()
        metrics.expect_namespaces(names)

    def sickness(self, namespace: str) -> Unavailable | None:
        """What this namespace answers instead of taking Jobs; None as far as is known it takes them."""
        sick = self._sick.get(namespace)
        return None if sick is None else sick.error

    def told(self) -> Mapping[str, str]:
        """For people: the namespaces that take no Jobs, and why."""
        return {name: str(sick.error) for name, sick in self._sick.items()}

    @property
    def all_sick(self) -> bool:
        return len(self._sick) == len(self._names)

    def passed(self, namespace: str) -> None:
        """It has just taken a Job, or judged one."""
        if (known := self._known.get(namespace)) is not None:
            known.passed = self._clock()
            if namespace in self._sick:
                self._heal(namespace)

    async def blame(self, namespace: str, error: Unavailable) -> Blame:
        """Why a Job of this namespace met this error."""
        if error.cause is Cause.SERVER or namespace not in self._known:
            return Blame.SERVER
        now = self._clock()
        met = await self._look(namespace, since=now)
        if met is None:
            return Blame.JOB
        if met.cause is Cause.SERVER:
            return Blame.SERVER
        if met.cause is not Cause.NAMESPACE and not await self._others_pass(namespace, since=now):
            return Blame.SERVER
        self._fall(namespace, met)
        return Blame.NAMESPACE

    async def is_prompt(self, namespace: str) -> bool:
        """Whether the namespace takes plain Jobs at once, by what was found out in the last second, or by asking."""
        met = await self._look(namespace, since=self._clock() - 1.0)
        return met is None and self._known[namespace].took <= PROMPT_SECONDS

    async def run(self) -> None:
        """Ask the sick namespaces again, each after growing pauses, until cancelled."""
        while True:
            await self._fallen.wait()
            now = self._clock()
            async with asyncio.TaskGroup() as group:
                for name, sick in self._sick.items():
                    if sick.due <= now:
                        group.create_task(self._ask_again(name, sick))
            await asyncio.sleep(max(0.05, min((sick.due for sick in self._sick.values()), default=0.0) - now))

    async def _ask_again(self, namespace: str, sick: _Sick) -> None:
        met = await self._look(namespace, since=self._clock())
        if met is None:
            self._heal(namespace)
        else:
            sick.error = met
            self._postpone(sick)

    async def _others_pass(self, namespace: str, *, since: float) -> bool:
        """Whether another namespace takes Jobs, by a look that began after `since` or by a Job it took."""
        others = [name for name in self._names if name != namespace and name not in self._sick]
        if any(self._known[name].passed > since - RECENT_SECONDS for name in others):
            return True
        met = await asyncio.gather(*(self._look(name, since=since) for name in others[:OTHERS]))
        return None in met

    async def _look(self, namespace: str, *, since: float) -> Unavailable | None:
        """What a look at the namespace met that began after `since`: one for all who want it at the same time."""
        known = self._known[namespace]
        async with known.looking:
            if known.asked < since:
                known.asked = self._clock()
                known.error = await self._ask(namespace)
                known.took = self._clock() - known.asked
        return known.error

    async def _ask(self, namespace: str) -> Unavailable | None:
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                await self._cluster.try_job(trial(namespace, instance=self._instance))
        except TimeoutError:
            return Unavailable(f"no answer to the trial of a Job in {LOOK_SECONDS:g} s")
        except Unavailable as error:
            return error
        except KubernetesError:
            pass  # It refuses this Job, and judges others.
        return None

    def _fall(self, namespace: str, error: Unavailable) -> None:
        if namespace not in self._sick:
            self._sick[namespace] = sick = _Sick(error)
            self._postpone(sick)
            self._metrics.namespace_paused.labels(namespace).set(1)
            logger.warning("namespace %s takes no Jobs: %s", namespace, error)
        self._fallen.set()

    def _heal(self, namespace: str) -> None:
        if self._sick.pop(namespace, None) is not None:
            self._metrics.namespace_paused.labels(namespace).set(0)
            logger.info("namespace %s takes Jobs again", namespace)
        if not self._sick:
            self._fallen.clear()

    def _postpone(self, sick: _Sick) -> None:
        sick.looks += 1
        sick.due = self._clock() + backoff(sick.looks, retry_after=sick.error.retry_after)
