"""What the data of lifecycle events and of answers to control events hold. They are built in lifecycle/.

The published schema and the reference come from here, and the tests check every event they see against it.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel

from events.contract.codes import CONTROL, codes_told
from events.phases import Phase
from events.request.control import ACCEPTED, REJECTED

OrNull = Annotated[str | None, WithJsonSchema({"type": ["string", "null"]})]
"""Text or null. Elsewhere None means absent, and the schema has no null."""
Moment = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]


class Part(BaseModel):
    """camelCase, strict types. No unknown fields in the tests; the published schema lets later versions add fields."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", strict=True, frozen=True)


class FieldProblem(Part):
    """A mistake in a request."""

    path: str = Field(
        description="Where it is in the event's data, such as `job.env[0].name`, or the name of an attribute."
    )
    message: str = Field(description="What is wrong. Never shows the value.")
    allowed: str | None = Field(default=None, description="What would be accepted.")


class Error(Part):
    """What went wrong."""

    error_code: str = Field(description="One of the error codes; later versions may add some.")
    message: str = Field(
        description="One or more sentences for people. Of what the API server or a webhook says, up to 2 KiB."
    )


class PodError(Error):
    """What went wrong in a pod."""

    container: str | None = Field(
        default=None, description="Name of the container that it is about: `exitCode` and `logTail` are its own."
    )


class RejectedError(Error):
    """What is wrong with an event, with every field error at once."""

    fields: list[FieldProblem] | None = Field(default=None, description="Each field that is wrong.")


class Undelivered(Part):
    """The wanted topic refused the event for good: it came on the default topic."""

    topic: str = Field(description="The topic in `replyto`.")
    reason: str = Field(description="What the broker said.")


class Amounts(Part):
    """Sums over the pods of the Job."""

    cpu: float = Field(description="Cores.")
    memory: int = Field(description="Bytes.")


class Usage(Part):
    """What samples of metrics.k8s.io saw while the Job ran."""

    peaks: Amounts = Field(description="The highest samples.")
    samples: int = Field(description="How many there were.")
    first_at: Moment = Field(description="Time of the first.")
    last_at: Moment = Field(description="Time of the last.")


class PodResult(Part):
    """The outcome of one of several pods."""

    index: int | None = Field(default=None, description="Index of the pod, with `completionMode: Indexed`.")
    pod_name: str | None = Field(default=None, description="Name of the pod, where there are no indexes.")
    exit_code: int | None = Field(default=None, description="Exit code of its container.")
    result: Any = Field(default=None, description="What it wrote to $JOBRELAY_RESULT_PATH: JSON where it is JSON.")
    result_truncated: Literal[True] | None = Field(default=None, description="`result` is only the end, as text.")


class Detail(Part):
    """What is in the detail of every lifecycle event."""

    service: str | None = Field(default=None, description="The request's `service`.")
    tags: list[str] | None = Field(default=None, description="The request's `tags`.")
    metadata: dict[str, Any] | None = Field(default=None, description="The request's `metadata`.")
    undelivered: Undelivered | None = Field(default=None, description="Why the event came on the default topic.")
    shortened: list[str] | None = Field(
        default=None, description="The event was too large for the broker: these fields were left out."
    )


class Attempted(Detail):
    """What is in the detail of every event about a Job."""

    attempt: int = Field(description="From 1: how often pods had failed by then, plus 1.")
    scheduled_for: Moment | None = Field(default=None, description="Scheduled time of a schedule's run.")


class Asked(Part):
    """What the request asked for, as its Job shows it. Sums are of one pod; what nobody asked for is absent."""

    type: str | None = Field(default=None, description="Type of the event that made the request, up to 512 characters.")
    event_time: Moment | None = Field(default=None, description="Its `time`, where it has one.")
    replay_of: str | None = Field(
        default=None, description="Its extension `replayof`: which request it repeats, in words of whoever sent it."
    )
    function: str | None = Field(default=None, description="The function that made it of an event.")
    image: str | None = Field(default=None, description="Image of the main container, up to 512 characters.")
    cpu: float | None = Field(
        default=None,
        description="Cores that a pod requests, as Kubernetes counts: all its containers together, a limit where there "
        "is no request, and of init containers what they need more.",
    )
    memory: int | None = Field(default=None, description="Bytes that a pod requests, counted like `cpu`.")
    gpus: int | None = Field(default=None, description="GPUs of a pod.")
    parallelism: int = Field(description="How many pods run at once.")
    priority: int = Field(description="The request's `priority`.")


