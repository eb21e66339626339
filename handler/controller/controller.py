"""The Job→event half: look at a Job, give the verdict that is due, publish its transitions, drop our finalizer."""

import asyncio
import logging
from collections.abc import Iterable, Sequence

from events.jobs.attempts import next_attempt_at, next_key, previous_key
from events.jobs.observed import Job
from events.jobs.pods import Pod
from events.jobs.usage import Usage
from events.lifecycle import sidecars
from events.lifecycle.events import lifecycle_event
from events.lifecycle.outcome import is_successful, outcome, unread
from events.lifecycle.transitions import Transition, transitions
from events.phases import Phase
from handler.controller import verdicts
from handler.controller.admitting import Admitting
from handler.controller.astray.jobs import AstrayJobs
from handler.controller.astray.treatment import searching
from handler.controller.attempts import prepare_next
from handler.controller.failover import Failover, Ruling
from handler.controller.logtails import LogTails
from handler.controller.mending import mend, next_mending
from handler.controller.podless import Podless
from handler.controller.published import Published
from handler.controller.schedules import Schedules
from handler.controller.term import Term
from handler.controller.triggers import Triggers
from handler.controller.usage import Sampler
from handler.controller.workqueue import NewerFormat, Workers, WorkQueue
from handler.effects.services import Services
from handler.telemetry.logcontext import about, about_job
from k8s.base import Key

logger = logging.getLogger(__name__)

WORKERS = 64
"""Jobs that are looked at concurrently; a look is a few calls that wait for the broker or the API server."""
MANY_PODS = 500
"""A look at a Job of more pods takes milliseconds, and each of its pods changes several times."""
PAUSE_PER_POD = 1e-4
"""Seconds between two looks at such a Job, for each of its pods: a tenth of the time at most goes into its looks."""


