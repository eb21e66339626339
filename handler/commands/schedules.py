"""Schedules as `jobrelay get` shows them: when they run, how often they have run, how their runs ended."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from rich.text import Text

from events.jobs.observed import Ours, Schedule
from events.lifecycle.schedules import read_runs
from handler.commands.showing.phases import phase_text
from handler.commands.showing.tables import table
from handler.operations.schedules import is_over, last_outcome, next_run_of

Names = Mapping[tuple[str, str], str]
"""What requests are called, by source and id."""
_COLUMNS = (
    *("SCHEDULE", "SERVICE", "CRONJOB", "CRON", "LAST RUN", "OUTCOME", "NEXT RUN", "RUNS"),
    *("SUCCEEDED", "FAILED", "CANCELLED"),
)


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


def _row(schedule: Schedule, names: Names, now: float) -> list[str | Text]:
    runs = read_runs(schedule.runs)
    state = "over" if is_over(schedule) else "suspended" if schedule.suspend else ""
    return [
        names[schedule.source, schedule.request_id],
        schedule.service or "",
        f"{schedule.namespace}/{schedule.name}",
        " ".join(filter(None, (schedule.cron, schedule.time_zone))),
        runs.last or "",
        phase_text(last_outcome(schedule) or ""),
        state or next_run_of(schedule, now) or "",
        f"{runs.count}" if schedule.max_runs is None else f"{runs.count}/{schedule.max_runs}",
        *(str(count) for count in (runs.succeeded, runs.failed, runs.cancelled)),
    ]