class Created(Attempted):
    """The Job exists: always the first event."""

    phase: Literal["created"] = Field(description="Last word of the type.")
    job_id: str = Field(description="The Job's uid.")
    job_name: str = Field(description="The Job's name.")
    namespace: str = Field(description="The Job's namespace.")
    ttl_seconds_after_finished: int | None = Field(
        default=None, description="Seconds it stays when finished: what is in force."
    )
    request: Asked | None = Field(default=None, description="What was asked for; absent in events of earlier versions.")


class Queued(Attempted):
    """The Job waits for its turn: told once for each reason."""

    phase: Literal["queued"] = Field(description="Last word of the type.")
    reason: str = Field(
        description="`limit`: too many run; `priority`: there is room, but others go first; `exclusive`: something "
        "runs that it must not run beside; `dependencies`, `runAt`, `retryDelay`: the request says so; `kueue`: Kueue "
        "has not admitted it."
    )
    position: int | None = Field(default=None, description="Its place in the queue when this was told, from 1.")


class Started(Attempted):
    """The first pod runs: told once for each attempt."""

    phase: Literal["started"] = Field(description="Last word of the type.")
    pod_id: str = Field(description="The pod's uid.")
    pod_name: str = Field(description="The pod's name.")
    node: OrNull = Field(description="Where it runs.")


class Progress(Attempted):
    """Counts of a Job with several pods changed, or a sample of its usage was taken."""

    phase: Literal["progress"] = Field(description="Last word of the type.")
    succeeded: int | None = Field(default=None, description="Pods that have succeeded.")
    failed: int | None = Field(default=None, description="Pods that have failed.")
    total: int | None = Field(default=None, description="Pods that have to succeed.")
    cpu: float | None = Field(default=None, description="Cores in use, all pods together.")
    memory: int | None = Field(default=None, description="Bytes in use, all pods together.")
    peaks: Amounts | None = Field(default=None, description="The highest samples so far.")


class Stalled(Attempted):
    """A pod cannot start, or none appears for 5 s and Kubernetes says why; or a pod cannot end."""

    phase: Literal["stalled"] = Field(description="Last word of the type.")
    error: PodError = Field(description="What it waits for.")


class Retrying(Attempted):
    """A failed pod is replaced (or `podFailurePolicy` ends the Job), or another attempt follows a failed attempt."""

    phase: Literal["retrying"] = Field(description="Last word of the type.")
    index: int | None = Field(default=None, description="Index of the pod, with `backoffLimitPerIndex`.")
    error: PodError = Field(description="Why the pod, or the attempt, failed.")
    next_attempt_at: Moment | None = Field(
        default=None, description="With `retryDelay`: the next attempt starts no sooner."
    )


class Suspended(Attempted):
    """The Job is suspended: none of its pods runs."""

    phase: Literal["suspended"] = Field(description="Last word of the type.")
    by: str = Field(
        description="`request`: by a control event; `function`: by its manifest; `kueue`: by Kueue, which gives its "
        "room to others; `external`: by somebody else."
    )


class Resumed(Attempted):
    """The Job is no longer suspended."""

    phase: Literal["resumed"] = Field(description="Last word of the type.")
    by: str = Field(description="Who had suspended it: `request`, `function`, `kueue` or `external`.")


class Ended(Attempted):
    """The request is over."""

    duration: int | None = Field(default=None, description="Seconds from `startedAt` to `finishedAt`.")
    started_at: Moment | None = Field(default=None, description="When the first pod ran; absent if none did.")
    finished_at: Moment = Field(description="When it was over.")
    exit_code: int | None = Field(
        default=None, description="Exit code of the last pod's main container; of a failed pod, of `error.container`."
    )
    result: Any = Field(
        default=None,
        description="What the main container wrote to $JOBRELAY_RESULT_PATH: JSON where it is JSON, else text. The "
        "last 4 KiB of it. A failed container may have left one, too.",
    )
    result_truncated: Literal[True] | None = Field(
        default=None, description="The container wrote more than Kubernetes keeps: `result` is the end, as text."
    )
    results: list[PodResult] | None = Field(default=None, description="Of several pods, what each that succeeded left.")
    results_truncated: Literal[True] | None = Field(default=None, description="`results` would be above 16 KiB.")
    usage: Usage | None = Field(default=None, description="What it used, where that was measured.")


