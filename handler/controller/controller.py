"""The Job→event half: look at what a Job is, give the verdict it has earned, publish what it shows, let it go."""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from functools import partial

from adapters.base import Kind, Topic
from events.identity import lifecycle_key
from events.jobs.attempts import next_attempt_at, next_key, previous_key
from events.jobs.observed import Job, Pod
from events.lifecycle.events import Transition, lifecycle_event, transitions
from events.lifecycle.outcome import outcome
from events.names import Phase
from handler.controller import verdicts
from handler.controller.admitting import Queue
from handler.controller.attempts import prepare_next
from handler.controller.failover import Failover
from handler.controller.podless import Podless
from handler.controller.schedules import Schedules
from handler.controller.usage import Sampler
from handler.controller.verdicts import attend
from handler.controller.workqueue import Key, Looks, NotOurs, WorkQueue
from handler.effects.publisher import Publisher
from handler.effects.writes import Writes
from handler.telemetry.logcontext import about, about_job
from handler.telemetry.metrics import Metrics
from handler.telemetry.tracing import OFF, Tracing
from k8s.api.cluster import Cluster
from k8s.informer.informer import JobCache

logger = logging.getLogger(__name__)

WORKERS = 64
"""Jobs that are looked at concurrently; a look is a few calls that wait for the broker or the API server."""
REPEAT_SECONDS = 10.0
"""A new leader repeats what happened this long before the former one's `published-to`: clocks and watches lag."""


