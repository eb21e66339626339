"""What parameters have in common: names in camelCase, and times as people write them."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from handler.console.http.problems import Fault, Problem
from handler.operations.times import read_moment


class Asked(BaseModel):
    """Parameters of an address."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="forbid")


def _time(text: str) -> str:
    try:
        read_moment(text, now=datetime.now(UTC))
    except ValueError as error:
        raise ValueError(f"is {error}") from None
    return text


Time = Annotated[
    str,
    AfterValidator(_time),
    Field(description="How long ago (90s, 15m, 1h30m, 7d), a day, or RFC 3339.", examples=["24h", "2026-01-31"]),
]
"""A point in time, as it was written."""
Number = Annotated[int, Field(ge=0, lt=2**63)]


def seconds_of(text: str | None, *, now: float) -> float | None:
    """Epoch seconds of a `Time`; None if nothing is asked for."""
    return read_moment(text, now=datetime.fromtimestamp(now, UTC)).timestamp() if text is not None else None


def require_order(newer: float | None, older: float | None) -> None:
    """Raises `Problem` if nothing is in between."""
    if newer is not None and older is not None and newer > older:
        fault = Fault(path="since", message="is after until: nothing is in between")
        raise Problem(400, "EMPTY_RANGE", "since is after until: nothing is in between.", errors=[fault])
