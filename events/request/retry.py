"""What follows a failure: attempts with delays, another Job. The rules about several fields are in rules.py."""

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from events.request.fields import wrong
from events.request.job import JobSpec
from events.request.model import Model

MAX_RETRY_DELAY = 604_800
"""Seconds, a week."""
_Seconds = Annotated[int, Field(ge=1, le=MAX_RETRY_DELAY)]


class Backoff(Model):
    """Delays between attempts that grow."""

    initial: _Seconds = Field(description="Seconds to the second attempt.")
    factor: Annotated[float, Field(ge=1, le=100, strict=False)] | None = Field(
        default=None, description="How many times as long each further one is. By default 1."
    )
    max: _Seconds | None = Field(default=None, description="Seconds that none is longer than.")

    @model_validator(mode="after")
    def _consistent(self) -> "Backoff":
        if self.max is not None and self.max < self.initial:
            raise wrong("has a max below its initial")
        return self


def _seconds_as_backoff(value: Any) -> Any:
    """A number of seconds is the same delay each time."""
    return {"initial": value} if isinstance(value, int) and not isinstance(value, bool) else value


class _OrSeconds:
    """Tells JSON Schema of the other form."""

    def __get_pydantic_json_schema__(self, core: Any, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        return {"anyOf": [handler(core), {"type": "integer", "minimum": 1, "maximum": MAX_RETRY_DELAY}]}


RetryDelay = Annotated[Backoff, BeforeValidator(_seconds_as_backoff), _OrSeconds()]
"""Seconds, or `{initial, factor, max}`."""


class Failover(Model):
    """A request of its own, made when this one has failed: `<id>/failover`."""

    job: JobSpec = Field(description="What to run; its container finds the `failed` event in $JOBRELAY_EVENT_PATH.")