class Controller:
    """Follows the Jobs of this installation for one term of leadership."""

    def __init__(
        self,
        *,
        cluster: Cluster,
        cache: JobCache,
        publisher: Publisher,
        sampler: Sampler,
        queue: Queue,
        failover: Failover,
        schedules: Schedules,
        metrics: Metrics,
        tracing: Tracing = OFF,
    ) -> None:
        self._waiting = queue
        self._failover = failover
        self._schedules = schedules
        self._cluster = cluster
        self._cache = cache
        self._publisher = publisher
        self._sampler = sampler
        self._metrics = metrics
        self._tracing = tracing
        self._queue = WorkQueue()
        self._podless = Podless(cluster)
        metrics.work_queue_length.set_function(self._queue.__len__)
        self._running = False
        self._repeat_from = 0.0
        self._published: dict[Key, tuple[str, tuple[str, ...]]] = {}

    def published_to(self) -> float:
        """Every transition before this time (epoch seconds, the API server's clock) is at the broker.

        0 until every Job and schedule has been looked at once: the former leader's word stands.
        """
        if not self._running:
            return 0.0
        return min(self._cache.fresh(), self._queue.oldest(), self._schedules.oldest())

    async def run(self, writes: Writes, *, previous: float | None) -> None:
        """Act until cancelled. `previous`: the former leader's `published-to`. Raises `LeadershipLost` (in a group)."""
        self._repeat_from = (previous or 0.0) - REPEAT_SECONDS
        self._queue.add(self._cache.keys(), since=previous or 0.0)
        self._running = True
        async with asyncio.TaskGroup() as group:
            group.create_task(self._feed())
            group.create_task(self._sampler.run(self._tell))
            group.create_task(self._podless.run(self._tell))
            group.create_task(self._waiting.run(writes, self._tell))
            group.create_task(self._schedules.run(writes, previous=previous))
            await Looks(self._queue, metrics=self._metrics, at_once=WORKERS).run(partial(self._look, writes=writes))

    async def _feed(self) -> None:
        while True:
            # Taken before the wait: what is reported after it happened after it.
            fresh = self._cache.fresh()
            changed = await self._cache.changed()
            self._queue.add(changed, since=fresh)
            self._waiting.changed(changed)
            self._schedules.changed(changed)

    def _tell(self, keys: Iterable[Key]) -> None:
        # What was asked for is no transition that a new leader would have to repeat: what the leader vouches for stays.
        self._queue.add(keys, since=float("inf"))

    async def _look(self, key: Key, writes: Writes) -> None:
        about(namespace=key[0], job=key[1])
        job = self._cache.get(key)
        if job is None or not job.held:
            self._forget(key)
            return
        about_job(job)
        if job.newer:
            raise NotOurs
        if (before := previous_key(job)) is not None and self._cache.get(before) is not None:
            return  # Silent until that one is let go.
        await self._advance(key, job, writes)

    async def _advance(self, key: Key, job: Job, writes: Writes) -> None:
        pods: Sequence[Pod] = self._cache.pods(job.uid)
        verdict = verdicts.due(job, pods, now=self._cluster.server_time())
        if verdict is not None:
            job = await writes.give_verdict(job, verdict)
            self._metrics.verdicts.labels(verdict.error_code).inc()
            logger.info("verdict: %s", verdict.message, extra={"code": verdict.error_code})
        job = await attend(job, writes)
        if job.deleted is not None and not job.finished:
            await writes.delete_pods(job)
        if job.finished and verdict is None:
            pods = await self._all_pods(job, pods)
        again = next_attempt_at(job)
        if again is not None:
            job = await prepare_next(job, writes, at=again)
        if await self._publish_all(key, job, pods, writes):
            await self._leave(job, pods, writes)
            self._forget(key)
            return
        self._appoint(key, verdicts.next_due(job, pods))
        self._appoint(key, self._podless.next_look(key))

    async def _leave(self, job: Job, pods: Sequence[Pod], writes: Writes) -> None:
        """All of it is out: whatever follows from its end is made, then it is let go."""
        if next_attempt_at(job) is None:
            await self._waiting.settle(job, writes)
            await self._schedules.settle(job, writes)
            await self._failover.make(job, pods, writes)
        await writes.release(job)
        self._sampler.forget(job.uid)
        # The next attempt was silent until now.
        self._tell([next_key(job)])
        self._waiting.changed([next_key(job)])

    def _appoint(self, key: Key, at: float | None) -> None:
        """Look again then (epoch seconds, the API server's clock) although nothing changed."""
        if at is not None:
            self._queue.add_later(key, at - self._cluster.server_time())

    def _forget(self, key: Key) -> None:
        self._published.pop(key, None)
        self._podless.forget(key)
        self._queue.forget(key)

    async def _all_pods(self, job: Job, pods: Sequence[Pod]) -> Sequence[Pod]:
        """Its pods with their ends, which the Job's own end may have overtaken: the two watches are not in step."""
        if sum(pod.finished is not None for pod in pods) >= job.succeeded + job.failed:
            return pods
        return await self._cluster.pods_of(job.namespace, job.uid) or pods

    async def _publish_all(self, key: Key, job: Job, pods: Sequence[Pod], writes: Writes) -> bool:
        """Publish what is not out yet, in order. True when the terminal event is out."""
        uid, done = self._published.get(key, (job.uid, ()))
        shown = transitions(job, pods, self._sampler.of(job.uid))
        ended = outcome(job) is not None
        if not ended:
            shown += self._podless.look(job, pods, now=self._cluster.server_time())
            shown += self._waiting.held(job)
        known = _without_past_progress(done, shown) if uid == job.uid else set()
        for transition in shown:
            if transition.key in known or self._former_leader_did(transition):
                continue
            if transition.phase is Phase.SUSPENDED and job.released is not None and job.suspended_by is None:
                job = await writes.mark_suspended(job, by=transition.detail["by"])
            topic = Topic(Kind.LIFECYCLE, lifecycle_key(job.service, job.request_id, transition.phase))
            event = lifecycle_event(job, transition)
            await self._publisher.publish(topic, event, broker=job.broker, reply_to=job.reply_to)
            known.add(transition.key)
            # A set of one takes four times as much as a tuple, and thousands of Jobs have told one thing.
            self._published[key] = (job.uid, tuple(known))
            self._metrics.lifecycle_delay.observe(max(0.0, self._cluster.server_time() - transition.time))
            logger.info("%s", transition.phase)
            if transition.terminal:
                self._tracing.ended(job, shown)
        # All of it is out, now or since a look before: one whose release failed is not published again, but released.
        return ended

    def _former_leader_did(self, transition: Transition) -> bool:
        # Nobody says when a pod began to stall, or a Job to wait for this: that is told again rather than not at all.
        if transition.terminal or transition.phase in (Phase.STALLED, Phase.QUEUED):
            return False
        return transition.time < self._repeat_from


def _without_past_progress(done: Iterable[str], shown: Sequence[Transition]) -> set[str]:
    """Progress that is no longer shown never comes again: a Job that runs for weeks must not remember all of it."""
    now = {one.key for one in shown}
    return {key for key in done if key in now or not key.startswith(f"{Phase.PROGRESS}/")}
