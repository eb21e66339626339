"""Schedules as the cluster has them: when they run next, and how their runs ended."""

import asyncio
import time
from functools import partial

from events.jobs.observed import Schedule as Observed
from events.lifecycle.schedules import read_runs
from handler.console.backend import Backend
from handler.console.views.models import Schedule, ScheduleList
from handler.operations.schedules import find_schedules, is_over, last_outcome, next_run_of
from handler.operations.wording import clean
from handler.settings.connections import namespaces_of, selector_of
from k8s.base import KubernetesError

FRESH_SECONDS = 3.0
SHOWN_MOST = 1000
"""Schedules in an answer."""
SECONDS_MOST = 10.0
"""That the cluster is waited for, with all namespaces."""
PROBLEMS_MOST = 20
NAME = "schedules"
"""Of the answer, for whoever has it asked anew."""


async def schedules_view(backend: Backend) -> ScheduleList:
    """All schedules of the installation, oldest first; the cluster is asked every few seconds at most."""
    return await backend.answers.get(NAME, partial(_read, backend), fresh=FRESH_SECONDS)


async def _read(backend: Backend) -> ScheduleList:
    problems: list[str] = []
    namespaces, selector = namespaces_of(backend.settings, backend.cluster), selector_of(backend.settings)

    def skipped(error: Exception) -> None:
        problems.append(clean(error))

    try:
        async with asyncio.timeout(SECONDS_MOST):
            found = await find_schedules(backend.cluster, namespaces, selector=selector, skipped=skipped)
    except (KubernetesError, TimeoutError) as error:
        return ScheduleList(schedules=[], problems=[clean(error) or "the cluster does not answer in time"])
    if len(found) > SHOWN_MOST:
        problems.append(f"{len(found) - SHOWN_MOST} more schedules are not shown")
    if len(problems) > PROBLEMS_MOST:
        problems[PROBLEMS_MOST:] = [f"{len(problems) - PROBLEMS_MOST} more problems are not shown"]
    now = time.time()
    return ScheduleList(schedules=[_schedule(one, now) for one in found[:SHOWN_MOST]], problems=problems)


def _schedule(schedule: Observed, now: float) -> Schedule:
    runs = read_runs(schedule.runs)
    return Schedule(
        id=schedule.request_id,
        source=schedule.source,
        service=schedule.service,
        namespace=schedule.namespace,
        cron_job=schedule.name,
        cron=schedule.cron,
        time_zone=schedule.time_zone,
        suspended=schedule.suspend,
        over=is_over(schedule),
        last_run=runs.last,
        last_outcome=last_outcome(schedule),
        next_run=next_run_of(schedule, now),
        runs=runs.count,
        max_runs=schedule.max_runs,
        succeeded=runs.succeeded,
        failed=runs.failed,
        cancelled=runs.cancelled,
    )
