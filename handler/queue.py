"""The loop around the decision in admission.py: lets Jobs go, and ends those that never can. Decides nothing itself."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

import orjson

from events.attempts import previous_key
from events.names import Phase
from events.observed import Job, Verdict
from events.outcome import outcome
from events.transitions import Transition
from handler.admission import admit
from handler.admission_data import Decisions, Entry, Fail, Hold, Reason, Snapshot
from handler.dependencies import Dependencies
from handler.logcontext import about, about_job
from handler.metrics import Metrics
from handler.places import Standing, entry_of, policy_of, standing
from handler.settings import Settings
from handler.writes import Writes
from k8s.base import Conflict, NotFound, Unavailable
from k8s.clock import backoff
from k8s.cluster import Cluster
from k8s.informer import JobCache, Key

logger = logging.getLogger(__name__)

WRITES_AT_ONCE = 64
FOR_ROOM = frozenset({Reason.LIMIT, Reason.EXCLUSIVE, Reason.PRIORITY})
"""Why a Job is held that could run at once if nobody else did."""


class Queue:
    """Who waits and who runs in one term of leadership, kept by changes; each decision is about all of them."""

    def __init__(
        self,
        *,
        cluster: Cluster,
        cache: JobCache,
        settings: Settings,
        namespaces: Sequence[str],
        metrics: Metrics,
    ) -> None:
        self._cluster = cluster
        self._cache = cache
        self._policy = policy_of(settings)
        self._metrics = metrics
        self._dependencies = Dependencies(
            cluster=cluster, cache=cache, namespaces=namespaces, instance=settings.instance
        )
        self._standing: dict[Key, Standing] = {}
        self._waiting: dict[Key, Entry] = {}
        self._active: dict[Key, Entry] = {}
        self._holds: dict[Key, Hold] = {}
        self._dirty: set[Key] = set()
        self._news = asyncio.Event()
        self._decided = False

    def changed(self, keys: Iterable[Key]) -> None:
        """These Jobs are not what they were, or are gone."""
        self._dirty |= set(keys)
        self._news.set()

    def held(self, job: Job) -> list[Transition]:
        """That the last decision held it, and why: once per reason, by its id."""
        hold = self._holds.get((job.namespace, job.name))
        if hold is None or job.queued is None:
            return []
        detail = {"attempt": job.attempt, "reason": str(hold.reason)} | (
            {"position": hold.position} if hold.position else {}
        )
        return [Transition(phase=Phase.QUEUED, suffix=str(hold.reason), time=job.created, detail=detail)]

    def counts(self) -> str | None:
        """For the Lease: JSON `{queued, waiting, active}`; None before everything was looked at once."""
        return orjson.dumps(self._counted()).decode() if self._decided else None

    async def settle(self, job: Job, writes: Writes) -> None:
        """Its terminal event is out: tell those that wait for this request before its finalizer goes."""
        end = outcome(job)
        if end is not None:
            self.changed(await self._dependencies.settle(job, str(end.phase), writes))

    async def run(self, writes: Writes, tell: Callable[[Iterable[Key]], None]) -> None:
        """Decide whenever something changed, until cancelled. `tell` gets the keys of Jobs held for another reason.

        Raises `LeadershipLost` (in a group).
        """
        self.changed((job.namespace, job.name) for job in self._cache.jobs())
        async with asyncio.TaskGroup() as group:
            group.create_task(self._dependencies.run(writes, self.changed))
            while True:
                self._refresh()
                with self._metrics.admission_seconds.time():
                    decisions = self._decide()
                tell(self._note(decisions))
                acted = await self._act(decisions, writes)
                await self._next(decisions, acted=acted)

    def _refresh(self) -> None:
        self._news.clear()
        dirty, self._dirty = self._dirty, set()
        for key in dirty:
            job, place = self._find(key)
            self._standing.pop(key, None)
            self._waiting.pop(key, None)
            self._active.pop(key, None)
            if job is None or place is Standing.OVER:
                self._dependencies.forget(key)
                continue
            self._standing[key] = place
            self._dirty |= self._dependencies.appeared(job)
            if place is Standing.WAITING:
                self._waiting[key] = entry_of(job, known=self._dependencies.known(job))
            elif place is Standing.ACTIVE:
                self._dependencies.forget(key)
                self._active[key] = entry_of(job, known={})

    def _find(self, key: Key) -> tuple[Job | None, Standing]:
        job = self._cache.get(key)
        if job is None or not job.held or job.newer:
            return None, Standing.OVER
        place, before = standing(job), previous_key(job)
        if place is Standing.WAITING and before is not None and self._cache.get(before) is not None:
            return job, Standing.COMING  # The attempt before is not done with yet.
        return job, place

    def _decide(self) -> Decisions:
        snapshot = Snapshot(active=list(self._active.values()), waiting=list(self._waiting.values()))
        return admit(snapshot, self._policy, self._cluster.server_time())

    def _note(self, decisions: Decisions) -> list[Key]:
        """Keep who is held and why. Answers for whom that is another reason than before."""
        holds = {hold.key: hold for hold in decisions.held}
        before, self._holds = self._holds, holds
        self._decided = True
        reasons = Counter(str(hold.reason) for hold in decisions.held)
        for reason in Reason:
            self._metrics.queued.labels(str(reason)).set(reasons[str(reason)])
        return [key for key, hold in holds.items() if key not in before or before[key].reason != hold.reason]

    def _counted(self) -> dict[str, int]:
        room = sum(hold.reason in FOR_ROOM for hold in self._holds.values())
        standing = Counter(self._standing.values())
        waiting = standing[Standing.HELD] + standing[Standing.WAITING] - room
        return {"queued": room + standing[Standing.COMING], "waiting": waiting, "active": standing[Standing.ACTIVE]}

    async def _act(self, decisions: Decisions, writes: Writes) -> bool:
        """Carry it out, so many at a time; on return all of it is known to be so, or known not to be."""
        free = asyncio.Semaphore(WRITES_AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for release in decisions.released:
                await free.acquire()
                group.create_task(self._release(release.key, writes)).add_done_callback(lambda _: free.release())
            for fail in decisions.failed:
                await free.acquire()
                group.create_task(self._fail(fail, writes)).add_done_callback(lambda _: free.release())
        return bool(decisions.released or decisions.failed)

    async def _release(self, key: Key, writes: Writes) -> None:
        about(namespace=key[0], job=key[1])
        job = self._waits_still(key)
        if job is None:
            return
        about_job(job)
        try:
            await writes.admit(job)
            self._metrics.admitted.inc()
            logger.info("admitted")
        except (Conflict, NotFound):
            await self._look_again(key, writes)
        except Unavailable as error:
            # It may have been let go all the same: it takes room until that is known.
            logger.warning("letting a Job go came to no answer: %s", error)
            await self._look_again(key, writes)
        self._dirty.add(key)

    async def _fail(self, fail: Fail, writes: Writes) -> None:
        about(namespace=fail.key[0], job=fail.key[1])
        job = self._waits_still(fail.key)
        if job is None:
            return
        about_job(job)
        verdict = Verdict(
            phase=Phase.FAILED, error_code=fail.code, message=fail.message, at=self._cluster.server_time()
        )
        try:
            await writes.give_verdict(job, verdict)
            self._metrics.verdicts.labels(fail.code).inc()
            logger.info("verdict: %s", fail.message, extra={"code": fail.code})
        except (Conflict, NotFound, Unavailable):
            await self._look_again(fail.key, writes)
        self._dirty.add(fail.key)

    def _waits_still(self, key: Key) -> Job | None:
        """The Job as it is now. None where a command, say, was faster than the many writes of one decision."""
        job, place = self._find(key)
        return job if place is Standing.WAITING else None

    async def _look_again(self, key: Key, writes: Writes) -> None:
        """Read it until the API server says what it is now: no decision may be made without knowing that."""
        attempt = 0
        while True:
            try:
                return await writes.reread(key)
            except NotFound:
                return None
            except Unavailable as error:
                attempt += 1
                await asyncio.sleep(backoff(attempt, retry_after=error.retry_after))

    async def _next(self, decisions: Decisions, *, acted: bool) -> None:
        """Until something changed, or a time has come that changes something."""
        at = decisions.look_again
        delay = None if at is None else max(0.0, at - self._cluster.server_time())
        if self._dirty or acted:
            delay = 0.0
        with suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await self._news.wait()
