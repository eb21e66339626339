"""Schedules: what a CronJob remembers of its runs, what is told about it, what runs are called. Pure."""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec.structs import replace

from events.cloudevent.timestamp import format_epoch, format_time, parse_epoch
from events.cron import InvalidSchedule, parse_schedule, zone
from events.jobs.annotation import read_stored
from events.jobs.observed import Job, Schedule
from events.lifecycle.transitions import Transition
from events.phases import Phase

RECENT = 20
"""How many ended runs a CronJob remembers the outcome of."""
UTC_ZONE = "Etc/UTC"
"""For a schedule without a time zone: Kubernetes takes that of its controller, which is UTC in most clusters."""


class Runs(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Annotation `runs` of a CronJob, a stored format: a JSON object without default values.

    `count`: runs that were let go, or are about to be. `last`: the scheduled time of the run counted last, `job` the
    uid of its Job. `recent`: outcomes (terminal phases) of the runs that ended last, by scheduled time, in the order of
    their ends; `ended_at`: when the last of them ended. Times are RFC 3339.
    """

    count: int = 0
    last: str | None = None
    job: str | None = None
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    ended_at: str | None = None
    recent: dict[str, str] = msgspec.field(default_factory=dict)

    def counting(self, run: Job, *, lost: bool) -> "Runs":
        """With this run counted. `lost`: the run counted last was deleted before it was ours, so it does not count."""
        return replace(self, count=self.count if lost else self.count + 1, last=run_time(run), job=run.uid)

    def ending(self, run: str, phase: Phase, *, at: float, held: Collection[str]) -> "Runs":
        """With the run of this scheduled time ended in this phase, `at` epoch seconds. Unchanged if that is known.

        Runs in `held` are not forgotten: their ends may be told once more.
        """
        if run in self.recent:
            return self
        recent = {**self.recent, run: str(phase)}
        kept = {*list(recent)[-RECENT:], *held, self.last}
        ended = max(at, _epoch(self.ended_at))
        return replace(
            self,
            **{str(phase): getattr(self, phase) + 1},
            ended_at=format_epoch(ended),
            recent={time: outcome for time, outcome in recent.items() if time in kept},
        )

    def to_annotation(self) -> str:
        """What `read_runs` reads."""
        return msgspec.json.encode(self).decode()


NONE = Runs()


def read_runs(annotation: str | None) -> Runs:
    """What `to_annotation` wrote; what is unreadable counts as absent."""
    return read_stored(annotation, Runs) or NONE


def is_exhausted(schedule: Schedule) -> bool:
    """Whether it has had as many runs as it may have; the last of them may still go on."""
    return schedule.max_runs is not None and read_runs(schedule.runs).count >= schedule.max_runs


def run_time(run: Job) -> str:
    """Its scheduled time, RFC 3339 in UTC; for a run that somebody made by hand, the time of its creation."""
    return format_epoch(run.created if run.scheduled_at is None else run.scheduled_at)


def run_id(request_id: str, time: str) -> str:
    """What the run of this time is called: a request of its own."""
    return f"{request_id}@{time}"


def next_run(schedule: Schedule, *, after: float) -> str | None:
    """The first scheduled time after `after` (epoch seconds), RFC 3339 in UTC; None if none is known."""
    try:
        found = parse_schedule(schedule.cron).next_after(
            datetime.fromtimestamp(after, UTC), zone(schedule.time_zone or UTC_ZONE)
        )
    except InvalidSchedule:
        return None  # Kubernetes accepted it, so it may know a grammar that we do not.
    return None if found is None else format_time(found)


def scheduled(schedule: Schedule) -> Transition:
    """It came into force."""
    told = {
        "schedule": schedule.cron,
        "timeZone": schedule.time_zone,
        "nextRun": next_run(schedule, after=schedule.created),
        "maxRuns": schedule.max_runs,
    }
    return _transition(Phase.SCHEDULED, schedule.created, told)


def unscheduled(schedule: Schedule) -> Transition:
    """It ended: its CronJob is being deleted, or the last run has ended."""
    runs = read_runs(schedule.runs)
    ended = _epoch(runs.ended_at) if is_exhausted(schedule) else 0.0
    time = ended or schedule.deleted or schedule.created
    return _transition(Phase.UNSCHEDULED, time, {"schedule": schedule.cron, "runs": runs.count})


def _transition(phase: Phase, time: float, told: dict[str, Any]) -> Transition:
    return Transition(phase=phase, time=time, detail={name: value for name, value in told.items() if value is not None})


def _epoch(text: str | None) -> float:
    """Epoch seconds; 0 if it is absent or not a time."""
    try:
        return 0.0 if text is None else parse_epoch(text)
    except ValueError:
        return 0.0
