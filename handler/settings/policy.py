"""The settings that say what requests may ask for. handler.policy applies them."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from events.request.batch import MAX_COMPLETIONS, MAX_DEADLINE, MAX_PARALLELISM
from events.request.container import MAX_GPUS
from events.request.fields import INT32_MAX, is_dns_label
from handler.settings.reach import items
from k8s.manifests.job import MAX_EVENT_BYTES
from k8s.reading.quantity import parse

_RANGE = re.compile(r"(\d{1,10})(?:-(\d{1,10}))?", re.ASCII)


def split(value: object) -> object:
    """The items of a comma-separated list."""
    return items(value) if isinstance(value, str) else value


def _amount(value: str) -> str:
    try:
        positive = parse(value) > 0
    except ValueError:
        positive = False
    if not positive:
        raise ValueError("a quantity above 0 expected, such as 2, 500m or 4Gi")
    return value


def _ids(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        id_range(value)
    return values


def _services(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        namespace, named, pattern = value.rpartition("=")
        if not pattern or bool(named) != bool(namespace) or (namespace and not is_dns_label(namespace)):
            raise ValueError("a pattern expected, or <namespace>=<pattern>")
    return values


def id_range(text: str) -> range:
    """The ids of `1000` or of `1000-1999`. Raises `ValueError`."""
    found = _RANGE.fullmatch(text)
    if found is None or int(found[1]) > int(found[2] or found[1]) or int(found[2] or found[1]) > INT32_MAX:
        raise ValueError(f"an id or a range of ids up to {INT32_MAX} expected, such as 1000-1999")
    return range(int(found[1]), int(found[2] or found[1]) + 1)


Names = Annotated[tuple[str, ...], BeforeValidator(split)]
Amount = Annotated[str, AfterValidator(_amount)]


class PolicySettings(BaseModel):
    """Fields of `Settings`. A maximum of None is no maximum. Durations are in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    images: Names = Field(("*",), description="Images that requests may name: shell patterns.")
    pull_secrets: Names = Field(
        (),
        description="Secrets that requests may name in `imagePullSecrets`: shell patterns, as in `JOBRELAY_SECRETS`. "
        "Empty: none.",
    )
    service_accounts: Names = Field(
        (), description="Service accounts that requests may name, by their full names. Empty: none."
    )
    secrets: Names = Field(
        (),
        description="Secrets that requests may name in `envRef` and `volumes`: shell patterns. `jobrelay-payload-*`, "
        "where events of requests are, is never allowed; other names in `jobrelay-` only by a pattern that does, too. "
        "Empty: none.",
    )
    claims: Names = Field(
        (),
        description="PersistentVolumeClaims that requests may name in `volume` and `volumes`: shell patterns. "
        "`*-jobrelay-ephemeral-*`, which belong to pods of requests, are never allowed. Empty: none.",
    )
    max_claim_storage: Amount | None = Field(
        None, description="Largest `ephemeral` claim in `volumes`. Empty: no ephemeral claims."
    )
    storage_classes: Names = Field(
        (),
        description="Storage classes that ephemeral claims may name: shell patterns. "
        "Empty: only the cluster's default.",
    )
    services: Annotated[Names, AfterValidator(_services)] = Field(
        (),
        description="Services that requests may name: shell patterns, for all namespaces, or for one as in "
        "`team-a=pay-*`. A request that names none is not concerned. Empty: any.",
    )
    app_label: Literal["on", "off"] = Field(
        "on",
        description="`on`: Jobs and pods have the request's `service` as labels `app` and `app.kubernetes.io/name`. "
        "`off`: they have it as `jobrelay.dev/service` alone, so that no Service or NetworkPolicy that is meant for "
        "others selects them by their application.",
    )
    labels: Names = Field(
        ("*",),
        description="Labels without a prefix that requests may set: shell patterns. `app`, `job-name` and "
        "`controller-uid` are never allowed. Empty: none.",
    )
    label_prefixes: Names = Field(
        (),
        description="Prefixes of labels that requests may set, such as `example.com`: shell patterns. Prefixes of "
        "Kubernetes are allowed only by a pattern that ends like them (`*.kubernetes.io`, `*.k8s.io`, `*.x-k8s.io`), "
        "`jobrelay.dev`, `batch.kubernetes.io`, `app.kubernetes.io/name` and `app.kubernetes.io/managed-by` never.",
    )
    annotation_prefixes: Names = Field(
        (),
        description="Prefixes of annotations that requests may set: shell patterns. Annotations without a prefix are "
        "free; Kubernetes' prefixes and `jobrelay.dev` are treated as in labels.",
    )
    priority_classes: Names = Field(
        (), description="Priority classes that requests may name in `priorityClassName`: shell patterns. Empty: none."
    )
    pod_security: Literal["restricted", "off"] = Field(
        "restricted",
        description="`restricted`: pods meet the Pod Security Standard of that name. `off`: the image decides; "
        "requests still cannot ask for more.",
    )
    run_as_user: int = Field(65532, ge=1, le=INT32_MAX, description="User id of containers under `restricted`.")
    user_ids: Annotated[Names, AfterValidator(_ids)] = Field(
        (f"1-{INT32_MAX}",),
        description="User and group ids that requests may name in `securityContext`: numbers and ranges.",
    )
    max_cpu: Amount | None = Field(
        None, description="Largest CPU limit of a container, and the limit of those that name none. Empty: no maximum."
    )
    max_memory: Amount | None = Field(
        None,
        description="Largest memory limit of a container, and the limit of those that name none. Empty: no maximum.",
    )
    max_ephemeral_storage: Amount | None = Field(
        None,
        description="Largest limit of a container's ephemeral storage, and the limit of those that name none. "
        "Empty: no maximum.",
    )
    extended_resources: Names = Field(
        (),
        description="Other resources that requests may name, such as `example.com/fpga`: shell patterns. Empty: none.",
    )
    gpu_resource: str = Field(
        "nvidia.com/gpu",
        pattern=r"^[a-z0-9.-]{1,253}/[A-Za-z0-9_.-]{1,63}$",
        description="Resource that `gpuEnable` and `gpuNumber` mean.",
    )
    max_gpus: int = Field(
        4, ge=0, le=MAX_GPUS, description="GPUs that each pod may have, however its request asks for them. 0: none."
    )
    max_parallelism: int = Field(100, ge=1, le=MAX_PARALLELISM, description="Largest `parallelism` of a request.")
    max_completions: int = Field(10_000, ge=1, le=MAX_COMPLETIONS, description="Largest `completions` of a request.")
    deadline_seconds: int | None = Field(
        None,
        ge=1,
        le=MAX_DEADLINE,
        description="`activeDeadlineSeconds` of requests that name none. Empty: `JOBRELAY_MAX_DEADLINE_SECONDS`.",
    )
    max_deadline_seconds: int | None = Field(
        None,
        ge=1,
        le=MAX_DEADLINE,
        description="Largest `activeDeadlineSeconds` of a request. Empty: no maximum, and no default.",
    )
    dedup_seconds: int = Field(
        3600,
        ge=300,
        description="Seconds that a finished Job stays at least, so that a repeat of its request finds it. "
        "A smaller TTL is raised to this.",
    )
    ttl_seconds: int = Field(
        3600, ge=0, description="Seconds that a finished Job stays when its request names no `ttlSecondsAfterFinished`."
    )
    max_ttl_seconds: int = Field(
        604_800,
        ge=300,
        le=INT32_MAX,
        description="Largest `ttlSecondsAfterFinished` of a request. `JOBRELAY_TTL_SECONDS` and "
        "`JOBRELAY_DEDUP_SECONDS` are no larger.",
    )
    max_request_bytes: int = Field(
        MAX_EVENT_BYTES,
        ge=1024,
        le=MAX_EVENT_BYTES,
        description="Largest request, in bytes, as a structured event. A Secret holds no more than 1 MiB.",
    )

    @model_validator(mode="after")
    def _defaults_are_allowed(self) -> Self:
        if self.max_deadline_seconds is not None and (self.deadline_seconds or 0) > self.max_deadline_seconds:
            raise ValueError("JOBRELAY_DEADLINE_SECONDS must not be above JOBRELAY_MAX_DEADLINE_SECONDS")
        if max(self.ttl_seconds, self.dedup_seconds) > self.max_ttl_seconds:
            raise ValueError(
                "JOBRELAY_TTL_SECONDS and JOBRELAY_DEDUP_SECONDS must not be above JOBRELAY_MAX_TTL_SECONDS"
            )
        return self

    @property
    def default_deadline(self) -> int | None:
        """Seconds that the Job of a request without a deadline may take; None for no limit."""
        return self.deadline_seconds or self.max_deadline_seconds

    def services_in(self, namespace: str) -> tuple[str, ...]:
        """The patterns of services whose Jobs may be in this namespace. None at all means any."""
        given = (text.rpartition("=") for text in self.services)
        return tuple(pattern for where, _, pattern in given if where in ("", namespace))

    @property
    def limits(self) -> dict[str, str]:
        """The largest amount of each resource that has a maximum."""
        amounts = {"cpu": self.max_cpu, "memory": self.max_memory, "ephemeral-storage": self.max_ephemeral_storage}
        return {name: amount for name, amount in amounts.items() if amount is not None}
