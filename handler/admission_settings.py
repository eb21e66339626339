"""The settings of admission: how much may run at a time, how much may wait. The decision is in admission.py."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from events.queueing import Queueing

_Limit = Annotated[int, Field(ge=1, le=1_000_000)]
LIMITS = (
    "max_active",
    "max_active_per_service",
    "max_active_per_namespace",
    "max_active_per_key",
    "max_active_gpus",
)


class AdmissionSettings(BaseModel):
    """Fields of `Settings`. A limit that is None is none. Durations in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    admission: Literal["auto", "always", "off"] = Field(
        "auto",
        description="`auto`: Jobs that a limit or a field of their request concerns wait for the controller's leave; "
        "`always`: all do; `off`: none does, and requests that ask for it are refused.",
    )
    max_active: _Limit | None = Field(None, description="Jobs that may run at a time. Empty: no limit.")
    max_active_per_service: _Limit | None = Field(None, description="The same for each `service`.")
    max_active_per_namespace: _Limit | None = Field(None, description="The same for each namespace.")
    max_active_per_key: _Limit | None = Field(None, description="The same for each `concurrency.key`.")
    max_active_gpus: _Limit | None = Field(
        None, description="GPUs (`JOBRELAY_GPU_RESOURCE`) of all Jobs that run at a time. Empty: no limit."
    )
    ageing_seconds: float = Field(
        60, ge=1, le=86400, description="Time of waiting that counts as much as one step of `priority`."
    )
    max_queued: int = Field(
        1000,
        ge=1,
        le=1_000_000,
        description="Jobs that wait for room before handlers stop taking requests in, where `JOBRELAY_ADMISSION` is "
        "`always` or there is a limit.",
    )
    max_waiting: int = Field(
        10_000,
        ge=1,
        le=1_000_000,
        description="Jobs that wait for a time, for other requests or for a `resume`; beyond, such requests are "
        "refused.",
    )

    @model_validator(mode="after")
    def _limits_are_kept(self) -> Self:
        given = [f"JOBRELAY_{name.upper()}" for name in LIMITS if getattr(self, name) is not None]
        if self.admission == "off" and given:
            raise ValueError(f"JOBRELAY_ADMISSION=off does not go with limits: {', '.join(given)}")
        return self

    @property
    def admits(self) -> bool:
        """Whether every request may have to wait for room: then handlers heed the queue's length."""
        return self.admission == "always" or any(getattr(self, name) is not None for name in LIMITS)

    def governs(self, queueing: Queueing, service: str | None) -> bool:
        """Whether such a Job may run only with the controller's leave."""
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
    """Fields of a request that need another setting of JOBRELAY_ADMISSION, with that one. `scheduled`: it recurs."""
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
