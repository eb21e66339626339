"""Samples the CPU and memory that running Jobs use: one list per namespace and interval, if metrics are served."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence

from events.jobs.observed import Job
from events.jobs.pods import Pod
from events.jobs.usage import PodUsage, Usage, sampled
from handler.controller.term import Term
from handler.effects.services import Services
from handler.settings.connections import selector_of
from k8s.base import Key, KubernetesError

logger = logging.getLogger(__name__)

LOOK_AGAIN_SECONDS = 300.0
"""Seconds until metrics that could not be read are tried again: there may be no metrics server, and no hurry."""


class Sampler:
    """What Jobs have used in one term of leadership. Kept in memory only, for Jobs that have been sampled."""

    def __init__(self, services: Services, term: Term, *, look_again: float = LOOK_AGAIN_SECONDS) -> None:
        settings = services.settings
        self._cluster = services.cluster
        self._metrics = services.metrics
        self._selector = selector_of(settings)
        self._interval = settings.progress_seconds
        self._most_jobs = settings.progress_jobs
        self._cache = term.cache
        self._look_again = look_again
        # Namespaces whose metrics could not be read, and when to ask again (the loop's clock).
        self._ask_at: dict[str, float] = {}
        self._usage: dict[str, Usage] = {}
        self._too_many = False

    def of(self, job_uid: str) -> Usage | None:
        """The usage of this Job; None before its first sample."""
        return self._usage.get(job_uid)

    def forget(self, job_uid: str) -> None:
        """The Job has ended."""
        self._usage.pop(job_uid, None)

    async def run(self, notify: Callable[[Iterable[Key]], None]) -> None:
        """Sample at every interval until cancelled; `notify` gets the Jobs with new usage. Returns if switched off.

        Metrics that cannot be read do not end it.
        """
        try:
            while self._interval:
                await asyncio.sleep(self._interval)
                notify(await self.sample())
        finally:
            self._metrics.usage_jobs.set(0)

    async def sample(self) -> list[Key]:
        """Sample all running Jobs once. Returns those with new usage."""
        jobs = self._cache.jobs()
        self._usage = {job.uid: self._usage[job.uid] for job in jobs if job.uid in self._usage}
        running = [(job, pods) for job in jobs if (pods := self._running(job))]
        if self._are_too_many(len(running)):
            return []
        found: dict[Key, PodUsage] = {}
        for namespace in {job.namespace for job, _ in running}:
            found |= await self._read(namespace)
        samples = [(job, [found.get((pod.namespace, pod.name)) for pod in pods]) for job, pods in running]
        news = [job for job, sample in samples if self._update(job, sample)]
        self._metrics.usage_jobs.set(len(news))
        return [(job.namespace, job.name) for job in news]

    def _running(self, job: Job) -> list[Pod]:
        if not job.active or job.finished:
            return []
        return [pod for pod in self._cache.pods(job.uid) if pod.started is not None and not pod.over]

    def _are_too_many(self, running: int) -> bool:
        before, self._too_many = self._too_many, running > self._most_jobs
        if self._too_many:
            self._metrics.usage_jobs.set(0)
        if self._too_many is not before:
            state = "no usage is sampled" if self._too_many else "usage is sampled again"
            logger.info("%s: %d Jobs run, JOBRELAY_PROGRESS_JOBS is %d", state, running, self._most_jobs)
        return self._too_many

    async def _read(self, namespace: str) -> dict[Key, PodUsage]:
        now = asyncio.get_running_loop().time()
        if now < self._ask_at.get(namespace, 0.0):
            return {}
        try:
            pods = await self._cluster.pod_metrics(namespace, self._selector)
        except KubernetesError as error:
            if namespace not in self._ask_at:
                logger.info("no usage of Jobs is known, asking again every %.0f s: %s", self._look_again, error)
            self._ask_at[namespace] = now + self._look_again
            return {}
        if self._ask_at.pop(namespace, None) is not None:
            logger.info("usage of Jobs is known again")
        return {(namespace, pod.name): pod for pod in pods}

    def _update(self, job: Job, pods: Sequence[PodUsage | None]) -> bool:
        """Take a sample in. Returns whether it says something new."""
        usage = sampled(self.of(job.uid), [pod for pod in pods if pod is not None])
        if usage is not None:
            self._usage[job.uid] = usage
        return usage is not None
