"""From when to when, as people ask for it."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from handler.console.http.problems import Fault, Problem
from handler.console.views.models import Model
from handler.operations.times import read_duration, read_moment


def _is_moment(text: str) -> str:
    read_moment(text, now=datetime.now(UTC))
    return text


def _is_duration(text: str) -> str:
    seconds_of(text)
    return text


def seconds_of(text: str) -> timedelta:
    """Raises `ValueError` for what is no duration, or too long for one."""
    try:
        return read_duration(text)
    except OverflowError:
        raise ValueError("longer than any time") from None


class Asked(Model):
    """What is asked for, as the parameters of a URL. Forms send what was left empty, too: it is not asked."""

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, given: Any) -> Any:
        return {name: value for name, value in given.items() if value != ""} if isinstance(given, dict) else given


MomentText = Annotated[str, Field(max_length=64), AfterValidator(_is_moment)]
"""A time: RFC 3339, a day, or how long ago."""
DurationText = Annotated[str, Field(max_length=64), AfterValidator(_is_duration)]


class Span(Asked):
    """A stretch of time, for models of what is asked."""

    since: MomentText | None = Field(None, description="Not before: 24h ago, 7d, a day, or an RFC 3339 time.")
    until: MomentText | None = Field(None, description="Before: the same.")

    def bounds(self, now: datetime) -> tuple[float | None, float | None]:
        """Both in epoch seconds. Raises `Problem` if nothing is in between."""
        since, until = (None if text is None else _epoch(text, now) for text in (self.since, self.until))
        if since is not None and until is not None and since > until:
            wrong = Fault(path="since", message="is after `until`: nothing is in between", allowed="a time before it")
            raise Problem(400, "EMPTY_RANGE", "There is no time between `since` and `until`.", errors=[wrong])
        return since, until


def _epoch(text: str, now: datetime) -> float:
    return read_moment(text, now=now).timestamp()
