"""The fields of a request that make it run again and again. When a time has come is up to Kubernetes."""

from datetime import UTC, datetime
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from events.cron import InvalidSchedule, parse_schedule, zone
from events.request.fields import Model, wrong

MAX_RUNS = 1_000_000
MAX_CRON = 1024
"""Characters of a schedule: it may name every minute, hour and day by itself."""
MAX_ZONE = 255
_SOME_DAY = datetime(2024, 1, 1, tzinfo=UTC)
"""In a leap year: a date that does not come in the years after it never comes."""
_CRON = r"@(yearly|annually|monthly|weekly|daily|midnight|hourly)|@every .+|\s*\S+(\s+\S+){4}\s*"
_ZONE = r"[A-Za-z0-9._+][A-Za-z0-9._+-]{0,13}(/[A-Za-z0-9._+][A-Za-z0-9._+-]{0,13})*"


def _cron(value: str) -> str:
    if len(value) > MAX_CRON:
        raise wrong("is too long for a schedule", f"at most {MAX_CRON} characters")
    try:
        found = parse_schedule(value).next_after(_SOME_DAY, zone("Etc/UTC"))
    except InvalidSchedule as error:
        raise wrong(error.problem, error.allowed) from None
    if found is None:
        raise wrong("names a time that never comes", "a day that there is in some month")
    return value


def _zone(value: str) -> str:
    if len(value) > MAX_ZONE:
        raise wrong("is too long for a time zone", f"at most {MAX_ZONE} characters")
    try:
        zone(value)
    except InvalidSchedule as error:
        raise wrong(error.problem, error.allowed) from None
    return value


Cron = Annotated[
    str,
    AfterValidator(_cron),
    WithJsonSchema(
        {
            "type": "string",
            "maxLength": MAX_CRON,
            "pattern": f"^(?:{_CRON})$",
            "$comment": "5 fields, @hourly, @daily, @weekly, @monthly, @yearly, or @every and a duration",
        }
    ),
]
TimeZone = Annotated[
    str,
    AfterValidator(_zone),
    WithJsonSchema(
        {
            "type": "string",
            "maxLength": MAX_ZONE,
            "pattern": f"^(?:{_ZONE})$",
            "$comment": "an IANA name such as Europe/Berlin",
        }
    ),
]


class Schedulable(Model):
    """The fields of a request that make it recur."""

    section: ClassVar[str] = "A schedule"

    schedule: Cron | None = Field(
        default=None,
        description="Cron expression, as in a CronJob: run at each of these times. By default the request runs once.",
    )
    time_zone: TimeZone | None = Field(
        default=None,
        description="Time zone of `schedule`, an IANA name. By default that of the cluster, usually UTC.",
    )
    max_runs: Annotated[int, Field(ge=1, le=MAX_RUNS)] | None = Field(
        default=None, description="How often it runs; needs `schedule`. By default without end."
    )
    concurrency_policy: Literal["Allow", "Forbid", "Replace"] | None = Field(
        default=None,
        description="When the run before has not ended: run beside it, not at all, or instead of it; needs `schedule`. "
        "By default `Allow`.",
    )
