"""When a Job with several pods has succeeded or failed: the policies of batch/v1."""

import re
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema, model_validator

from events.request.fields import INT32_MAX, Model, at_least_one, exactly_one, wrong

MAX_PARALLELISM = 1000
MAX_COMPLETIONS = 100_000
"""As many indexes as Kubernetes can still tell apart in a Job's status."""
MAX_INDEXES = 65_536
"""Characters of a list of indexes, as in Kubernetes."""
MAX_RETRIES = 100
MAX_DEADLINE = 604_800
"""Seconds, a week: of `activeDeadlineSeconds` and `startTimeout`."""
Retries = Annotated[int, Field(ge=0, le=MAX_RETRIES)]
Deadline = Annotated[int, Field(ge=1, le=MAX_DEADLINE)]

_INDEXES = re.compile(r"(0|[1-9][0-9]{0,6})(-[1-9][0-9]{0,6})?(,(0|[1-9][0-9]{0,6})(-[1-9][0-9]{0,6})?)*", re.ASCII)
_Rules = Field(min_length=1, max_length=20)
_IndexList = WithJsonSchema(
    {"type": "string", "maxLength": MAX_INDEXES, "pattern": f"^(?:{_INDEXES.pattern})$", "$comment": "such as 0,2-4,7"}
)


def _rise(text: str) -> bool:
    numbers = [int(number) for number in re.findall(r"[0-9]+", text)]
    return numbers == sorted(set(numbers))


def _indexes(text: str) -> str:
    if len(text) > MAX_INDEXES or not _INDEXES.fullmatch(text) or not _rise(text):
        raise wrong("is no list of indexes", "such as 0,2-4,7: rising, each once")
    return text


def _exit_codes(codes: list[int]) -> list[int]:
    if codes != sorted(set(codes)):
        raise wrong("must rise, each once")
    return codes


class SuccessRule(Model):
    """Met when these indexes have succeeded, or that many of them (of all indexes, where none are named)."""

    model_config = ConfigDict(json_schema_extra=at_least_one("succeededIndexes", "succeededCount"))

    succeeded_indexes: Annotated[str, AfterValidator(_indexes), _IndexList] | None = Field(
        default=None, description="Indexes that must succeed, such as `0,2-4,7`. By default any."
    )
    succeeded_count: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        default=None, description="How many of them. By default all."
    )

    @model_validator(mode="after")
    def _says_something(self) -> "SuccessRule":
        if self.succeeded_indexes is None and self.succeeded_count is None:
            raise wrong("needs succeededIndexes, succeededCount, or both")
        return self


class SuccessPolicy(Model):
    """The Job succeeds as soon as one of the rules is met; pods that still run are ended."""

    rules: Annotated[list[SuccessRule], _Rules] = Field(description="The first that is met decides.")


class OnExitCodes(Model):
    """Exit codes of the container, which is called `main`."""

    container_name: Literal["main"] | None = Field(default=None, description="The container whose exit code counts.")
    operator: Literal["In", "NotIn"] = Field(
        description="`In`: the exit code is one of `values`; `NotIn`: it is none of them, nor 0."
    )
    values: Annotated[
        list[Annotated[int, Field(ge=0, le=255)]], Field(min_length=1, max_length=255), AfterValidator(_exit_codes)
    ] = Field(description="Rising, each once.")

    @model_validator(mode="after")
    def _no_success(self) -> "OnExitCodes":
        if self.operator == "In" and 0 in self.values:
            raise wrong("holds 0 with operator In: a pod that exits with 0 has not failed")
        return self


class OnPodCondition(Model):
    """A condition of the failed pod, such as `DisruptionTarget`."""

    type: Annotated[str, Field(min_length=1, max_length=316)] = Field(
        description="Type of the condition, such as `DisruptionTarget`."
    )
    status: Literal["True", "False", "Unknown"] = Field(default="True", description="Status of the condition.")


