"""The field `job` of a request: every field of it, one after the other. What the parts look like is in request_*.py."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from events.request.batch import FailurePolicy, SuccessPolicy
from events.request.container import (
    ClaimVolume,
    EnvRef,
    EnvVar,
    PullSecret,
    Resources,
    SecurityContext,
    Volume,
    distinct_env,
)
from events.request.fields import Directory, DnsLabel, Image, LabelKey, LabelText, Model, ObjectName, Prefix, Text
from events.request.placement import Affinity, NodeSelector, Spread, Toleration

MAX_PARALLELISM = 1000
MAX_COMPLETIONS = 100_000
"""As many indexes as Kubernetes can still tell apart in a Job's status."""
MAX_RETRIES = 100
MAX_DEADLINE = 604_800
"""Seconds, a week: of `activeDeadlineSeconds` and `startTimeout`."""
MAX_GPUS = 64
MAX_GRACE = 3600
"""Seconds of `terminationGracePeriodSeconds`: a cancelled Job takes up to that long."""
MAX_VOLUMES = 50

INT32_MAX = 2**31 - 1
Retries = Annotated[int, Field(ge=0, le=MAX_RETRIES)]
Deadline = Annotated[int, Field(ge=1, le=MAX_DEADLINE)]
_Completions = Annotated[int, Field(ge=1, le=INT32_MAX)]
_Indexes = Annotated[int, Field(ge=0, le=MAX_COMPLETIONS)]
_Some = Field(max_length=50)


class JobSpec(Model):
    """What to run, and how often."""

    prefix_name: Prefix = Field(
        default="", description="Beginning of the Job's name. By default `service`, else `job`."
    )
    namespace: DnsLabel | None = Field(default=None, description="One of JOBRELAY_NAMESPACES. By default its first.")
    labels: Annotated[dict[LabelKey, LabelText], _Some] | None = Field(
        default=None, description="Labels of Job and pods; prefixes as JOBRELAY_LABEL_PREFIXES allows."
    )
    annotations: Annotated[dict[LabelKey, Text], _Some] | None = Field(
        default=None,
        description="Annotations of Job and pods, up to 16 KiB; prefixes as JOBRELAY_ANNOTATION_PREFIXES allows.",
    )

    image: Image = Field(description="The container's image; must match JOBRELAY_IMAGES.")
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = Field(
        default=None, description="As in a container."
    )
    image_pull_secrets: Annotated[list[PullSecret], _Some] | None = Field(
        default=None, description="As in a pod; names must match JOBRELAY_PULL_SECRETS."
    )
    command: list[Text] = Field(
        default_factory=list, description="Program and its first arguments. By default the image's entry point."
    )
    args: list[Text] = Field(default_factory=list, description="Arguments. By default the image's.")
    working_dir: Directory | None = Field(
        default=None, description="Directory in which the program starts. By default the image's."
    )
    env: Annotated[list[EnvVar], AfterValidator(distinct_env)] = Field(
        default_factory=list, description="Variables of the container."
    )
    env_ref: list[EnvRef] = Field(
        default_factory=list,
        description="ConfigMaps and Secrets whose keys become variables; secrets must match JOBRELAY_SECRETS.",
    )
    resources: Resources = Field(default_factory=Resources, description="As in a container.")
    gpu_enable: bool | None = Field(default=None, description="Give each pod GPUs (resource JOBRELAY_GPU_RESOURCE).")
    gpu_number: Annotated[int, Field(ge=1, le=MAX_GPUS)] | None = Field(
        default=None,
        description="How many GPUs each pod gets, up to JOBRELAY_MAX_GPUS. By default 1; needs `gpuEnable`.",
    )
    volume: ClaimVolume | None = Field(
        default=None, description="One claim to mount, as webhook-style workers know it."
    )
    volumes: Annotated[list[Volume], Field(max_length=MAX_VOLUMES)] | None = Field(
        default=None, description="What to mount. Never a path of the node."
    )
    service_account: ObjectName | None = Field(
        default=None, description="One of JOBRELAY_SERVICE_ACCOUNTS. By default the namespace's, its token not mounted."
    )
    security_context: SecurityContext | None = Field(
        default=None, description="User and group ids, and further restrictions."
    )
    termination_grace_period_seconds: Annotated[int, Field(ge=0, le=MAX_GRACE)] | None = Field(
        default=None, description="Seconds a pod gets to end by itself after SIGTERM. By default 30."
    )

    node_selector: NodeSelector | None = Field(
        default=None, description="Labels a node must have: a map, or `{matchKey, matchValue}` for one label."
    )
    toleration: Toleration | None = Field(default=None, description="One more entry of `tolerations`.")
    tolerations: Annotated[list[Toleration], _Some] | None = Field(
        default=None, description="Taints of nodes that the pods bear, as in a pod."
    )
    affinity: Affinity | None = Field(
        default=None, description="As in a pod, without the terms that look into other namespaces."
    )
    topology_spread_constraints: Annotated[list[Spread], Field(max_length=20)] | None = Field(
        default=None, description="As in a pod. By default pods are spread over the nodes where that is possible."
    )
    priority_class_name: ObjectName | None = Field(default=None, description="Must match JOBRELAY_PRIORITY_CLASSES.")

    ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=INT32_MAX)] | None = Field(
        default=None,
        description="Seconds it stays when finished, at least JOBRELAY_DEDUP_SECONDS. By default JOBRELAY_TTL_SECONDS.",
    )
    backoff_limit: Retries | None = Field(
        default=None, description="How often a failed pod is replaced. The same as `retries`; by default never."
    )
    active_deadline_seconds: Deadline | None = Field(
        default=None, description="Seconds the Job may run. By default JOBRELAY_DEADLINE_SECONDS."
    )
    parallelism: Annotated[int, Field(ge=1, le=MAX_PARALLELISM)] = Field(
        default=1, description="Pods that run at once."
    )
    completions: _Completions | None = Field(
        default=None,
        description="Pods that must succeed. Absent with `parallelism` above 1: a work queue.",
    )
    completion_mode: Literal["NonIndexed", "Indexed"] | None = Field(
        default=None, description="`Indexed`: each pod has an index in JOB_COMPLETION_INDEX."
    )
    backoff_limit_per_index: Retries | None = Field(
        default=None, description="How often a failed pod of one index is replaced; needs `completionMode: Indexed`."
    )
    max_failed_indexes: _Indexes | None = Field(
        default=None, description="Failed indexes above which the Job fails at once; needs `backoffLimitPerIndex`."
    )
    success_policy: SuccessPolicy | None = Field(
        default=None, description="When an Indexed Job succeeds before all its indexes have."
    )
    pod_failure_policy: FailurePolicy | None = Field(
        default=None, description="What failed pods mean, by exit code or condition."
    )
    pod_replacement_policy: Literal["TerminatingOrFailed", "Failed"] | None = Field(
        default=None, description="When a pod that ends is replaced: once it terminates, or once it has failed."
    )

    @property
    def gpus(self) -> int:
        """GPUs of each pod that `gpuEnable` and `gpuNumber` ask for."""
        return (self.gpu_number or 1) if self.gpu_enable else 0

    @property
    def mounts(self) -> list[Volume]:
        """`volume` and `volumes` as one list."""
        one = [] if self.volume is None else [Volume.model_validate(self.volume.model_dump(by_alias=True))]
        return [*one, *(self.volumes or ())]
