"""The job request: the data of an event of type `dev.jobrelay.job.requested`. Policy is not decided here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from cloudevents.core.v1.event import CloudEvent
from pydantic import BeforeValidator, Field, ValidationError, model_validator

from events.cloudevent.content import is_json
from events.cloudevent.event import Arrived, InvalidEvent, parse_json
from events.cloudevent.numbers import has_decimals
from events.cloudevent.values import data_as_written
from events.identity import PREFIX_LENGTH, Identity, job_name
from events.jobs.attempts import Retry
from events.names import REQUESTED_TYPE
from events.problems import FieldError, InvalidRequest, explain
from events.request.batch import Deadline, Retries
from events.request.fields import Anything, AtMost, Identifier, LabelValue, Model, Text, is_dns_label, wrong
from events.request.job import JobSpec
from events.request.queue import Moment, Queueable
from events.request.reserved import OURS, reserved
from events.request.rules import MAX_ECHOED, across
from events.request.schedule import Schedulable
from events.request.values import MAX_VALUES, holds_more

MAX_RETRY_DELAY = 604_800
"""Seconds, a week."""
_Seconds = Annotated[int, Field(ge=1, le=MAX_RETRY_DELAY)]


class Backoff(Model):
    """Growing delays between attempts."""

    initial: _Seconds = Field(description="Seconds to the second attempt.")
    factor: Annotated[float, Field(ge=1, le=100, strict=False)] | None = Field(
        default=None, description="By what factor each further delay is longer. By default `1`."
    )
    max: _Seconds | None = Field(default=None, description="Seconds that no delay exceeds.")

    @model_validator(mode="after")
    def _consistent(self) -> "Backoff":
        if self.max is not None and self.max < self.initial:
            raise wrong("has a max below its initial")
        return self


def _seconds_as_backoff(value: Any) -> Any:
    """A number of seconds means the same delay each time."""
    return {"initial": value} if isinstance(value, int) and not isinstance(value, bool) else value


class _OrSeconds:
    """Adds the other form to the JSON Schema."""

    def __get_pydantic_json_schema__(self, core: Any, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        return {"anyOf": [handler(core), {"type": "integer", "minimum": 1, "maximum": MAX_RETRY_DELAY}]}


RetryDelay = Annotated[Backoff, BeforeValidator(_seconds_as_backoff), _OrSeconds()]
"""Seconds, or `{initial, factor, max}`."""


class Failover(Model):
    """A further request, `<id>/failover`, that is made when the request has failed."""

    job: JobSpec = Field(description="What to run; its container finds the `failed` event in $JOBRELAY_EVENT_PATH.")


MAX_TIMEOUT = 31_536_000
"""Seconds, a year: of `timeout`, which includes the queue."""
Timeout = Annotated[int, Field(ge=1, le=MAX_TIMEOUT)]


class _Work(Model):
    """What is to run, and for whom."""

    section: ClassVar[str] = "The request"

    id: Identifier | None = Field(
        default=None,
        description="Identifier of the request, up to 256 characters. By default the event's `id`.",
        json_schema_extra={"not": {"type": "string", "pattern": f"({OURS})$"}},
    )
    service: LabelValue | None = Field(
        default=None,
        description="Who asks, one of JOBRELAY_SERVICES: label of the Job and its pods (JOBRELAY_APP_LABEL), part of "
        "the topic of its lifecycle events. By default none.",
    )
    job: JobSpec = Field(description="What to run.")
    retries: Retries | None = Field(
        default=None,
        description="How often a failed pod is replaced: the same as `job.backoffLimit`. By default `0`, or, with "
        "`job.backoffLimitPerIndex`, no limit but that of each index.",
    )
    start_timeout: Deadline | None = Field(
        default=None,
        description="Seconds from the Job's start (or resumption) to a running pod. By default JOBRELAY_START_TIMEOUT.",
    )
    timeout: Timeout | None = Field(
        default=None,
        description="Seconds from acceptance to the end, waiting included; for a schedule's run, from the creation of "
        "its Job. By default none.",
    )
    payload: Literal["secret"] | None = Field(
        default=None,
        description="`secret`: the event goes into a Secret that the Job owns, whatever its size. "
        "By default only an event over JOBRELAY_INLINE_BYTES, or for several pods.",
    )
    tags: Annotated[list[Text], Field(max_length=MAX_ECHOED)] | None = Field(
        default=None,
        description="Repeated in every lifecycle event; with `metadata` up to 8 KiB as JSON. By default none.",
    )
    metadata: Annotated[dict[Text, Anything], AtMost(MAX_ECHOED)] | None = Field(
        default=None,
        description="Repeated in every lifecycle event; with `tags` up to 8 KiB as JSON. By default none.",
    )


class JobRequest(Schedulable, Queueable, _Work):
    """The data of a job request: what is to run as one Kubernetes Job, or as a Job at each time of a schedule."""

    section: ClassVar[str] = _Work.section

    run_at: Moment | None = Field(
        default=None,
        description="Not before this time (RFC 3339), at most JOBRELAY_MAX_RUN_AT_DAYS from now. By default at once.",
    )
    retry_delay: RetryDelay | None = Field(
        default=None,
        description="With `retries`, makes each attempt a Job of its own: seconds from a failure to the next attempt, "
        "or `{initial, factor, max}` for delays that grow. By default none: Kubernetes replaces pods within one Job.",
    )
    failover: Failover | None = Field(
        default=None, description="What to run when the request has failed for good. By default nothing."
    )

    @property
    def name_prefix(self) -> str:
        """What its Job's name begins with: `job.prefixName`, else `service` where it can begin a name, else `job`."""
        if self.job.prefix_name:
            return self.job.prefix_name
        usual = self.service if self.service and is_dns_label(self.service) else "job"
        return usual[:PREFIX_LENGTH].rstrip("-")

    @property
    def retry(self) -> Retry | None:
        """What is stored of `retries` and `retryDelay`; None where Kubernetes itself replaces failed pods."""
        delay = self.retry_delay
        if delay is None or not self.retries:
            return None
        return Retry(limit=self.retries, delay=delay.initial, factor=delay.factor or 1.0, most=delay.max)

    @property
    def backoff_limit(self) -> int | None:
        """How often a failed pod is replaced: `retries`, which is the same as `job.backoffLimit`; by default never.

        None, which is Kubernetes' default, where each index has a limit of its own and the Job has none. 0 where
        attempts are Jobs of their own.
        """
        if self.retry is not None:
            return 0
        given = self.job.backoff_limit if self.retries is None else self.retries
        if given is None and self.job.backoff_limit_per_index is None:
            return 0
        return given


