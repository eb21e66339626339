"""How requests that others wait for have ended: found in the cluster, and written on those that wait. Admits nobody."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from events.identity import request_label
from events.jobs.attempts import next_attempt_at
from events.jobs.observed import Job
from events.jobs.queueing import read_outcomes, read_queueing
from events.lifecycle.outcome import outcome
from events.names import Label
from handler.admission.data import Dependency
from handler.controller.term import Term
from handler.effects.repeating import until_answered
from handler.effects.services import Services
from k8s.base import Malformed, NotFound
from k8s.informer.jobs import Key
from k8s.reading.job import job_of

logger = logging.getLogger(__name__)

CONFLICT_SECONDS = 0.2
"""After somebody else changed a dependent just now."""


class Dependencies:
    """The requests that waiting Jobs of one leader depend on. Each is looked up once; what ends later is told us."""

    def __init__(self, services: Services, term: Term) -> None:
        self._cluster = services.cluster
        self._namespaces = services.namespaces
        self._instance = services.settings.instance
        self._cache = term.cache
        self._writes = term.writes
        self._dependents: defaultdict[str, set[Key]] = defaultdict(set)
        self._wanted: dict[Key, tuple[str, ...]] = {}
        self._found: dict[Key, dict[str, Dependency]] = {}
        self._asked: dict[Key, None] = {}
        self._news = asyncio.Event()

    def known(self, job: Job) -> dict[str, Dependency]:
        """What was found out for this Job so far, by the ids of the requests it waits for. Looks up what was not."""
        key = (job.namespace, job.name)
        if key not in self._wanted:
            wanted = read_queueing(job.queueing).dependencies
            if not wanted:
                return {}
            self._wanted[key] = wanted
            for one in wanted:
                self._dependents[one].add(key)
            self._asked[key] = None
            self._news.set()
        return self._found.get(key, {})

    def appeared(self, job: Job) -> set[Key]:
        """There is a Job of this request: whom that is news for."""
        dependents = self._dependents.get(job.request_id, set())
        new = {key for key in dependents if job.request_id not in self._found.get(key, {})}
        for key in new:
            self._found.setdefault(key, {})[job.request_id] = Dependency(id=job.request_id, outcome=None, seen=True)
        return new

    def forget(self, key: Key) -> None:
        """It waits no more."""
        for one in self._wanted.pop(key, ()):
            self._dependents[one].discard(key)
            if not self._dependents[one]:
                del self._dependents[one]
        self._found.pop(key, None)
        self._asked.pop(key, None)

    async def run(self, tell: Callable[[Iterable[Key]], None]) -> None:
        """Look up what `known` asked for, until cancelled. `tell` gets the key of each Job with news."""
        while True:
            await self._news.wait()
            self._news.clear()
            while self._asked:
                key = next(iter(self._asked))
                del self._asked[key]
                await self._look_up(key)
                tell([key])

    async def settle(self, job: Job, ended: str) -> list[Key]:
        """Before its finalizer goes: write on all that wait for this request that it ended so. Answers who they are."""
        told = []
        for key in sorted(self._dependents.get(job.request_id, ())):
            dependent = self._cache.get(key)
            if dependent is not None and self._means(dependent, job):
                await self._write(key, {job.request_id: ended})
                told.append(key)
        return told

    def _means(self, dependent: Job, job: Job) -> bool:
        """Of the same source, or there is none of its source."""
        if dependent.source == job.source:
            return True
        same = (one for one in self._cache.jobs() if one.request_id == job.request_id)
        return not any(one.source == dependent.source for one in same)

    async def _look_up(self, key: Key) -> None:
        ended: dict[str, str] = {}
        found: dict[str, Dependency] = {}
        dependent = self._cache.get(key)
        if dependent is None:
            return
        written = read_outcomes(dependent.dependencies)
        for one in self._wanted.get(key, ()):
            if one in written:
                continue
            job = _meant(await self._jobs_of(one), dependent.source)
            if job is None:
                continue
            end = outcome(job) if next_attempt_at(job) is None else None
            found[one] = Dependency(id=one, outcome=None, seen=True)
            if end is not None:
                ended[one] = str(end.phase)
        if key in self._wanted:
            self._found.setdefault(key, {}).update(found)
        if ended:
            await self._write(key, ended)

    async def _jobs_of(self, request_id: str) -> list[Job]:
        return await until_answered(lambda: self._list(request_id), complain=_complain)

    async def _list(self, request_id: str) -> list[Job]:
        selector = f"{Label.INSTANCE}={self._instance},{Label.REQUEST}={request_label(request_id)}"
        jobs: list[Job] = []
        for namespace in self._namespaces:
            for manifest in await self._cluster.list_jobs(namespace, selector):
                with suppress(Malformed):
                    jobs.append(job_of(manifest))
        return jobs

    async def _write(self, key: Key, ended: dict[str, str]) -> None:
        """Until it stands there, or the Job is gone or no longer waits."""
        with suppress(NotFound):
            await until_answered(lambda: self._write_once(key, ended), conflict_seconds=CONFLICT_SECONDS)

    async def _write_once(self, key: Key, ended: dict[str, str]) -> None:
        job = self._cache.get(key)
        if job is None:
            return
        written = read_outcomes(job.dependencies)
        if not ended.items() <= written.items():
            await self._writes.note_outcomes(job, {**ended, **written})


def _complain(error: Exception) -> None:
    logger.warning("cannot look up a dependency, trying again: %s", error)


def _meant(jobs: Sequence[Job], source: str) -> Job | None:
    """The one that stands for the request: of this source, else of any; one that has not ended before one that has."""
    same = [job for job in jobs if job.source == source] or list(jobs)
    same = [job for job in same if job.source == min(one.source for one in same)]
    return max(same, key=lambda job: (job.created, job.name), default=None)
