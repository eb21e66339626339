"""Functions: what the operator runs for events of any type. The model of their file, and what they make of an event.

Does not read the file, and does not check whether Kubernetes would accept `job`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from cloudevents.core.v1.event import CloudEvent
from pydantic import AfterValidator, Field, ValidationError, model_validator

from events.functions.filters import Filter, shallow
from events.functions.queue import FunctionQueue
from events.functions.templates import Missing, Values, fill, valid
from events.identity import Identity, job_name
from events.names import Label
from events.problems import FieldError, InvalidRequest, explain
from events.request.fields import EnvName, FunctionName, Identifier, LabelName, Model, Text, wrong
from events.request.queue import Queueable
from events.request.request import Request

MAX_ENV = 32_768
"""Bytes of all variables of one function's Job: they stand on the Job and on each of its pods."""
_TYPE_HINT = "a mapping with one key, functions: a list of {name, filters, env, job}"


class InvalidFunctions(ValueError):
    """The file cannot be used; `errors` holds every mistake, one line each."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        self.errors = tuple(errors)
        super().__init__("invalid functions:\n" + "\n".join(f"  {error}" for error in self.errors))


class Function(Model):
    """A Job for each event that passes all of its filters."""

    name: FunctionName = Field(
        description="Beginning of its Jobs' names and of their subject, `<name>/<id of the event>`; their service."
    )
    filters: Annotated[list[Filter], AfterValidator(shallow)] = Field(
        description="All must take the event. An empty list takes every event but job requests."
    )
    env: dict[EnvName, Annotated[Text, AfterValidator(valid)]] = Field(
        default_factory=dict,
        description="Variables of every container, made from the event: `{attribute}`, `{data.path}`, `{…:-default}`.",
    )
    payload: Literal["secret"] | None = Field(
        default=None,
        description="`secret`: the event goes into a Secret that the Job owns, whatever its size. "
        "By default only what is over JOBRELAY_INLINE_BYTES, or for several pods.",
    )
    queue: FunctionQueue | None = Field(default=None, description="When its Jobs may run. By default at once.")
    queue_name: LabelName | None = Field(
        default=None,
        description="LocalQueue of Kueue that its Jobs are put into: Kueue then decides when they run, and `queue` may "
        "say nothing but `priority`. By default JOBRELAY_KUEUE_QUEUE.",
    )
    job: dict[str, Any] = Field(description="The Job to run: a whole manifest of batch/v1, without a name.")

    @model_validator(mode="after")
    def _kueue_decides(self) -> "Function":
        if self.queue_name is None:
            return self
        queue = self.queue.model_dump(by_alias=True, exclude_none=True).keys() if self.queue else ()
        given = [f"queue.{name}" for name in queue if name != "priority"]
        spec = self.job.get("spec")
        if isinstance(spec, dict) and spec.get("suspend"):
            given.append("job.spec.suspend")
        if given:
            raise wrong(f"has {', '.join(given)} beside queueName: Kueue decides when its Jobs run", "queue.priority")
        return self

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


class FunctionsFile(Model):
    """The operator's file."""

    functions: list[Function] = Field(description="In any order; an event may match several.")


def parse_functions(document: object) -> tuple[Function, ...]:
    """The functions in a file that has been read as YAML or JSON. Raises `InvalidFunctions` with every mistake."""
    if not isinstance(document, dict) or not all(isinstance(key, str) for key in document):
        raise InvalidFunctions([FieldError("", "is no list of functions", _TYPE_HINT)])
    try:
        functions = FunctionsFile.model_validate(document).functions
    except ValidationError as error:
        raise InvalidFunctions([*explain(error, FunctionsFile), *_repeated(_names(document))]) from None
    if repeated := _repeated([one.name for one in functions]):
        raise InvalidFunctions(repeated)
    return tuple(functions)


def _names(document: dict[str, Any]) -> list[object]:
    found = document.get("functions")
    return [one.get("name") if isinstance(one, dict) else None for one in found] if isinstance(found, list) else []


def _repeated(names: Sequence[object]) -> list[FieldError]:
    texts = [name if isinstance(name, str) else None for name in names]
    return [
        FieldError(f"functions[{place}].name", f"is the name of another function too: {name!r}")
        for place, name in enumerate(texts)
        if name is not None and name in texts[:place]
    ]


@dataclass(frozen=True, slots=True)
class Call:
    """The request that a function makes of an event. `env` is ready for a manifest: `$` is quoted."""

    function: Function
    identity: Identity
    env: dict[str, str]
    queue: Queueable
    event: CloudEvent

    @classmethod
    def of(cls, function: Function, event: CloudEvent) -> "Call":
        """Raises `InvalidRequest` where the event lacks what the function needs."""
        values = Values(event)
        env, missing = _env(function, values)
        queue, lacking = (function.queue or FunctionQueue()).of(values, function=function.name)
        if errors := [*_event_id(event), *missing, *lacking]:
            raise InvalidRequest(errors)
        size = sum(len(name.encode()) + len(value.encode()) for name, value in env.items())
        if size > MAX_ENV:
            error = FieldError("data", f"makes variables of {size} bytes", f"{MAX_ENV} bytes together")
            raise InvalidRequest([error], code="TOO_LARGE")
        return cls(function, Identity(event.get_source(), event.get_id(), function.name), env, queue, event)

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

    @property
    def job_name(self) -> str:
        """The name of the Job, the same for every delivery of this event."""
        return job_name(self.function.name, self.identity)


Asked = Request | Call
"""What becomes a Job."""


def subject_of(function: Function, event: CloudEvent) -> str:
    """What every event about this function's request has as `subject`, and control events name it by."""
    return f"{function.name}/{event.get_id()}"


def matching(functions: Iterable[Function], event: CloudEvent) -> list[Function]:
    """Those that take the event, in the order of the file."""
    return [one for one in functions if one.takes(event)]


def _env(function: Function, values: Values) -> tuple[dict[str, str], list[FieldError]]:
    env, errors = {}, []
    for name, template in function.env.items():
        try:
            # Kubernetes expands $(NAME) in values. The operator may use that, whoever sends events may not.
            value = fill(template, values, quote={"$": "$$"})
        except Missing as error:
            about = f"is missing: variable {name} of function {function.name} is made from it"
            errors.append(FieldError(error.reference, about))
            continue
        if "\x00" in value:
            errors.append(FieldError("data", f"has a NUL character in what variable {name} is made from"))
        env[name] = value
    return env, errors


def _event_id(event: CloudEvent) -> list[FieldError]:
    """The event's id is the request's, so it keeps the same rules."""
    try:
        _IdOnly(id=event.get_id())
    except ValidationError as error:
        return explain(error, _IdOnly)
    return []


class _IdOnly(Model):
    id: Identifier
