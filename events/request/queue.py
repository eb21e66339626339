"""When a request may run: the fields about queueing. In which order Jobs are let go is decided elsewhere."""

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from events.cloudevent.timestamp import parse_time
from events.jobs.queueing import DEFAULT_DEPENDENCY_TIMEOUT, MAX_DEPENDENCIES, Queueing
from events.request.fields import Identifier, Model, wrong

MAX_PRIORITY = 1000
MAX_MOMENT = 64
"""Characters of a point in time."""
MAX_LIMIT = 10_000
MAX_DEPENDENCY_TIMEOUT = 604_800
"""Seconds, a week."""


def _moment(value: str) -> str:
    try:
        if len(value) > MAX_MOMENT:
            raise ValueError
        parse_time(value)
    except ValueError:
        raise wrong("is no point in time", "RFC 3339, such as 2026-01-31T12:00:00Z") from None
    return value


def _distinct(values: list[str]) -> list[str]:
    if len(set(values)) < len(values):
        raise wrong("name a request twice", "each once")
    return values


Moment = Annotated[
    str, AfterValidator(_moment), WithJsonSchema({"type": "string", "maxLength": MAX_MOMENT, "format": "date-time"})
]
Priority = Annotated[int, Field(ge=0, le=MAX_PRIORITY)]
Dependencies = Annotated[
    list[Identifier],
    Field(min_length=1, max_length=MAX_DEPENDENCIES, json_schema_extra={"uniqueItems": True}),
    AfterValidator(_distinct),
]
OnDependencyFailure = Literal["cancel", "run"]
DependencyTimeout = Annotated[int, Field(ge=1, le=MAX_DEPENDENCY_TIMEOUT)]


class Concurrency(Model):
    """A limit on how many requests with the same key run at a time, whoever sent them."""

    key: Identifier = Field(description="Free text: names what must not be used by too many at a time.")
    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT)] | None = Field(
        default=None,
        description="How many with this key may run while this request does. By default JOBRELAY_MAX_ACTIVE_PER_KEY.",
    )


class Queueable(Model):
    """The fields of a request that say when it may run, except points in time."""

    section: ClassVar[str] = "When it may run"

    priority: Priority | None = Field(
        default=None,
        description="Who goes first where not all can run: the highest, and waiting raises it. At most "
        "JOBRELAY_MAX_PRIORITY. By default `0`.",
    )
    exclusive: bool | None = Field(
        default=None,
        description="`true`: runs alone among the requests with its `concurrency.key`; without a key, alone in its "
        "`service`. By default `false`.",
    )
    concurrency: Concurrency | None = Field(
        default=None,
        description="How many requests with the same `key` may run at a time: `limit`, else "
        "JOBRELAY_MAX_ACTIVE_PER_KEY. By default no key.",
    )
    dependencies: Dependencies | None = Field(
        default=None,
        description="Ids of requests that must have succeeded before: of the same source, else of any. "
        "By default none.",
    )
    on_dependency_failure: OnDependencyFailure | None = Field(
        default=None,
        description="When a dependency does not succeed: `cancel` fails this request, `run` runs it. "
        "By default `cancel`.",
    )
    dependency_timeout: DependencyTimeout | None = Field(
        default=None, description="Seconds from acceptance that the dependencies may take. By default `3600`."
    )

    def queueing(self, *, gpus: int, run_at: str | None = None) -> Queueing:
        """What is stored of these fields. `gpus`: of all its pods together."""
        key, limit = (self.concurrency.key, self.concurrency.limit) if self.concurrency else (None, None)
        return Queueing(
            priority=self.priority or 0,
            key=key,
            limit=1 if self.exclusive else limit,
            exclusive=bool(self.exclusive),
            gpus=gpus,
            dependencies=tuple(self.dependencies or ()),
            run_on_failure=self.on_dependency_failure == "run",
            dependency_timeout=self.dependency_timeout or DEFAULT_DEPENDENCY_TIMEOUT,
            run_at=run_at,
        )
