"""Functions: what the operator runs for events of any type, and what they make of an event. Their file is file.py's."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from cloudevents.core.v1.event import CloudEvent
from pydantic import AfterValidator, Field, ValidationError

from events.functions.filters import MAX_FILTERS, Filter, shallow
from events.functions.queue import FunctionQueue
from events.functions.templates import Values
from events.functions.trees import Filling, Template, Tree
from events.identity import Identity, job_name
from events.names import Label
from events.problems import FieldError, InvalidRequest, explain
from events.request.batch import Deadline
from events.request.fields import AtMost, EnvName, FunctionName, Identifier, LabelName, Model, Text
from events.request.queue import Queueable
from events.request.request import Request, Timeout
from events.request.rules import MAX_ECHO, MAX_ECHOED, echo_size

MAX_VARIABLES = 1000
MAX_ENV = 32_768
"""Bytes of all variables of one function's Job: they stand on the Job and on each of its pods."""


class Function(Model):
    """A Job for each event that passes all of its filters."""

    name: FunctionName = Field(
        description="Beginning of its Jobs' names and of their subject, `<name>/<id of the event>`; their service."
    )
    filters: Annotated[list[Filter], Field(max_length=MAX_FILTERS), AfterValidator(shallow)] = Field(
        description="All must take the event. An empty list takes every event but job requests."
    )
    env: Annotated[dict[EnvName, Template], AtMost(MAX_VARIABLES)] = Field(
        default_factory=dict,
        description="Variables of every container, made from the event: `{attribute}`, `{data.path}`, `{…:-default}`.",
    )
    payload: Literal["secret"] | None = Field(
        default=None,
        description="`secret`: the event goes into a Secret that the Job owns, whatever its size. "
        "By default only what is over JOBRELAY_INLINE_BYTES, or for several pods.",
    )
    start_timeout: Deadline | None = Field(
        default=None,
        description="Seconds from the Job's start (or resumption) to a running pod. By default JOBRELAY_START_TIMEOUT.",
    )
    timeout: Timeout | None = Field(
        default=None, description="Seconds from acceptance to the end, waiting included. By default none."
    )
    tags: Annotated[list[Template], Field(max_length=MAX_ECHOED)] | None = Field(
        default=None,
        description="Repeated in every lifecycle event; templates, as in `env`. With `metadata` up to 8 KiB as JSON. "
        "By default none.",
    )
    metadata: Annotated[dict[Text, Tree], AtMost(MAX_ECHOED)] | None = Field(
        default=None,
        description="Repeated in every lifecycle event; its texts, at any depth, are templates, as in `env`. With "
        "`tags` up to 8 KiB as JSON. By default none.",
    )
    queue: FunctionQueue | None = Field(default=None, description="When its Jobs may run. By default at once.")
    queue_name: LabelName | None = Field(
        default=None,
        description="LocalQueue of Kueue that its Jobs are put into: Kueue then decides when they run, and `queue` may "
        "say nothing but `priority`. By default JOBRELAY_KUEUE_QUEUE.",
    )
    job: dict[str, Any] = Field(description="The Job to run: a whole manifest of batch/v1, without a name.")

    def takes(self, event: CloudEvent) -> bool:
        """Whether the event passes all filters."""
        return all(one.takes(event) for one in self.filters)

    @property
    def namespace(self) -> str | None:
        """The namespace of its Jobs; None: the default."""
        namespace: str | None = self._metadata.get("namespace")
        return namespace

    @property
    def service(self) -> str:
        """Label `app.kubernetes.io/name` of the manifest, else the function's name."""
        labels = self._metadata.get("labels") or {}
        return str(labels.get(Label.NAME) or self.name)

    @property
    def _metadata(self) -> dict[str, Any]:
        return self.job.get("metadata") or {}


@dataclass(frozen=True, slots=True)
class Call:
    """The request that a function makes of an event. `env` is ready for a manifest: `$` is quoted.

    `job_name` is that of its Job, the same for every delivery of the event.
    """

    function: Function
    identity: Identity
    env: dict[str, str]
    queue: Queueable
    event: CloudEvent
    tags: list[str] | None = None
    metadata: dict[str, Any] | None = None
    job_name: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "job_name", job_name(self.function.name, self.identity))

    @classmethod
    def of(cls, function: Function, event: CloudEvent) -> "Call":
        """Raises `InvalidRequest` where the event lacks what the function needs."""
        filling, name = Filling(Values(event)), function.name
        # Kubernetes expands $(NAME) in values. The operator may use that, whoever sends events may not.
        env = {
            variable: filling.tree(template, what=f"variable {variable} of function {name}", quote={"$": "$$"})
            for variable, template in function.env.items()
        }
        queue, unfit = (function.queue or FunctionQueue()).of(filling, function=name)
        tags = filling.tree(function.tags, what=f"tags of function {name}")
        metadata = filling.tree(function.metadata, what=f"metadata of function {name}")
        if errors := [*_event_id(event), *filling.errors, *unfit]:
            raise InvalidRequest(errors)
        if large := _too_large(size_of(env), echo_size(tags, metadata)):
            raise InvalidRequest(large, code="TOO_LARGE")
        identity = Identity(event.get_source(), event.get_id(), name)
        return cls(function, identity, env, queue, event, tags=tags, metadata=metadata)

    @property
    def id(self) -> str:
        """`<function>/<id of the event>`."""
        return subject_of(self.function, self.event)

    @property
    def service(self) -> str:
        return self.function.service

    @property
    def namespace(self) -> str | None:
        return self.function.namespace


Asked = Request | Call
"""What becomes a Job."""


def size_of(env: Mapping[str, str]) -> int:
    """Bytes of these variables, names included."""
    return sum(len(name.encode()) + len(value.encode()) for name, value in env.items())


def subject_of(function: Function, event: CloudEvent) -> str:
    """What every event about this function's request has as `subject`, and control events name it by."""
    return f"{function.name}/{event.get_id()}"


def matching(functions: Iterable[Function], event: CloudEvent) -> list[Function]:
    """Those that take the event, in the order of the file."""
    return [one for one in functions if one.takes(event)]


def _too_large(env: int, echoed: int) -> list[FieldError]:
    sizes = (("variables", env, MAX_ENV), ("tags and metadata", echoed, MAX_ECHO))
    return [
        FieldError("data", f"makes {what} of {size} bytes", f"{most} bytes together")
        for what, size, most in sizes
        if size > most
    ]


def _event_id(event: CloudEvent) -> list[FieldError]:
    """The event's id is the request's, so it keeps the same rules."""
    try:
        _IdOnly(id=event.get_id())
    except ValidationError as error:
        return explain(error, _IdOnly)
    return []


class _IdOnly(Model):
    id: Identifier
