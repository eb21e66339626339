"""The settings of admission: how many Jobs may run at a time, and how many may wait. handler.admission decides."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from events.jobs.queueing import Queueing
from events.request.fields import is_label_name
from events.request.queue import MAX_PRIORITY
from handler.settings.policy import Names

_CLASS = re.compile(r"(\d{1,4})=(.+)", re.ASCII)
_LABEL_NAME = "a-z, 0-9, - and . inside, at most 63"
_Limit = Annotated[int, Field(ge=1, le=1_000_000)]
LIMITS = (
    "max_active",
    "max_active_per_service",
    "max_active_per_namespace",
    "max_active_per_key",
    "max_active_gpus",
)


def priority_class(text: str) -> tuple[int, str]:
    """The least priority, and the name of the class, of `500=high`. Raises `ValueError`."""
    found = _CLASS.fullmatch(text)
    if found is None or int(found[1]) > MAX_PRIORITY or not is_label_name(found[2]):
        raise ValueError(f"<least priority, 0-{MAX_PRIORITY}>=<name> expected, the name of {_LABEL_NAME}")
    return int(found[1]), found[2]


def _classes(values: tuple[str, ...]) -> tuple[str, ...]:
    numbers = [priority_class(value)[0] for value in values]
    if len(set(numbers)) < len(numbers):
        raise ValueError("one class for each least priority expected")
    return values


def _queue(value: str) -> str:
    if not is_label_name(value):
        raise ValueError(f"the name of a LocalQueue expected: {_LABEL_NAME}")
    return value


class AdmissionSettings(BaseModel):
    """Fields of `Settings`. A limit of None is no limit. Durations are in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    admission: Literal["auto", "always", "off"] = Field(
        "auto",
        description="Which Jobs wait until the controller admits them. `auto`: those that a limit or a field of their "
        "request concerns (`concurrency`, `exclusive`, `dependencies`, `runAt`); `always`: all; `off`: none, and "
        "requests with such a field are rejected. `off` cannot be combined with limits.",
    )
    max_active: _Limit | None = Field(None, description="Jobs that may run at a time. Empty: no limit.")
    max_active_per_service: _Limit | None = Field(
        None, description="Jobs of each `service` that may run at a time. Empty: no limit."
    )
    max_active_per_namespace: _Limit | None = Field(
        None, description="Jobs in each namespace that may run at a time. Empty: no limit."
    )
    max_active_per_key: _Limit | None = Field(
        None,
        description="Jobs with each `concurrency.key` that may run at a time. Requests may name a smaller limit. "
        "Empty: no limit.",
    )
    max_active_gpus: _Limit | None = Field(
        None, description="GPUs (`JOBRELAY_GPU_RESOURCE`) that all Jobs may take at a time. Empty: no limit."
    )
    ageing_seconds: float = Field(
        60, ge=1, le=86400, description="Seconds of waiting that count as much as one step of `priority`."
    )
    max_queued: int = Field(
        1000,
        ge=1,
        le=1_000_000,
        description="Jobs waiting for room above which handlers stop taking requests in. While several services want "
        "room, each has half of them at most; the rest of its requests waits in the broker, and others pass. It "
        "matters where `JOBRELAY_ADMISSION` is `always` or a limit is set.",
    )
    max_waiting: int = Field(
        10_000,
        ge=1,
        le=1_000_000,
        description="Jobs that may wait for a time, for other requests or for a `resume`. Beyond, such requests are "
        "rejected with `TOO_MANY_WAITING`. While several services want to wait, each has half of them at most.",
    )
    max_run_at_days: int = Field(
        366, ge=1, le=36_500, description="Latest `runAt` that a request may name, in days from its arrival."
    )
    max_priority: int = Field(
        MAX_PRIORITY,
        ge=0,
        le=MAX_PRIORITY,
        description="Highest `priority` that a request may name. Functions may name any.",
    )
    keys: Literal["shared", "service"] = Field(
        "shared",
        description="Whose Jobs a `concurrency.key` concerns. `shared`: those of all services that name it; `service`: "
        "only those of the same `service`, so that no service can hold up another by a key.",
    )

    kueue_queue: Annotated[str, AfterValidator(_queue)] | None = Field(
        None,
        description="Kueue's LocalQueue that every Job is put into: Kueue then decides when Jobs run. Cannot be "
        "combined with limits or with `JOBRELAY_ADMISSION=always`. Empty: Kueue decides only for functions with a "
        "`queueName`.",
    )
    kueue_priority_classes: Annotated[Names, AfterValidator(_classes)] = Field(
        (),
        description="Kueue's WorkloadPriorityClasses, each with the least `priority` that it stands for, such as "
        "`0=low,500=high`. Empty: none.",
    )

    @model_validator(mode="after")
    def _limits_are_possible(self) -> Self:
        given = [f"JOBRELAY_{name.upper()}" for name in LIMITS if getattr(self, name) is not None]
        if self.admission == "off" and given:
            raise ValueError(f"JOBRELAY_ADMISSION=off does not go with limits: {', '.join(given)}")
        if self.admission == "always":
            given.append("JOBRELAY_ADMISSION=always")
        if self.kueue_queue is not None and given:
            raise ValueError(f"JOBRELAY_KUEUE_QUEUE does not go with {', '.join(given)}: Kueue decides when Jobs run")
        return self

    @property
    def admits(self) -> bool:
        """Whether any request may have to wait for room: then handlers pause while too many Jobs wait."""
        return self.admission == "always" or any(getattr(self, name) is not None for name in LIMITS)

    def governs(self, queueing: Queueing, service: str | None) -> bool:
        """Whether a Job of this kind waits until the controller admits it."""
        if self.admission != "auto":
            return self.admission == "always"
        return (
            queueing.waits
            or queueing.key is not None
            or self.max_active is not None
            or self.max_active_per_namespace is not None
            or (self.max_active_per_service is not None and service is not None)
            or (self.max_active_gpus is not None and queueing.gpus > 0)
        )


def unadmitted(queueing: Queueing, admission: str, *, scheduled: bool = False) -> list[tuple[str, str]]:
    """Fields of a request that need another JOBRELAY_ADMISSION, each with what it needs. `scheduled`: it recurs."""
    alone = queueing.exclusive and queueing.key is None
    needs_always = [("exclusive", "JOBRELAY_ADMISSION=always, or a concurrency.key")] if alone else []
    if admission != "off":
        return needs_always if admission == "auto" else []
    asked = {
        "concurrency": queueing.key is not None,
        "dependencies": bool(queueing.dependencies),
        "runAt": queueing.run_at is not None,
        "schedule": scheduled,
    }
    on = "JOBRELAY_ADMISSION=auto, or always"
    return [*needs_always, *((field, on) for field, given in asked.items() if given)]