class FailureRule(Model):
    """What a failed pod that matches means for the Job."""

    model_config = ConfigDict(json_schema_extra=exactly_one("onExitCodes", "onPodConditions"))

    action: Literal["FailJob", "FailIndex", "Ignore", "Count"] = Field(
        description="`FailJob`, `FailIndex`: the Job or the index fails at once; `Ignore`: not counted; "
        "`Count`: counted as usual."
    )
    on_exit_codes: OnExitCodes | None = Field(default=None, description="Matches by exit code.")
    on_pod_conditions: Annotated[list[OnPodCondition], _Rules] | None = Field(
        default=None, description="Matches if one of these conditions is there."
    )

    @model_validator(mode="after")
    def _one_requirement(self) -> "FailureRule":
        if (self.on_exit_codes is None) == (self.on_pod_conditions is None):
            raise wrong("needs exactly one of onExitCodes, onPodConditions")
        return self


class FailurePolicy(Model):
    """The first rule that matches a failed pod decides; without a match the failure counts towards the limit."""

    rules: Annotated[list[FailureRule], _Rules] = Field(description="The first that matches decides.")


class BatchFields(Model):
    """The fields of `job` that batch/v1 has beside the pod: how many pods, how often, how long."""

    section: ClassVar[str] = "How many, how often, how long"

    ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=INT32_MAX)] | None = Field(
        default=None,
        description="Seconds a finished Job stays, at most JOBRELAY_MAX_TTL_SECONDS; fewer than JOBRELAY_DEDUP_SECONDS "
        "are raised to those. By default JOBRELAY_TTL_SECONDS.",
    )
    backoff_limit: Retries | None = Field(
        default=None,
        description="How often a failed pod is replaced: the same as `retries`. By default `0`, or, with "
        "`backoffLimitPerIndex`, no limit but that of each index.",
    )
    active_deadline_seconds: Deadline | None = Field(
        default=None,
        description="Seconds the Job may run, at most JOBRELAY_MAX_DEADLINE_SECONDS. "
        "By default JOBRELAY_DEADLINE_SECONDS.",
    )
    parallelism: Annotated[int, Field(ge=1, le=MAX_PARALLELISM)] = Field(
        default=1,
        description="Pods that run at once, at most JOBRELAY_MAX_PARALLELISM. Above 1 and without `completions` the "
        "Job is a work queue: it is done when one pod has succeeded and all have ended.",
    )
    completions: Annotated[int, Field(ge=1, le=INT32_MAX)] | None = Field(
        default=None,
        description="Pods that must succeed, at most JOBRELAY_MAX_COMPLETIONS. By default `1`, or, with `parallelism` "
        "above 1, a work queue.",
    )
    completion_mode: Literal["NonIndexed", "Indexed"] | None = Field(
        default=None,
        description="`Indexed`: each pod has an index, in `JOB_COMPLETION_INDEX`; needs `completions`. "
        "By default `NonIndexed`.",
    )
    backoff_limit_per_index: Retries | None = Field(
        default=None,
        description="How often a failed pod of one index is replaced; needs `completionMode: Indexed`. "
        "By default `backoffLimit` alone counts.",
    )
    max_failed_indexes: Annotated[int, Field(ge=0, le=MAX_COMPLETIONS)] | None = Field(
        default=None,
        description="Failed indexes above which the Job fails at once; needs `backoffLimitPerIndex`. "
        "By default no limit.",
    )
    success_policy: SuccessPolicy | None = Field(
        default=None,
        description="When an Indexed Job succeeds before all its indexes have. By default all must succeed.",
    )
    pod_failure_policy: FailurePolicy | None = Field(
        default=None,
        description="What failed pods mean, by exit code or condition; the container is called `main`. "
        "By default every failure counts.",
    )
    pod_replacement_policy: Literal["TerminatingOrFailed", "Failed"] | None = Field(
        default=None,
        description="When a pod that ends is replaced: once it terminates, or once it has failed, which is the only "
        "choice with `podFailurePolicy`. By default Kubernetes decides.",
    )
