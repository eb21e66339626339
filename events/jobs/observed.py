"""What Kubernetes shows of Jobs and CronJobs, flat and small: thousands stay in memory. Does not parse."""

from enum import StrEnum
from typing import Any

import msgspec
import orjson

from events.cloudevent.timestamp import format_epoch, parse_epoch
from events.names import FORMAT_VERSION, NEW_RUN
from events.phases import Phase

BACKOFF_LIMIT = "BackoffLimitExceeded"
"""Reason of condition Failed that says only that pods have failed."""


class Stray(StrEnum):
    """Why a Job with our labels is no request's Job."""

    COPY = "copy"
    """Somebody made it from a Job of ours: it is not under the name, or not in the namespace, that its pods carry."""
    UNIDENTIFIED = "unidentified"
    """Nothing immutable in it says any more which request it is of."""
    FOREIGN = "foreign"
    """Another installation made it, and somebody has given it our label."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An outcome that Kubernetes itself does not state, written on the Job before it is told. `at` is epoch seconds."""

    phase: Phase
    error_code: str
    message: str
    at: float

    def to_annotation(self) -> str:
        """JSON `{phase, errorCode, message, at}`, `at` in whole seconds (RFC 3339)."""
        return orjson.dumps(
            {
                "phase": self.phase,
                "errorCode": self.error_code,
                "message": self.message,
                "at": format_epoch(self.at),
            }
        ).decode()

    @classmethod
    def from_annotation(cls, text: str) -> "Verdict":
        """Raises `ValueError` for text that `to_annotation` cannot have written."""
        raw: Any = orjson.loads(text)
        try:
            code, message, at = str(raw["errorCode"]), str(raw["message"]), parse_epoch(raw["at"])
            phase = Phase(raw["phase"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"no verdict: {error}") from error
        if not phase.traits.terminal:
            raise ValueError(f"{phase} is no outcome")
        return cls(phase=phase, error_code=code, message=message, at=at)


class Condition(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One of a Job's `status.conditions`. `at` is its last transition in epoch seconds."""

    type: str
    status: bool
    reason: str = ""
    message: str = ""
    at: float


class Ours(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What Jobs and CronJobs of ours have in common. Times are epoch seconds; fields from annotations are None when the
    annotation is absent.

    `version`: its resourceVersion. `has_finalizer`: ours is on it. `format`: the annotation `version`, 0 when it is
    absent or no number. `context`, `tags` and `metadata` are raw JSON, as in their annotations. `broker` names the
    adapter. `instance`: which installation made it, as far as it says. `stray`: why it is no request's; None if it is.
    `lost_labels`: names and values of labels that we find it by, and that somebody has removed or changed.
    """

    namespace: str
    name: str
    uid: str
    version: int
    created: float
    deleted: float | None = None
    has_finalizer: bool = True
    format: int = 0
    request_id: str
    source: str
    service: str | None = None
    context: str = ""
    tags: str | None = None
    metadata: str | None = None
    reply_to: str | None = None
    broker: str | None = None
    instance: str | None = None
    stray: Stray | None = None
    lost_labels: tuple[tuple[str, str], ...] = ()

    @property
    def newer(self) -> bool:
        """Written by a newer version of jobrelay: this version cannot know what it means."""
        return is_newer(self.format)


def is_newer(format_: int) -> bool:
    """Whether this format is that of a newer version."""
    return format_ > FORMAT_VERSION


class Job(Ours, frozen=True, kw_only=True, gc=False):
    """A Job of ours.

    `started`, `verdict`, `queueing`, `dependencies` and `retry` are raw JSON, as in their annotations. `attempt` counts
    from 1; on further attempts `accepted` is when the first was created. `asked`: see `asked.PodRequests`.
    `failover`: the request names a Job to run when it has failed. `kueue`: Kueue decides when the Job runs.
    `failed_indexes` are those of an Indexed Job, as Kubernetes writes them: `1,3-5`.
    Of a schedule's run: `run` is its scheduled time (RFC 3339), or `NEW_RUN`; `scheduled_at` what Kubernetes says of
    it, in epoch seconds; `schedule` and `schedule_uid` name the CronJob that owns it, None once none does; `commanded`:
    a control event asked for it.
    """

    ttl: int | None = None
    start_timeout: int | None = None
    timeout: int | None = None
    payload: str | None = None
    released: str | None = None
    suspended_by: str | None = None
    started: str | None = None
    verdict: str | None = None
    queueing: str | None = None
    queued: str | None = None
    dependencies: str | None = None
    retry: str | None = None
    attempt: int = 1
    accepted: float | None = None
    asked: str = ""
    failover: bool = False
    kueue: bool = False
    run: str | None = None
    scheduled_at: float | None = None
    schedule: str | None = None
    schedule_uid: str | None = None
    commanded: bool = False
    suspend: bool = False
    parallelism: int = 1
    completions: int | None = None
    backoff_limit: int = 6
    backoff_limit_per_index: int | None = None
    indexed: bool = False
    active: int = 0
    ready: int = 0
    succeeded: int = 0
    failed: int = 0
    terminating: int = 0
    failed_indexes: str | None = None
    start_time: float | None = None
    completion_time: float | None = None
    conditions: tuple[Condition, ...] = ()

    def condition(self, *types: str) -> Condition | None:
        """The condition of this type, or the first of one of these types, whose status is True."""
        # A plain loop: in each look at a Job this is asked some thirty times.
        for one in self.conditions:
            if one.status and one.type in types:
                return one
        return None

    @property
    def new_run(self) -> bool:
        """Kubernetes has made it for a schedule, and it is not ours yet."""
        return self.run == NEW_RUN and not self.has_finalizer and self.deleted is None

    @property
    def several(self) -> bool:
        """More than one pod may succeed."""
        return self.parallelism > 1 or (self.completions or 1) > 1

    @property
    def finished(self) -> bool:
        """Kubernetes is done with it: Complete or Failed."""
        return self.condition("Complete", "Failed") is not None

    @property
    def ended_by_deletion(self) -> bool:
        """Somebody had deleted it before it failed: its pods went with it, and Kubernetes counts that as failures."""
        failed = self.condition("Failed")
        if failed is None or self.deleted is None:
            return False
        return failed.reason == BACKOFF_LIMIT and failed.at > self.deleted

    def verdict_of(self) -> Verdict | None:
        """Our verdict; None if there is none, or if somebody has made it unreadable."""
        if self.verdict is None:
            return None
        try:
            return Verdict.from_annotation(self.verdict)
        except ValueError:
            return None


class Schedule(Ours, frozen=True, kw_only=True, gc=False):
    """A CronJob of ours. `runs` is raw JSON, see `schedules.Runs`.

    `cron`: its schedule. `max_runs`: None is no bound. `last_schedule_time`: the scheduled time of the last Job that
    Kubernetes made for it, epoch seconds.
    """

    cron: str
    time_zone: str | None = None
    concurrency_policy: str = "Allow"
    suspend: bool = False
    max_runs: int | None = None
    runs: str | None = None
    last_schedule_time: float | None = None