@dataclass(frozen=True, slots=True)
class Request:
    """A request with its identity. `job_name` is that of its Job, the same for every delivery of the request."""

    identity: Identity
    request: JobRequest
    event: CloudEvent
    job_name: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "job_name", job_name(self.request.name_prefix, self.identity))

    @classmethod
    def of(cls, event: CloudEvent) -> "Request":
        """Raises `InvalidRequest`."""
        request = parse_request(event)
        return cls(Identity(event.get_source(), request.id or event.get_id()), request, event)

    @property
    def id(self) -> str:
        """The data's `id`, else the event's."""
        return self.identity.id

    @property
    def service(self) -> str | None:
        return self.request.service

    @property
    def namespace(self) -> str | None:
        """The namespace of its Job; None: the default."""
        return self.request.job.namespace

    @property
    def subject(self) -> str:
        """What every event about this request has as `subject`, and control events name it by."""
        return self.identity.id


def parse_request(event: CloudEvent) -> JobRequest:
    """The request in an event. Raises `InvalidRequest` with every error."""
    if event.get_type() != REQUESTED_TYPE:
        raise InvalidRequest([FieldError("type", "is no job request", allowed=REQUESTED_TYPE)])
    data = _json_object(event)
    given = data.get("id")
    errors = _event_id(event.get_id()) if given is None else []
    request_id = event.get_id() if given is None else given
    if isinstance(request_id, str):
        errors += reserved(event.get_source(), request_id)
    return check_request(data, errors=errors)


def check_request(data: dict[str, Any], *, errors: Sequence[FieldError] = ()) -> JobRequest:
    """The request with this data, by the same rules wherever it comes from. Raises `InvalidRequest` with every error.

    `errors`: what is known to be wrong already.
    """
    errors = [*across(data), *errors]
    try:
        request = JobRequest.model_validate(data)
    except ValidationError as error:
        raise InvalidRequest([*explain(error, JobRequest), *errors]) from None
    if errors:
        raise InvalidRequest(errors)
    return request


def _json_object(event: CloudEvent) -> dict[str, Any]:
    data: Any = event.get_data()
    if not is_json(event.get_datacontenttype()):
        raise InvalidRequest([FieldError("datacontenttype", "is no JSON", allowed="application/json")])
    if isinstance(data, bytes):
        try:
            data = parse_json(data, what="data")
        except InvalidEvent as error:
            raise InvalidRequest([FieldError("data", f"cannot be read: {error.reason}")]) from error
    if data is None:
        raise InvalidRequest([FieldError("data", "is missing")])
    if not isinstance(data, dict):
        raise InvalidRequest([FieldError("data", "must be an object")])
    if _may_be_many(event) and holds_more(data, MAX_VALUES):
        # Each may be a mistake of its own, which costs a hundred times what it is worth to tell.
        raise InvalidRequest([FieldError("data", f"holds more than {MAX_VALUES} values, at all depths together")])
    if has_decimals(data.get("metadata")):
        # It is repeated: its numbers stay as they were written.
        return {**data, "metadata": data_as_written(event)["metadata"]}
    return dict(data)


def _may_be_many(event: CloudEvent) -> bool:
    """False if there are too few bytes for more than `MAX_VALUES` values: each takes two with what parts it."""
    return not isinstance(event, Arrived) or event.size >= 2 * MAX_VALUES


def _event_id(event_id: str) -> list[FieldError]:
    """The event's id stands in for the request's, so it keeps the same rules."""
    try:
        _IdOnly(id=event_id)
    except ValidationError as error:
        return [
            FieldError("id", f"is missing, and the event's id {one.message}", one.allowed)
            for one in explain(error, _IdOnly)
        ]
    return []


class _IdOnly(Model):
    id: Identifier