class Succeeded(Ended):
    """The Job is complete."""

    phase: Literal["succeeded"] = Field(description="Last word of the type.")


class Broken(Ended):
    """The Job did not complete."""

    error: PodError = Field(description="Why.")
    log_tail: str | None = Field(default=None, description="End of the log of `error.container`: 80 lines, 2 KiB.")
    failed_indexes: str | None = Field(
        default=None, description="Indexes of an Indexed Job that failed, such as `1,3-5`."
    )


class NextRequest(Part):
    """The request that was made instead."""

    id: str = Field(description="Its id: `subject` of its own lifecycle events.")


class Failed(Broken):
    """The Job failed, or ran into a timeout."""

    phase: Literal["failed"] = Field(description="Last word of the type.")
    failover: NextRequest | None = Field(default=None, description="What runs instead, where the request named it.")


class Cancelled(Broken):
    """A control event ended the request, or somebody deleted the Job."""

    phase: Literal["cancelled"] = Field(description="Last word of the type.")


class Rejected(Detail):
    """The event became no Job."""

    phase: Literal["rejected"] = Field(description="Last word of the type.")
    error: RejectedError = Field(description="Why.")


class Scheduled(Detail):
    """The schedule is in force: its CronJob exists."""

    phase: Literal["scheduled"] = Field(description="Last word of the type.")
    schedule: str = Field(description="Its cron expression.")
    time_zone: str | None = Field(default=None, description="Its time zone; absent: that of the cluster, usually UTC.")
    next_run: Moment | None = Field(default=None, description="The first time it names.")
    max_runs: int | None = Field(default=None, description="How often it runs; absent: without end.")


class Unscheduled(Detail):
    """The schedule is over: it has run as often as it may, was cancelled, or its CronJob was deleted."""

    phase: Literal["unscheduled"] = Field(description="Last word of the type.")
    schedule: str = Field(description="Its cron expression.")
    runs: int = Field(description="How often it ran. Runs that have not ended go on, unless its CronJob was deleted.")


Verb = Literal["cancel", "suspend", "resume", "run", "replay", "drop"]


class ControlAccepted(Part):
    """The control event was carried out."""

    verb: Verb = Field(description="What was asked for.")
    subject: str = Field(description="The request's id, or the dead letter's number.")
    jobs: list[str] = Field(
        description="Names of its Jobs, or of a schedule's CronJob; of `run` that of the run's Job."
    )
    run: str | None = Field(default=None, description="Of `run`: the id of the run, which is a request of its own.")


class ControlRejected(Part):
    """The control event was not carried out."""

    verb: Verb | None = Field(default=None, description="What was asked for.")
    subject: str | None = Field(default=None, description="The request's id, or the dead letter's number.")
    error: Error = Field(description="Why.")


DETAILS: dict[Phase, type[Detail]] = {
    Phase.CREATED: Created,
    Phase.QUEUED: Queued,
    Phase.STARTED: Started,
    Phase.PROGRESS: Progress,
    Phase.STALLED: Stalled,
    Phase.RETRYING: Retrying,
    Phase.SUSPENDED: Suspended,
    Phase.RESUMED: Resumed,
    Phase.SUCCEEDED: Succeeded,
    Phase.FAILED: Failed,
    Phase.CANCELLED: Cancelled,
    Phase.REJECTED: Rejected,
    Phase.SCHEDULED: Scheduled,
    Phase.UNSCHEDULED: Unscheduled,
}
ANSWERS: dict[str, type[Part]] = {ACCEPTED: ControlAccepted, REJECTED: ControlRejected}


def codes_of(model: type[Part]) -> tuple[str, ...]:
    """The error codes that may be in a detail of this kind."""
    phase = next((phase for phase, known in DETAILS.items() if known is model), None)
    if phase is not None:
        return codes_told(phase)
    return codes_told(CONTROL) if model is ControlRejected else ()
