"""Schedules as they are now: when they run, how often they have run, how their runs ended."""

from collections.abc import Callable, Sequence
from typing import Any

from events.jobs.observed import Schedule
from events.lifecycle.schedules import is_exhausted, next_run, read_runs
from events.phases import Phase
from handler.operations.facts import facts_of
from k8s.api.cluster import Cluster
from k8s.base import KubernetesError


async def find_schedules(
    cluster: Cluster, namespaces: Sequence[str], *, selector: str, skipped: Callable[[Exception], None]
) -> list[Schedule]:
    """Those that the label selector matches, oldest first, without copies.

    A namespace that cannot be read is left out; `skipped` is told so, and of objects that cannot be read.
    """
    found: list[Schedule] = []
    for namespace in namespaces:
        try:
            found += await cluster.find_schedules([namespace], selector, skipped=skipped)
        except KubernetesError as error:
            skipped(KubernetesError(f"schedules in {namespace}: {error}"))
    found = [schedule for schedule in found if schedule.stray is None]
    return sorted(found, key=lambda schedule: (schedule.created, schedule.name))


def schedule_facts(schedule: Schedule, *, now: float) -> dict[str, Any]:
    """All that is known of a schedule, as a document; times in RFC 3339."""
    runs = read_runs(schedule.runs)
    top = (
        *("request_id", "source", "service", "cron", "time_zone", "concurrency_policy", "suspend", "max_runs", "runs"),
        *("instance", "stray", "lost_labels"),
    )
    return {
        "kind": "schedule",
        "id": schedule.request_id,
        "source": schedule.source,
        "service": schedule.service,
        "phase": Phase.UNSCHEDULED if is_over(schedule) else Phase.SCHEDULED,
        "schedule": schedule.cron,
        "timeZone": schedule.time_zone,
        "concurrencyPolicy": schedule.concurrency_policy,
        "suspended": schedule.suspend,
        "lastRun": runs.last,
        "lastOutcome": last_outcome(schedule),
        "nextRun": next_run_of(schedule, now),
        "maxRuns": schedule.max_runs,
        "runs": facts_of(runs, without=("last", "job")),
        "cronJob": facts_of(schedule, without=top),
    }


def is_over(schedule: Schedule) -> bool:
    """Whether no further run will begin."""
    return schedule.deleted is not None or is_exhausted(schedule)


def last_outcome(schedule: Schedule) -> str | None:
    """How its last run ended; None before the first run, and while the last one goes on."""
    runs = read_runs(schedule.runs)
    return runs.recent.get(runs.last) if runs.last is not None else None


def next_run_of(schedule: Schedule, now: float) -> str | None:
    return None if schedule.suspend or is_over(schedule) else next_run(schedule, after=now)
