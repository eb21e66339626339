"""Finds out how requests that Jobs wait for have ended, and writes it on those Jobs. Does not release them."""

import asyncio
import logging
from collections.abc import Callable, Container, Iterable, Sequence
from contextlib import suppress
from functools import partial

from events.jobs.attempts import next_attempt_at
from events.jobs.observed import Job
from events.jobs.queueing import Queueing, read_outcomes
from events.lifecycle.outcome import outcome
from events.phases import Phase
from handler.admission.data import Needs
from handler.controller.dependents import Dependents
from handler.controller.searches import Answer, Question, Searches
from handler.controller.term import Term
from handler.effects.repeating import until_answered
from handler.effects.services import Services
from k8s.base import Key, Malformed, NotFound, Refused

logger = logging.getLogger(__name__)

CONFLICT_SECONDS = 0.2
"""Seconds to wait after a dependent changed between our look and our write."""
SETTLED_AT_ONCE = 100
"""Dependents that are written in one go: then other Jobs have their turn."""
LOOKED_AT = 500
"""Dependents that are looked at until other work goes on."""
WRITERS = 16
"""Dependents that are written concurrently after look-ups."""


class _Held:
    """What a Job waits for. `ids`: of requests whose end is not written on it yet, when it was first seen."""

    __slots__ = ("ids", "question", "queueing", "searched")

    def __init__(self, queueing: str | None, ids: tuple[str, ...]) -> None:
        self.queueing = queueing
        self.ids = ids
        self.question: Question | None = None
        self.searched = False