class Controller:
    """Follows the Jobs of this installation for one term of leadership. `triggers`: for commands of all brokers."""

    def __init__(self, services: Services, term: Term) -> None:
        self._cluster = services.cluster
        self._namespaces = services.namespaces
        self._metrics = services.metrics
        self._outages = services.outages
        self._tracing = services.tracing
        self._cache = term.cache
        self._writes = term.writes
        self._previous = term.previous
        self._admitting = Admitting(services, term)
        self._schedules = Schedules(services, term)
        self.triggers = Triggers(services, term, self._schedules)
        self._sampler = Sampler(services, term)
        self._failover = Failover(services, term)
        self._podless = Podless(services.cluster)
        self._log_tails = LogTails(services.cluster)
        self._astray = AstrayJobs(services, term)
        self._published = Published(services, term)
        self._queue = WorkQueue()
        self._running = False

    def published_to(self) -> float:
        """Every transition before this time (epoch seconds, the API server's clock) is at the broker.

        0 until every Job and schedule is queued for a look, so that the former leader's time stands.
        """
        if not self._running:
            return 0.0
        return min(self._cache.fresh(), self._queue.oldest(), self._schedules.oldest())

    def counts(self) -> str | None:
        """For the Lease: how many Jobs wait and run; None before that is known."""
        return self._admitting.counts()

    async def run(self) -> None:
        """Look at what changes, until cancelled. Raises `LeadershipLost` (in a group)."""
        self._queue.add(self._cache.keys(), since=self._previous or 0.0)
        self._look_again(self._cache.stray_keys())
        self._running = True
        self._metrics.work_queue_length.set_function(self._queue.__len__)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._feed())
                group.create_task(self._sampler.run(self._look_again))
                group.create_task(self._podless.run(self._look_again))
                group.create_task(self._admitting.run(self._look_again))
                group.create_task(self._schedules.run())
                group.create_task(searching(self._astray.search, self._namespaces))
                workers = Workers(self._queue, metrics=self._metrics, outages=self._outages, at_once=WORKERS)
                await workers.run(self._look)
        finally:
            self._metrics.work_queue_length.set_function(lambda: 0)

    async def _feed(self) -> None:
        while True:
            # Read before waiting: every change returned below happened later.
            fresh = self._cache.fresh()
            changed = await self._cache.changed()
            gone = {key for key in changed if self._is_gone(key)}
            for key in gone:
                self._forget(key)
            self._queue.add(changed - gone, since=fresh)
            self._admitting.changed(changed)
            self._schedules.changed(changed)

    def _is_gone(self, key: Key) -> bool:
        """Whether a Job has lost our finalizer, nearly always by our own write: then there is nothing to look at.

        Not if a worker has it, which may be about to publish something of it.
        """
        return not self._is_there(key) and key not in self._queue

    def _is_there(self, key: Key) -> bool:
        """Whether a look at it may find something to do."""
        cache = self._cache
        return cache.get(key) is not None or cache.stray(key) is not None or cache.has_left(key)

    def _look_again(self, keys: Iterable[Key]) -> None:
        # A look we asked for ourselves must not hold back `published_to`: no lower bound.
        self._queue.add(keys, since=float("inf"))

    async def _look(self, key: Key) -> None:
        about(namespace=key[0], job=key[1])
        job = self._cache.get(key)
        if job is None:
            self._forget(key)
            await self._astray.attend(key)
            return
        about_job(job)
        if job.newer:
            raise NewerFormat
        if (before := previous_key(job)) is not None and self._cache.get(before) is not None:
            return  # Silent until the attempt before it has lost our finalizer.
        await self._advance(key, job)

    async def _advance(self, key: Key, job: Job) -> None:
        pods: Sequence[Pod] = self._cache.pods(job.uid)
        if len(pods) > MANY_PODS:
            self._queue.pause_after(key, len(pods) * PAUSE_PER_POD)
        job = await mend(job, self._writes, self._metrics)
        told = self._podless.told(job, pods)
        verdict = verdicts.due(job, pods, now=self._cluster.server_time(), told=told)
        if verdict is not None:
            job = await self._writes.give_verdict(job, verdict)
            self._metrics.verdicts.labels(verdict.error_code).inc()
            logger.info("verdict: %s", verdict.message, extra={"code": verdict.error_code})
        job = await verdicts.attend(job, self._writes)
        if verdict is None and (job.finished or (job.deleted is not None and is_successful(job))):
            pods = await self._all_pods(job, pods)
        if job.deleted is not None and not job.finished:
            await self._writes.delete_pods(job)
        again = next_attempt_at(job)
        if again is not None:
            job = await prepare_next(job, self._writes, at=again)
        job, failover = await self._failover.judged(job)
        log = await self._log_tails.of(unread(job, pods)) if job.finished else None
        if await self._publish_all(key, job, pods, log):
            if await self._finish(job, pods, failover, log):
                self._forget(key)
            else:
                self._look_again([key])
            return
        self._look_later(key, verdicts.next_due(job, pods))
        self._look_later(key, sidecars.next_look(job, pods, now=self._cluster.server_time()))
        self._look_later(key, self._podless.next_look(key))
        self._look_later(key, next_mending(job, self._cluster.server_time()))

    async def _finish(self, job: Job, pods: Sequence[Pod], failover: Ruling, log: str | None) -> bool:
        """After its terminal event: make whatever follows from the Job's end, then drop our finalizer.

        Returns whether that is done: else it takes another look, after other Jobs have had theirs.
        """
        if next_attempt_at(job) is None:
            if not await self._admitting.settle(job):
                return False
            await self._schedules.settle(job)
            await self._failover.make(job, pods, failover, log=log)
        await self._writes.drop_finalizer(job)
        self._sampler.forget(job.uid)
        if self._cache.get(following := next_key(job)) is not None:
            # The next attempt was silent until now.
            self._look_again([following])
            self._admitting.changed([following])
        return True

    def _look_later(self, key: Key, at: float | None) -> None:
        """Look again at that time (epoch seconds, the API server's clock), even if nothing changes."""
        if at is not None:
            self._queue.add_later(key, at - self._cluster.server_time())

    def _forget(self, key: Key) -> None:
        self._published.forget(key)
        self._podless.forget(key)
        self._queue.forget(key)
        if not self._is_there(key):
            # What has changed since this look began is nearly always our own write, as the watch shows it.
            self._queue.settle(key)

    async def _all_pods(self, job: Job, pods: Sequence[Pod]) -> Sequence[Pod]:
        """Its pods with their ends, which may be seen later than the Job's own end: the two watches are not in step."""
        if sum(pod.over for pod in pods) >= job.succeeded + job.failed:
            return pods
        return await self._cluster.pods_of(job.namespace, job.uid) or pods

    async def _publish_all(self, key: Key, job: Job, pods: Sequence[Pod], log: str | None) -> bool:
        """Publish what is not published yet, in order. Returns whether the terminal event is published."""
        created = not self._published.has_created(key, job)
        shown = await shown_by(job, pods, self._sampler.of(job.uid), log=log, created=created)
        ended = outcome(job) is not None
        if not ended:
            now = self._cluster.server_time()
            shown += self._podless.look(job, pods, now=now)
            shown += sidecars.kept_running(job, pods, now=now)
            shown += self._admitting.queued(job)
        self._published.forget_past_progress(key, job, shown)
        for transition in shown:
            if self._published.has(key, job, transition):
                continue
            if transition.phase is Phase.SUSPENDED and job.released is not None and job.suspended_by is None:
                job = await self._writes.mark_suspended(job, by=transition.detail["by"])
            await self._published.publish(key, job, transition, lifecycle_event(job, transition))
            if transition.terminal:
                self._tracing.ended(job, shown)
        # Published now or at an earlier look: if only the finalizer is left, nothing is published again.
        return ended


async def shown_by(
    job: Job, pods: Sequence[Pod], usage: Usage | None, *, log: str | None, created: bool = True
) -> list[Transition]:
    """What `transitions` finds. Of many pods it does so in a thread: it would hold the loop for too long.

    Ten thousand pods that fail take 0.3 s, and the Lease has to be renewed meanwhile.
    """
    if len(pods) <= MANY_PODS:
        return transitions(job, pods, usage, log=log, created=created)
    return await asyncio.to_thread(transitions, job, pods, usage, log=log, created=created)
