"""What a command means for a Job or schedule as it is now: a write, nothing, or a rejection. Pure."""

from enum import Enum, auto

from events.jobs.attempts import next_attempt_at
from events.jobs.observed import Job, Schedule
from events.jobs.queueing import read_queueing
from events.lifecycle.outcome import is_successful
from events.lifecycle.schedules import is_exhausted
from events.names import Payload
from events.request.control import Command, ControlVerb
from handler.effects.deliveries import Rejection
from handler.settings.admission import AdmissionSettings
from k8s.base import Conflict


class Step(Enum):
    """What to do for a command."""

    NOTHING = auto()
    """It is already as wanted."""
    CANCEL = auto()
    SUSPEND = auto()
    RESUME = auto()
    """Let it run at once."""
    ENQUEUE = auto()
    """Let it run once there is room."""


def rule_schedule(command: Command, schedule: Schedule) -> Step:
    """The step for a schedule. Raises `Rejection`."""
    verb = command.verb
    if verb is ControlVerb.CANCEL and schedule.deleted is not None:
        return Step.NOTHING  # Perhaps by this very command, before a crash.
    if schedule.deleted is not None or is_exhausted(schedule):
        raise Rejection("FINISHED", "the schedule is over")
    if verb is ControlVerb.CANCEL:
        return Step.CANCEL
    if schedule.suspend is (verb is ControlVerb.SUSPEND):
        return Step.NOTHING
    return Step.SUSPEND if verb is ControlVerb.SUSPEND else Step.RESUME


def rule(command: Command, job: Job, *, followed: bool, settings: AdmissionSettings) -> Step:
    """The step for a Job. `followed`: the cache still has it.

    Raises `Rejection`, and `Conflict` when only a later state of the Job can tell.
    """
    verb = command.verb
    if next_attempt_at(job) is not None and followed:
        raise Conflict("its next attempt is on its way: that one is meant")
    if verb is ControlVerb.CANCEL and _is_cancelled_by(command, job):
        return Step.NOTHING  # By this very command, before a crash or a lost answer.
    if job.finished or is_successful(job) or job.deleted is not None or job.verdict_of() is not None:
        raise Rejection("FINISHED", "the request has ended")
    if verb is ControlVerb.CANCEL:
        return Step.CANCEL
    if job.kueue:
        raise Rejection("FORBIDDEN", "Kueue decides when the request runs: it can only be cancelled")
    if job.payload == Payload.PENDING:
        raise Conflict("its payload is on the way: whoever brings it lets the Job go")
    if verb is ControlVerb.SUSPEND:
        return Step.SUSPEND
    return _resumption(job, settings)


def cancellation(command: Command) -> str:
    """The message of the verdict. It names the command, so that a repeat of the command recognises it."""
    return f"cancelled by {command.source} (event {command.event_id})"


def _is_cancelled_by(command: Command, job: Job) -> bool:
    verdict = job.verdict_of()
    return verdict is not None and verdict.message == cancellation(command)


def _resumption(job: Job, settings: AdmissionSettings) -> Step:
    if not job.suspend or job.queued is not None:
        return Step.NOTHING  # It runs, or it waits for room already.
    if settings.governs(read_queueing(job.queueing), job.service):
        return Step.ENQUEUE
    return Step.RESUME
