"""Keeps schedules: tells of them, makes each Job that Kubernetes makes for one a request, ends those that are over.

When a time has come is for Kubernetes to say; what becomes of a run is the controller's business, as of any Job.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress

from adapters.base import BrokerUnavailable
from events.jobs.observed import Job, Schedule
from events.jobs.queueing import read_queueing
from events.lifecycle.events import schedule_event
from events.lifecycle.outcome import outcome
from events.lifecycle.schedules import Runs, is_exhausted, read_runs, run_id, run_time, scheduled, unscheduled
from events.lifecycle.transitions import Transition
from handler.controller.published import Published
from handler.controller.term import Term
from handler.controller.workqueue import Key, NewerFormat, Workers, WorkQueue
from handler.effects.services import Services
from handler.telemetry.logcontext import about, also
from k8s.base import NotFound, Refused

logger = logging.getLogger(__name__)

WORKERS = 16
"""Schedules that are looked at concurrently."""
NOBODYS = ""
"""In place of a CronJob's name: Jobs that were made for one that let go of them when it went."""


class Schedules:
    """The schedules of one term of leadership. A key is a CronJob's namespace and name."""

    def __init__(self, services: Services, term: Term) -> None:
        self._cluster = services.cluster
        self._settings = services.settings
        self._metrics = services.metrics
        self._cache = term.cache
        self._writes = term.writes
        self._previous = term.previous
        self._published = Published(services, term)
        self._queue = WorkQueue()
        self._running = False
        self._owner: dict[Key, Key] = {}
        self._runs: defaultdict[Key, set[Key]] = defaultdict(set)

    def oldest(self) -> float:
        """Everything before this time (epoch seconds) is told; 0 until each schedule has been taken up."""
        return self._queue.oldest() if self._running else 0.0

    def changed(self, jobs: Iterable[Key]) -> None:
        """These Jobs, of schedules or not, are not what they were, or are gone."""
        for key in jobs:
            job = self._cache.get(key) or self._cache.new_run(key)
            before = self._owner.pop(key, None)
            if before is not None:
                self._runs[before].discard(key)
                self._look_at(before)
            if job is not None and job.run is not None:
                owner = (job.namespace, job.schedule or NOBODYS)
                self._owner[key] = owner
                self._runs[owner].add(key)
                self._look_at(owner)

    async def settle(self, job: Job) -> None:
        """Its terminal event is out: if it is a run, note how it ended on its schedule before its finalizer goes."""
        end = outcome(job)
        schedule = self._cache.schedules.get((job.namespace, job.schedule or NOBODYS))
        if end is None or job.run is None or schedule is None or schedule.uid != job.schedule_uid or schedule.newer:
            return
        runs = read_runs(schedule.runs)
        held = {run.run for run in self._of(schedule) if run.run is not None}
        noted = runs.ending(job.run, end.phase, at=end.time, held=held)
        if noted == runs:
            return
        try:
            await self._writes.note_runs(schedule, noted)
        except NotFound:
            pass  # It went, and nobody will ask.
        except Refused as error:
            # The run's end is told: that must not wait for a CronJob that cannot be changed any more.
            logger.warning("the outcome of a run is not noted on its CronJob: %s", error)

    async def run(self) -> None:
        """Act until cancelled. Raises `LeadershipLost` (in a group)."""
        self._queue.add((_key(schedule) for schedule in self._cache.schedules.all()), since=self._previous or 0.0)
        self.changed((job.namespace, job.name) for job in (*self._cache.jobs(), *self._cache.new_runs()))
        self._running = True
        async with asyncio.TaskGroup() as group:
            group.create_task(self._feed())
            await Workers(self._queue, metrics=self._metrics, at_once=WORKERS).run(self._look)

    async def _feed(self) -> None:
        while True:
            # Read before waiting: every change returned below happened later.
            fresh = self._cache.fresh()
            self._queue.add(await self._cache.schedules.changed(), since=fresh)

    def _look_at(self, key: Key) -> None:
        # What its runs do is told of them, not of it: what the leader vouches for stays.
        self._queue.add([key], since=float("inf"))

    async def _look(self, key: Key) -> None:
        about(namespace=key[0], cron_job=key[1])
        if key[1] == NOBODYS:
            await self._drop_strays(key)
            return
        schedule = self._cache.schedules.get(key)
        if schedule is None:
            self._published.forget(key)
            self._queue.forget(key)
            return
        also(job_id=schedule.request_id)
        if schedule.newer:
            raise NewerFormat
        try:
            await self._publish(schedule, scheduled(schedule))
        except BrokerUnavailable:
            # Runs do not wait for the broker.
            await self._take_runs(schedule)
            raise
        schedule = await self._take_runs(schedule)
        if schedule.deleted is not None or self._is_over(schedule):
            await self._publish(schedule, unscheduled(schedule))
            await self._end(schedule)

    async def _drop_strays(self, key: Key) -> None:
        """What was made for a schedule that was gone before it became a run."""
        for one in list(self._runs[key]):
            run = self._cache.new_run(one)
            if run is not None:
                await self._delete(run)

    async def _take_runs(self, schedule: Schedule) -> Schedule:
        """Make new runs requests, one after the other. The schedule as it is then."""
        if schedule.deleted is None:
            for run in self._new_runs(schedule):
                schedule = await self._take(schedule, run)
        return schedule

    def _new_runs(self, schedule: Schedule) -> list[Job]:
        """In the order of their times, but for one that is counted already: it comes first."""
        counted = read_runs(schedule.runs).job
        new = [run for run in self._of(schedule) if run.new_run and not run.newer]
        return sorted(new, key=lambda run: (run.uid != counted, run_time(run), run.name))

    async def _take(self, schedule: Schedule, run: Job) -> Schedule:
        """Count it, then let it go; one that would be one too many is deleted. Raises `Conflict`."""
        runs = read_runs(schedule.runs)
        if runs.job != run.uid:
            counting = runs.counting(run, lost=self._is_lost(schedule, runs))
            if schedule.max_runs is not None and counting.count > schedule.max_runs:
                logger.info("a run too many is deleted: %s", run.name)
                await self._delete(run)
                return schedule
            # Before it runs: whoever comes after a crash in between finds it counted.
            schedule = await self._writes.note_runs(schedule, counting)
        governed = self._settings.governs(read_queueing(run.queueing), run.service)
        time = run_time(run)
        with suppress(NotFound):  # Somebody deleted it: then it is no run.
            await self._writes.adopt(run, request_id=run_id(schedule.request_id, time), time=time, governed=governed)
            logger.info("run of %s", time)
        return schedule

    def _is_lost(self, schedule: Schedule, runs: Runs) -> bool:
        """Whether the run counted last was deleted before it was let go: of any other the end would be known."""
        if runs.job is None or runs.last in runs.recent:
            return False
        # Its first attempt may be gone, and another one here.
        return all(run.uid != runs.job and run.run != runs.last for run in self._of(schedule))

    def _is_over(self, schedule: Schedule) -> bool:
        """All runs that it may have were told to their ends."""
        told = read_runs(schedule.runs).recent
        return is_exhausted(schedule) and all(run.run in told for run in self._of(schedule))

    def _of(self, schedule: Schedule) -> Iterator[Job]:
        """Its Jobs, new and held."""
        for key in self._runs.get(_key(schedule), ()):
            run = self._cache.get(key) or self._cache.new_run(key)
            if run is not None and run.schedule_uid == schedule.uid:
                yield run

    async def _end(self, schedule: Schedule) -> None:
        """Its end is told: let it go, or delete it as soon as no repeat of its request could make it anew."""
        if schedule.deleted is not None:
            await self._writes.drop_schedule_finalizer(schedule)
            return
        wait = schedule.created + self._settings.dedup_seconds - self._cluster.server_time()
        if wait > 0:
            self._queue.add_later(_key(schedule), wait)
        else:
            await self._writes.delete_schedule(schedule)

    async def _publish(self, schedule: Schedule, transition: Transition) -> None:
        """Once, or once more after a change of leaders."""
        key = _key(schedule)
        if self._published.has(key, schedule, transition):
            return
        await self._published.publish(key, schedule, transition, schedule_event(schedule, transition))

    async def _delete(self, run: Job) -> None:
        with suppress(NotFound):
            await self._writes.delete(run)


def _key(schedule: Schedule) -> Key:
    return schedule.namespace, schedule.name