class Dependencies:
    """The requests that waiting Jobs depend on, in one term. Each is looked up once; `settle` tells of later ends."""

    def __init__(self, services: Services, term: Term) -> None:
        self._cache = term.cache
        self._writes = term.writes
        self._searches = Searches(services)
        self._dependents = Dependents()
        self._held: dict[Key, _Held] = {}
        self._seen: set[str] = set()
        self._to_write: asyncio.Queue[tuple[Key, dict[str, str]]] = asyncio.Queue()
        self._notify: Callable[[Iterable[Key]], None] = lambda _: None

    @property
    def seen(self) -> Container[str]:
        """Ids of requests that have a Job, or had one: of those that Jobs wait for."""
        return self._seen

    def needs(self, job: Job, asked: Queueing) -> Needs | None:
        """What is known of the requests that the Job waits for; None if it waits for none.

        `asked`: its annotation `queueing`, read. The first call starts the look-up.
        """
        if not asked.dependencies:
            return None
        key, outcomes = (job.namespace, job.name), read_outcomes(job.dependencies)
        held = self._held.get(key)
        if held is None or held.queueing != job.queueing:
            self.forget(key)
            held = self._hold(key, job, tuple(one for one in asked.dependencies if one not in outcomes))
        failed = (
            (one, end) for one in asked.dependencies if (end := outcomes.get(one, Phase.SUCCEEDED)) != "succeeded"
        )
        return Needs(
            open=tuple(one for one in held.ids if one not in outcomes) if outcomes else held.ids,
            failed=next(failed, None) if outcomes else None,
            run_on_failure=asked.run_on_failure,
            until=job.created + asked.dependency_timeout,
            searched=held.searched,
        )

    def wanted(self, request_id: str) -> bool:
        """Whether a Job waits for a request of this id."""
        return request_id in self._dependents

    def appeared(self, job: Job) -> None:
        """There is a Job of this request."""
        if job.request_id in self._dependents:
            self._seen.add(job.request_id)

    def forget(self, key: Key) -> None:
        """The Job no longer waits."""
        held = self._held.pop(key, None)
        if held is None:
            return
        if held.question is not None:
            held.question.withdraw()
        for request_id in held.ids:
            self._done_with(key, request_id)

    async def run(self, notify: Callable[[Iterable[Key]], None]) -> None:
        """Look up what `needs` asked for, until cancelled. `notify` gets the key of each Job with news."""
        self._notify = notify
        async with asyncio.TaskGroup() as group:
            group.create_task(self._searches.run())
            for _ in range(WRITERS):
                group.create_task(self._write_found())

    async def settle(self, job: Job, ended: str) -> tuple[list[Key], bool]:
        """Before a Job's finalizer goes: write how it ended on the Jobs that wait for it.

        Returns the keys of those that were written, and whether none is left: else call it again.
        """
        written: list[Key] = []
        means: dict[str, bool] = {}
        for number, key in enumerate(self._dependents.of(job.request_id), 1):
            if number % LOOKED_AT == 0:
                await asyncio.sleep(0)
            dependent = self._cache.get(key)
            if dependent is None:
                continue
            if dependent.source not in means:
                means[dependent.source] = self._means(dependent.source, job)
            if not means[dependent.source]:
                continue
            if len(written) == SETTLED_AT_ONCE:
                return written, False
            await self._write(key, {job.request_id: ended})
            self._done_with(key, job.request_id)
            written.append(key)
        return written, True

    def _hold(self, key: Key, job: Job, ids: tuple[str, ...]) -> _Held:
        held = self._held[key] = _Held(job.queueing, ids)
        held.searched = not ids
        for request_id in ids:
            self._dependents.add(request_id, key)
            if next(self._cache.of_request(request_id), None) is not None:
                self._seen.add(request_id)
        if ids:
            done = partial(self._answered, key, held)
            held.question = self._searches.ask(ids, group=job.service or "", done=done)
        return held

    def _done_with(self, key: Key, request_id: str) -> None:
        self._dependents.discard(request_id, key)
        if request_id not in self._dependents:
            self._seen.discard(request_id)

    def _means(self, source: str, job: Job) -> bool:
        """Whether dependents of this source wait for this Job: it has the same source, or no Job of that id has."""
        return source == job.source or next(self._cache.of_request(job.request_id, source), None) is None

    def _answered(self, key: Key, held: _Held, answer: Answer) -> None:
        held.question = None
        dependent = self._cache.get(key)
        if dependent is None or self._held.get(key) is not held:
            return
        ended: dict[str, str] = {}
        for request_id, jobs in answer.items():
            job = _meant(jobs, dependent.source)
            if request_id in self._dependents:
                self._seen.add(request_id)
            end = outcome(job) if next_attempt_at(job) is None else None
            if end is not None:
                ended[request_id] = str(end.phase)
        if ended:
            self._to_write.put_nowait((key, ended))
        else:
            held.searched = True
            self._notify([key])

    async def _write_found(self) -> None:
        while True:
            key, ended = await self._to_write.get()
            held = self._held.get(key)
            await self._write(key, ended)
            if held is not None:
                held.searched = True
            self._notify([key])

    async def _write(self, key: Key, ended: dict[str, str]) -> None:
        """Repeat until it is written, or the Job is gone or done with."""
        try:
            with suppress(NotFound):
                await until_answered(lambda: self._write_once(key, ended), conflict_seconds=CONFLICT_SECONDS)
        except (Refused, Malformed) as error:
            # Whoever refuses what is written on this Job must hold up no other.
            logger.error("how a dependency ended cannot be written on a Job that waits for it: %s", error)

    async def _write_once(self, key: Key, ended: dict[str, str]) -> None:
        job = self._cache.get(key)
        if job is None:
            return
        written = read_outcomes(job.dependencies)
        if not ended.items() <= written.items():
            await self._writes.note_outcomes(job, {**ended, **written})


def _meant(jobs: Sequence[Job], source: str) -> Job:
    """The newest of these Jobs of this source; if there is none, of the source that sorts first."""
    found = [job for job in jobs if job.source == source] or list(jobs)
    chosen = min(job.source for job in found)
    newest = (job for job in found if job.source == chosen)
    return max(newest, key=lambda job: (job.created, job.name))
