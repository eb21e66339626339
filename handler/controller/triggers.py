"""Makes a run of a schedule now, for a control event. What becomes of it is up to `schedules`, as with any run."""

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress

from events.cloudevent.timestamp import format_epoch
from events.identity import command_hash, request_label, run_name
from events.jobs.observed import Job, Schedule
from events.lifecycle.schedules import is_exhausted, read_runs, run_time
from events.names import Annotation, Label
from events.request.control import Command
from handler.controller.schedules import Schedules
from handler.controller.term import Term
from handler.effects.deliveries import Rejection
from handler.effects.services import Services
from k8s.base import Conflict, Manifest, NotFound
from k8s.manifests.schedule import run_now
from k8s.reading.job import job_of

logger = logging.getLogger(__name__)

LONGEST_AHEAD = 59
"""Seconds that the time of a run may lie ahead, where runs of the seconds before are there."""


class Triggers:
    """Runs that commands ask for, one after the other: each sees those before it."""

    def __init__(self, services: Services, term: Term, schedules: Schedules) -> None:
        self._cluster = services.cluster
        self._cache = term.cache
        self._writes = term.writes
        self._schedules = schedules
        self._turn = asyncio.Lock()

    async def make(self, command: Command, schedule: Schedule) -> Job:
        """The run that this command makes, or has made before.

        Raises `Rejection`, `Conflict` when a later look is needed, and what writes raise.
        """
        async with self._turn:
            name = run_name(schedule.name, command_hash(command.source, command.event_id))
            made = await self._made(command, schedule.namespace, name)
            if made is None:
                await self._create(command, schedule, name)
                made = await self._made(command, schedule.namespace, name)
            if made is None:
                raise Conflict("the run is not to be seen yet")
            # Before the watch brings it: the next command has to know of it.
            self._cache.assume(made)
            self._schedules.changed([(made.namespace, made.name)])
            return made

    async def _made(self, command: Command, namespace: str, name: str) -> Job | None:
        try:
            found = await self._writes.maker.read_job(namespace, name)
        except NotFound:
            return None
        if (found["metadata"].get("annotations") or {}).get(Annotation.COMMAND) != command_hash(
            command.source, command.event_id
        ):
            raise Rejection("NAME_TAKEN", f"there is another Job named {name}")
        return job_of(found)

    async def _create(self, command: Command, schedule: Schedule, name: str) -> None:
        if schedule.deleted is not None or is_exhausted(schedule):
            raise Rejection("FINISHED", "the schedule is over")
        if not self._schedules.known:
            raise Conflict("its runs are not known yet")
        runs = list(self._schedules.jobs_of(schedule))
        _require_room(schedule, runs)
        going = [run for run in runs if not run.finished and run.deleted is None]
        if schedule.concurrency_policy == "Forbid" and going:
            raise Rejection(
                "RUN_IN_PROGRESS", f"its concurrencyPolicy is Forbid, and {going[0].request_id} is not over"
            )
        cron_job = await self._cron_job(schedule)
        if schedule.concurrency_policy == "Replace":
            for run in going:
                with suppress(NotFound):
                    await self._writes.delete(run)
        time, asked = self._free_time(schedule, runs), command_hash(command.source, command.event_id)
        logger.info("a run is made now, of the time %s", time)
        await self._writes.maker.create_job(run_now(cron_job, name=name, time=time, command=asked))

    async def _cron_job(self, schedule: Schedule) -> Manifest:
        # A list needs no permission that following schedules does not need, too.
        selector = f"{Label.REQUEST}={request_label(schedule.request_id)}"
        for cron_job in await self._cluster.list_cron_jobs(schedule.namespace, selector):
            if cron_job["metadata"]["uid"] == schedule.uid:
                return cron_job
        raise Conflict("the CronJob is gone, or has lost its labels")

    def _free_time(self, schedule: Schedule, runs: Iterable[Job]) -> str:
        """The time that the run is called by: now, or the next second that no run of this schedule has.

        Never a full minute: that is for the times of its cron expression.
        """
        noted = read_runs(schedule.runs)
        taken = {*(run_time(run) for run in runs), *noted.recent, noted.last}
        now = int(self._cluster.server_time())
        times = (format_epoch(now + ahead) for ahead in range(LONGEST_AHEAD + 1) if (now + ahead) % 60)
        for time in times:
            if time not in taken:
                return time
        raise Conflict("runs of all seconds up to a minute from now are there")


def _require_room(schedule: Schedule, runs: Iterable[Job]) -> None:
    """Raises `Rejection` if runs that are not counted yet are as many as it may still have."""
    noted = read_runs(schedule.runs)
    coming = sum(run.new_run and run.uid != noted.job for run in runs)
    if schedule.max_runs is not None and noted.count + coming >= schedule.max_runs:
        raise Rejection("FINISHED", "the schedule is over: its last run has come")
