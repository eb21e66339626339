"""Schedules as `jobrelay get` shows them: when they run, how often they have run, how their runs ended."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click
from rich.text import Text

from events.jobs.observed import Ours, Schedule
from events.lifecycle.schedules import is_exhausted, next_run, read_runs
from events.phases import Phase
from handler.commands.showing.facts import facts_of
from handler.commands.showing.output import clean, say_left_out, table
from handler.commands.showing.phases import phase_text
from k8s.api.cluster import Cluster
from k8s.base import KubernetesError

Names = Mapping[tuple[str, str], str]
"""What requests are called, by source and id."""
_COLUMNS = (
    *("SCHEDULE", "SERVICE", "CRONJOB", "CRON", "LAST RUN", "OUTCOME", "NEXT RUN", "RUNS"),
    *("SUCCEEDED", "FAILED", "CANCELLED"),
)


async def find_schedules(cluster: Cluster, namespaces: Sequence[str], *, selector: str) -> list[Schedule]:
    """Those that the label selector matches, oldest first, without copies.

    A namespace that cannot be read is reported and left out.
    """
    found: list[Schedule] = []
    for namespace in namespaces:
        try:
            found += await cluster.find_schedules([namespace], selector, skipped=say_left_out)
        except KubernetesError as error:
            click.echo(f"schedules in {namespace} are left out: {clean(error)}", err=True)
    found = [schedule for schedule in found if schedule.stray is None]
    return sorted(found, key=lambda schedule: (schedule.created, schedule.name))


def names_of(shown: Iterable[Ours]) -> Names:
    """What people know the requests by: the id and, where several of these sources use it, the source."""
    sources: defaultdict[str, set[str]] = defaultdict(set)
    for one in shown:
        sources[one.request_id].add(one.source)
    return {
        (source, request_id): f"{request_id} ({source})" if len(found) > 1 else request_id
        for request_id, found in sources.items()
        for source in found
    }


def show_schedules(found: Sequence[Schedule], *, names: Names, now: float) -> None:
    """Print a table of them. `now`: epoch seconds."""
    table(_COLUMNS, [_row(schedule, names, now) for schedule in found])


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
        "phase": Phase.UNSCHEDULED if _is_over(schedule) else Phase.SCHEDULED,
        "schedule": schedule.cron,
        "timeZone": schedule.time_zone,
        "concurrencyPolicy": schedule.concurrency_policy,
        "suspended": schedule.suspend,
        "lastRun": runs.last,
        "lastOutcome": _outcome(schedule),
        "nextRun": _next_run_of(schedule, now),
        "maxRuns": schedule.max_runs,
        "runs": facts_of(runs, without=("last", "job")),
        "cronJob": facts_of(schedule, without=top),
    }


def _row(schedule: Schedule, names: Names, now: float) -> list[str | Text]:
    runs = read_runs(schedule.runs)
    state = "over" if _is_over(schedule) else "suspended" if schedule.suspend else ""
    return [
        names[schedule.source, schedule.request_id],
        schedule.service or "",
        f"{schedule.namespace}/{schedule.name}",
        " ".join(filter(None, (schedule.cron, schedule.time_zone))),
        runs.last or "",
        phase_text(_outcome(schedule) or ""),
        state or _next_run_of(schedule, now) or "",
        f"{runs.count}" if schedule.max_runs is None else f"{runs.count}/{schedule.max_runs}",
        *(str(count) for count in (runs.succeeded, runs.failed, runs.cancelled)),
    ]


def _is_over(schedule: Schedule) -> bool:
    """Whether no further run will begin."""
    return schedule.deleted is not None or is_exhausted(schedule)


def _outcome(schedule: Schedule) -> str | None:
    """How its last run ended; None before the first run, and while the last one goes on."""
    runs = read_runs(schedule.runs)
    return runs.recent.get(runs.last) if runs.last is not None else None


def _next_run_of(schedule: Schedule, now: float) -> str | None:
    return None if schedule.suspend or _is_over(schedule) else next_run(schedule, after=now)
