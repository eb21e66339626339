"""The `queue` of a function: when its Jobs may run, made from each event. What it means is in request/queue.py."""

from typing import Annotated

from pydantic import Field, ValidationError

from events.functions.trees import Filling, Template
from events.jobs.queueing import MAX_DEPENDENCIES
from events.problems import FieldError, explain
from events.request.fields import Model
from events.request.queue import (
    MAX_LIMIT,
    DependencyTimeout,
    OnDependencyFailure,
    Priority,
    Queueable,
)


class FunctionConcurrency(Model):
    """A limit on how many requests with the same key run at a time, whoever sent them."""

    key: Template = Field(description="Names what must not be used by too many at a time: a template, as in `env`.")
    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT)] | None = Field(
        default=None, description="How many with this key may run. By default JOBRELAY_MAX_ACTIVE_PER_KEY."
    )


class FunctionQueue(Model):
    """The fields of a request by these names. Texts are templates."""

    priority: Priority | None = Field(default=None, description="Who goes first where not all can run: the highest.")
    exclusive: bool | None = Field(
        default=None, description="Runs alone among those with its key; without a key, alone in its service."
    )
    concurrency: FunctionConcurrency | None = Field(
        default=None, description="How many with the same key may run at a time."
    )
    dependencies: Annotated[list[Template], Field(min_length=1, max_length=MAX_DEPENDENCIES)] | None = Field(
        default=None, description="Requests that must have succeeded before: their ids, of a function's `<name>/<id>`."
    )
    on_dependency_failure: OnDependencyFailure | None = Field(
        default=None,
        description="When a dependency does not succeed: `cancel` fails the request (the default), `run` runs it.",
    )
    dependency_timeout: DependencyTimeout | None = Field(
        default=None, description="Seconds that the dependencies may take."
    )

    def of(self, filling: Filling, *, function: str) -> tuple[Queueable, list[FieldError]]:
        """The fields filled in from an event, and what is wrong with them. What is missing is in `filling.errors`."""
        known = len(filling.errors)
        filled = filling.tree(self.model_dump(by_alias=True, exclude_none=True), what=f"queue of function {function}")
        if len(filling.errors) > known:
            return Queueable(), []
        try:
            return Queueable.model_validate(filled), []
        except ValidationError as error:
            made = f"makes a queue of function {function} whose"
            return Queueable(), [
                FieldError("data", f"{made} {one.path} {one.message}", one.allowed) for one in explain(error, Queueable)
            ]
