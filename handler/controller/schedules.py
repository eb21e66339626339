"""Looks after schedules: publishes their events, turns Jobs that Kubernetes makes for them into requests, ends them.

Kubernetes decides when a run is due. What becomes of a run is up to `controller`, as with any Job.
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
from handler.controller.astray.schedules import AstraySchedules
from handler.controller.astray.treatment import searching
from handler.controller.published import Published
from handler.controller.term import Term
from handler.controller.workqueue import NewerFormat, Workers, WorkQueue
from handler.effects.services import Services
from handler.telemetry.logcontext import about, also
from k8s.base import Key, NotFound, Refused

logger = logging.getLogger(__name__)

WORKERS = 16
"""Schedules that are looked at concurrently."""
NO_OWNER = ""
"""Stands for the CronJob's name, for Jobs that were orphaned when their CronJob was deleted."""


class Schedules:
    """The schedules of one term of leadership. A key is a CronJob's namespace and name."""

    def __init__(self, services: Services, term: Term) -> None:
        self._cluster = services.cluster
        self._namespaces = services.namespaces
        self._settings = services.settings
        self._metrics = services.metrics
        self._outages = services.outages
        self._cache = term.cache
        self._writes = term.writes
        self._previous = term.previous
        self._published = Published(services, term)
        self._astray = AstraySchedules(services, term)
        self._queue = WorkQueue()
        self._running = False
        self._owner: dict[Key, Key] = {}
        self._runs: defaultdict[Key, set[Key]] = defaultdict(set)

    def oldest(self) -> float:
        """Everything before this time (epoch seconds) is published; 0 until every schedule is queued for a look."""
        return self._queue.oldest() if self._running else 0.0

    @property
    def known(self) -> bool:
        """Whether the runs of all schedules are known."""
        return self._running

    def changed(self, jobs: Iterable[Key]) -> None:
        """These Jobs, of schedules or not, have changed or are gone."""
        for key in jobs:
            job = self._cache.get(key) or self._cache.new_run(key)
            before = self._owner.pop(key, None)
            if before is not None:
                self._drop_run(before, key)
                self._look_at(before)
            if job is not None and job.run is not None:
                owner = (job.namespace, job.schedule or NO_OWNER)
                self._owner[key] = owner
                self._runs[owner].add(key)
                self._look_at(owner)

    def jobs_of(self, schedule: Schedule) -> Iterator[Job]:
        """Its Jobs: runs, and new runs that have not got our finalizer yet."""
        for key in self._runs.get(_key(schedule), ()):
            run = self._cache.get(key) or self._cache.new_run(key)
            if run is not None and run.schedule_uid == schedule.uid:
                yield run

    async def settle(self, job: Job) -> None:
        """After a Job's terminal event, before its finalizer goes: if it is a run, note its outcome on its schedule."""
        end = outcome(job)
        schedule = self._cache.schedules.get((job.namespace, job.schedule or NO_OWNER))
        if end is None or job.run is None or schedule is None or schedule.uid != job.schedule_uid or schedule.newer:
            return
        runs = read_runs(schedule.runs)
        present = {run.run for run in self.jobs_of(schedule) if run.run is not None}
        noted = runs.ending(job.run, end.phase, at=end.time, held=present)
        if noted == runs:
            return
        try:
            await self._writes.note_runs(schedule, noted)
        except NotFound:
            pass  # The schedule is gone, and its record with it.
        except Refused as error:
            # The run's end is published: its finalizer must not wait for a CronJob that cannot be changed any more.
            logger.warning("the outcome of a run is not noted on its CronJob: %s", error)

    async def run(self) -> None:
        """Look at what changes, until cancelled. Raises `LeadershipLost` (in a group)."""
        self._queue.add((_key(schedule) for schedule in self._cache.schedules.all()), since=self._previous or 0.0)
        self._queue.add(self._cache.schedules.stray_keys(), since=float("inf"))
        self.changed((job.namespace, job.name) for job in (*self._cache.jobs(), *self._cache.new_runs()))
        self._running = True
        async with asyncio.TaskGroup() as group:
            group.create_task(self._feed())
            group.create_task(searching(self._astray.search, self._namespaces))
            workers = Workers(self._queue, metrics=self._metrics, outages=self._outages, at_once=WORKERS)
            await workers.run(self._look)

    async def _feed(self) -> None:
        while True:
            # Read before waiting: every change returned below happened later.
            fresh = self._cache.fresh()
            self._queue.add(await self._cache.schedules.changed(), since=fresh)

    def _drop_run(self, owner: Key, key: Key) -> None:
        self._runs[owner].discard(key)
        if not self._runs[owner]:
            del self._runs[owner]

    def _look_at(self, key: Key) -> None:
        # What its runs do makes no event of the schedule, so it must not hold back `oldest`: no lower bound.
        self._queue.add([key], since=float("inf"))

    async def _look(self, key: Key) -> None:
        about(namespace=key[0], cron_job=key[1])
        if key[1] == NO_OWNER:
            await self._delete_orphans(key)
            return
        schedule = self._cache.schedules.get(key)
        if schedule is None:
            self._published.forget(key)
            self._queue.forget(key)
            await self._astray.attend(key)
            return
        also(job_id=schedule.request_id)
        if schedule.newer:
            raise NewerFormat
        try:
            await self._publish(schedule, scheduled(schedule))
        except BrokerUnavailable:
            # Runs do not wait for the broker.
            await self._adopt_runs(schedule)
            raise
        schedule = await self._adopt_runs(schedule)
        if schedule.deleted is not None or self._is_over(schedule):
            await self._publish(schedule, unscheduled(schedule))
            await self._end(schedule)

    async def _delete_orphans(self, owner: Key) -> None:
        """Delete Jobs whose schedule was gone before they became runs."""
        for key in list(self._runs.get(owner, ())):
            run = self._cache.new_run(key)
            if run is not None:
                await self._delete(run)

    async def _adopt_runs(self, schedule: Schedule) -> Schedule:
        """Turn new runs into requests, one after the other. Returns the schedule as it is then."""
        if schedule.deleted is None:
            for run in self._new_runs(schedule):
                schedule = await self._adopt(schedule, run)
        return schedule

    def _new_runs(self, schedule: Schedule) -> list[Job]:
        """In the order of their scheduled times, but a run that is counted already comes first."""
        counted = read_runs(schedule.runs).job
        new = [run for run in self.jobs_of(schedule) if run.new_run and not run.newer]
        return sorted(new, key=lambda run: (run.uid != counted, run_time(run), run.name))

    async def _adopt(self, schedule: Schedule, run: Job) -> Schedule:
        """Count the run, then make it a request; delete it if it exceeds `max_runs`. Raises `Conflict`.

        Returns the schedule as it is then.
        """
        runs = read_runs(schedule.runs)
        if runs.job != run.uid:
            if not await self._may_run(schedule, run):
                await self._delete(run)
                return schedule
            counting = runs.counting(run, lost=self._is_lost(schedule, runs))
            if schedule.max_runs is not None and counting.count > schedule.max_runs:
                logger.info("a run too many is deleted: %s", run.name)
                await self._delete(run)
                return schedule
            # Count it before it runs: after a crash in between, the next leader finds it counted.
            schedule = await self._writes.note_runs(schedule, counting)
        governed = self._settings.governs(read_queueing(run.queueing), run.service)
        time = run_time(run)
        with suppress(NotFound):  # Deleted meanwhile: then it is no run.
            await self._writes.adopt(run, request_id=run_id(schedule.request_id, time), time=time, governed=governed)
            logger.info("run of %s", time)
        return schedule

    async def _may_run(self, schedule: Schedule, run: Job) -> bool:
        """Keep `concurrencyPolicy` between what Kubernetes makes and runs that were asked for, unknown to it.

        Whoever asked for a run has had this looked at before.
        """
        if run.commanded or run.scheduled_at is None:
            return True
        asked = [one for one in self.jobs_of(schedule) if one.commanded and not one.finished and one.deleted is None]
        if asked and schedule.concurrency_policy == "Forbid":
            logger.info("a run is left out: one that was asked for is not over: %s", run.name)
            return False
        if schedule.concurrency_policy == "Replace":
            for one in asked:
                await self._delete(one)
        return True

    def _is_lost(self, schedule: Schedule, runs: Runs) -> bool:
        """Whether the run counted last was deleted before it became a request: the end of any other would be known."""
        if runs.job is None or runs.last in runs.recent:
            return False
        # Its first attempt may be gone while a later attempt is here.
        return all(run.uid != runs.job and run.run != runs.last for run in self.jobs_of(schedule))

    def _is_over(self, schedule: Schedule) -> bool:
        """Whether the ends of all runs that it may have are published."""
        told = read_runs(schedule.runs).recent
        return is_exhausted(schedule) and all(run.run in told for run in self.jobs_of(schedule))

    async def _end(self, schedule: Schedule) -> None:
        """After `unscheduled`: drop our finalizer, or delete the CronJob once no repeated request can make it anew."""
        if schedule.deleted is not None:
            await self._writes.drop_schedule_finalizer(schedule)
            return
        wait = schedule.created + self._settings.dedup_seconds - self._cluster.server_time()
        if wait > 0:
            self._queue.add_later(_key(schedule), wait)
        else:
            await self._writes.delete_schedule(schedule)

    async def _publish(self, schedule: Schedule, transition: Transition) -> None:
        """Publish it once, or once more after a change of leaders."""
        key = _key(schedule)
        if self._published.has(key, schedule, transition):
            return
        await self._published.publish(key, schedule, transition, schedule_event(schedule, transition))

    async def _delete(self, run: Job) -> None:
        with suppress(NotFound):
            await self._writes.delete(run)


def _key(schedule: Schedule) -> Key:
    return schedule.namespace, schedule.name
