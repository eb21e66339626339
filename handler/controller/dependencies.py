"""Finds out how requests that Jobs wait for have ended, and writes it on those Jobs. Does not release them."""

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
from handler.controller.lookups import Lookups
from handler.controller.term import Term
from handler.effects.repeating import until_answered
from handler.effects.services import Services
from k8s.base import Key, NotFound

logger = logging.getLogger(__name__)

CONFLICT_SECONDS = 0.2
"""Seconds to wait after a dependent changed between our look and our write."""


class Dependencies:
    """The requests that waiting Jobs depend on, in one term. Each is looked up once; `settle` tells of later ends."""

    def __init__(self, services: Services, term: Term) -> None:
        self._cluster = services.cluster
        self._namespaces = services.namespaces
        self._instance = services.settings.instance
        self._cache = term.cache
        self._writes = term.writes
        self._dependents: defaultdict[str, set[Key]] = defaultdict(set)
        self._wanted: dict[Key, tuple[str, ...]] = {}
        self._found: dict[Key, dict[str, Dependency]] = {}
        self._lookups: Lookups[tuple[str, ...]] = Lookups()

    def known(self, job: Job) -> dict[str, Dependency]:
        """What is known so far of the requests that the Job waits for, by id. The first call starts the look-up."""
        key = (job.namespace, job.name)
        if key not in self._wanted:
            wanted = read_queueing(job.queueing).dependencies
            if not wanted:
                return {}
            self._wanted[key] = wanted
            for request_id in wanted:
                self._dependents[request_id].add(key)
            self._lookups.ask(key, wanted)
        return self._found.get(key, {})

    def appeared(self, job: Job) -> set[Key]:
        """There is a Job of this request. Returns the dependents that this is news for."""
        dependents = self._dependents.get(job.request_id, set())
        new = {key for key in dependents if job.request_id not in self._found.get(key, {})}
        for key in new:
            self._found.setdefault(key, {})[job.request_id] = Dependency(id=job.request_id, outcome=None, seen=True)
        return new

    def forget(self, key: Key) -> None:
        """The Job no longer waits."""
        for request_id in self._wanted.pop(key, ()):
            self._dependents[request_id].discard(key)
            if not self._dependents[request_id]:
                del self._dependents[request_id]
        self._found.pop(key, None)
        self._lookups.forget(key)

    async def run(self, notify: Callable[[Iterable[Key]], None]) -> None:
        """Look up what `known` asked for, until cancelled. `notify` gets the key of each Job with news."""
        await self._lookups.run(self._look_up, notify)

    async def settle(self, job: Job, ended: str) -> list[Key]:
        """Before a Job's finalizer goes: write how it ended on the Jobs that wait for it. Returns their keys."""
        written = []
        for key in sorted(self._dependents.get(job.request_id, ())):
            dependent = self._cache.get(key)
            if dependent is not None and self._means(dependent, job):
                await self._write(key, {job.request_id: ended})
                written.append(key)
        return written

    def _means(self, dependent: Job, job: Job) -> bool:
        """Whether the dependent waits for this Job: it has the same source, or no Job of that id has."""
        if dependent.source == job.source:
            return True
        same_id = (other for other in self._cache.jobs() if other.request_id == job.request_id)
        return not any(other.source == dependent.source for other in same_id)

    async def _look_up(self, key: Key, wanted: Sequence[str]) -> None:
        ended: dict[str, str] = {}
        found: dict[str, Dependency] = {}
        dependent = self._cache.get(key)
        if dependent is None:
            return
        written = read_outcomes(dependent.dependencies)
        for request_id in wanted:
            if request_id in written:
                continue
            job = _meant(await self._jobs_of(request_id), dependent.source)
            if job is None:
                continue
            end = outcome(job) if next_attempt_at(job) is None else None
            found[request_id] = Dependency(id=request_id, outcome=None, seen=True)
            if end is not None:
                ended[request_id] = str(end.phase)
        if key in self._wanted:
            self._found.setdefault(key, {}).update(found)
        if ended:
            await self._write(key, ended)

    async def _jobs_of(self, request_id: str) -> list[Job]:
        return await until_answered(lambda: self._list(request_id), complain=_complain)

    async def _list(self, request_id: str) -> list[Job]:
        selector = f"{Label.INSTANCE}={self._instance},{Label.REQUEST}={request_label(request_id)}"
        return await self._cluster.find_jobs(self._namespaces, selector)

    async def _write(self, key: Key, ended: dict[str, str]) -> None:
        """Repeat until it is written, or the Job is gone or done with."""
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
    """The newest Job of this source; if there is none, of the source that sorts first."""
    found = [job for job in jobs if job.source == source] or list(jobs)
    chosen = min((job.source for job in found), default=source)
    newest = (job for job in found if job.source == chosen)
    return max(newest, key=lambda job: (job.created, job.name), default=None)
