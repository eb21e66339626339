"""What a request says about its container: variables, resources, user and privileges. Not where it runs."""

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic.alias_generators import to_camel

from events.request.fields import (
    INT32_MAX,
    AtMost,
    Directory,
    EnvName,
    Image,
    LabelValue,
    Model,
    MountPath,
    ObjectName,
    Quantity,
    ResourceName,
    SubPath,
    Text,
    exactly_one,
    wrong,
)

MAX_GPUS = 64
MAX_GRACE = 3600
"""Seconds of `terminationGracePeriodSeconds`: a cancelled Job takes up to that long."""
MAX_VOLUMES = 50
MAX_ENV = 1000
"""Variables: the kubelet hands each of them to the program at its start."""
MAX_ARGS = 4096
"""Strings of `command`, and of `args`."""
MAX_RESOURCES = 50
SOURCES = ("pvc", "empty_dir", "config_map", "secret", "ephemeral")


class ClaimVolume(Model):
    """`job.volume`: an existing PersistentVolumeClaim."""

    mount_path: MountPath = Field(description="Where the container sees it.")
    pvc: ObjectName = Field(description="Name of the claim; must match JOBRELAY_CLAIMS.")


class EmptyDir(Model):
    """An `emptyDir` as in a pod, with which it goes."""

    medium: Literal["Memory"] | None = Field(default=None, description="`Memory`: counts as memory of the container.")
    size_limit: Quantity | None = Field(default=None, description="The most it may hold.")


class Ephemeral(Model):
    """A PersistentVolumeClaim that is made for each pod and goes with the pod."""

    storage: Quantity = Field(description="Size, up to JOBRELAY_MAX_CLAIM_STORAGE.")
    storage_class_name: ObjectName | None = Field(
        default=None, description="Storage class; must match JOBRELAY_STORAGE_CLASSES. By default the cluster's."
    )
    access_modes: (
        Annotated[
            list[Literal["ReadWriteOnce", "ReadWriteOncePod", "ReadWriteMany", "ReadOnlyMany"]],
            Field(min_length=1, max_length=4),
        ]
        | None
    ) = Field(default=None, description="How it may be mounted. By default `ReadWriteOnce`.")


class Volume(Model):
    """Where something is mounted, and exactly one source: a claim, a ConfigMap, a Secret, or space of the pod's own."""

    model_config = ConfigDict(json_schema_extra=exactly_one(*(to_camel(source) for source in SOURCES)))

    mount_path: MountPath = Field(description="Where the container sees it.")
    sub_path: SubPath | None = Field(default=None, description="Mount only this path of the volume.")
    read_only: bool | None = Field(default=None, description="Nothing can be written to it.")
    pvc: ObjectName | None = Field(default=None, description="Name of a claim; must match JOBRELAY_CLAIMS.")
    empty_dir: EmptyDir | None = Field(default=None, description="Space that goes with the pod.")
    config_map: ObjectName | None = Field(default=None, description="Name of a ConfigMap.")
    secret: ObjectName | None = Field(default=None, description="Name of a Secret; must match JOBRELAY_SECRETS.")
    ephemeral: Ephemeral | None = Field(default=None, description="A claim made for each pod.")

    @model_validator(mode="after")
    def _one_source(self) -> "Volume":
        if sum(getattr(self, source) is not None for source in SOURCES) != 1:
            raise wrong("needs exactly one source", "pvc, emptyDir, configMap, secret, ephemeral")
        return self


OUR_ENV = frozenset(
    {
        "CE_ID",
        "CE_SOURCE",
        "CE_TYPE",
        "CE_SUBJECT",
        "JOBRELAY_EVENT_PATH",
        "JOBRELAY_JOB_ID",
        "JOBRELAY_RESULT_PATH",
        "JOBRELAY_SCHEDULED_FOR",
        "TRACEPARENT",
    }
)
"""Variables that every container gets from jobrelay: a request cannot set them."""

_Id = Annotated[int, Field(ge=0, le=INT32_MAX)]


class EnvVar(Model):
    """One variable of the container."""

    name: EnvName = Field(
        description="Its name: none that jobrelay sets itself.", json_schema_extra={"not": {"enum": [*sorted(OUR_ENV)]}}
    )
    value: Text = Field(
        default="",
        description="Its value, up to 128 KiB with its name. Nothing in it is expanded but Kubernetes' `$(NAME)`.",
    )


class EnvRef(Model):
    """All keys of a ConfigMap or Secret as variables."""

    name: ObjectName = Field(description="Name of the ConfigMap or Secret.")
    type: Literal["configmap", "secret"] = Field(description="Which of the two it is.")


_Amounts = Annotated[dict[ResourceName, Quantity], AtMost(MAX_RESOURCES)]


class Resources(Model):
    """Resources of the container, as in Kubernetes."""

    limits: _Amounts = Field(default_factory=dict, description="The most it may use, by resource.")
    requests: _Amounts = Field(default_factory=dict, description="What is set aside for it, by resource.")


class PullSecret(Model):
    """A Secret to pull the image with, as in a pod."""

    name: ObjectName = Field(description="Name of the Secret.")


class Capabilities(Model):
    """Capabilities of the container. They can only be taken away."""

    drop: Annotated[list[LabelValue], Field(max_length=50)] = Field(
        description="Capabilities it does not get; under JOBRELAY_POD_SECURITY `restricted` it has none anyway."
    )


class SeccompProfile(Model):
    """A seccomp profile: the only one that every node has."""

    type: Literal["RuntimeDefault"] = Field(description="The container runtime's own.")


def _true(value: bool) -> bool:
    if not value:
        raise wrong("must be true")
    return value


def _false(value: bool) -> bool:
    if value:
        raise wrong("must be false")
    return value


class SecurityContext(Model):
    """The fields of a pod's and of its container's security context that choose ids or restrict further."""

    run_as_user: _Id | None = Field(
        default=None, description="User id, one of JOBRELAY_USER_IDS. By default JOBRELAY_RUN_AS_USER."
    )
    run_as_group: _Id | None = Field(default=None, description="Group id, one of JOBRELAY_USER_IDS.")
    run_as_non_root: Annotated[bool, AfterValidator(_true), WithJsonSchema({"const": True})] | None = Field(
        default=None, description="Only true."
    )
    fs_group: _Id | None = Field(default=None, description="Group that owns mounted volumes, one of JOBRELAY_USER_IDS.")
    fs_group_change_policy: Literal["Always", "OnRootMismatch"] | None = Field(
        default=None, description="When ownership of volumes is changed to `fsGroup`."
    )
    supplemental_groups: Annotated[list[_Id], Field(max_length=50)] | None = Field(
        default=None, description="Further groups, of JOBRELAY_USER_IDS."
    )
    seccomp_profile: SeccompProfile | None = Field(default=None, description="Seccomp profile, as in a pod.")
    allow_privilege_escalation: Annotated[bool, AfterValidator(_false), WithJsonSchema({"const": False})] | None = (
        Field(default=None, description="Only false.")
    )
    read_only_root_filesystem: bool | None = Field(default=None, description="Nothing but volumes can be written to.")
    capabilities: Capabilities | None = Field(default=None, description="Capabilities to take away.")


def distinct_env(env: list[EnvVar]) -> list[EnvVar]:
    """The variables, unless a name occurs twice or is ours: then an error of pydantic's is raised."""
    names = [one.name for one in env]
    if len(set(names)) < len(names):
        raise wrong("names a variable twice")
    if not OUR_ENV.isdisjoint(names):
        raise wrong(f"sets a variable that jobrelay sets: {', '.join(sorted(OUR_ENV.intersection(names)))}")
    return env


_Strings = Annotated[list[Text], Field(max_length=MAX_ARGS)]


class ContainerFields(Model):
    """The fields of `job` about its container and what the container is given."""

    section: ClassVar[str] = "What runs"

    image: Image = Field(description="The container's image; must match JOBRELAY_IMAGES.")
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = Field(
        default=None, description="When the image is pulled, as in a container. By default Kubernetes decides."
    )
    image_pull_secrets: Annotated[list[PullSecret], Field(max_length=50)] | None = Field(
        default=None,
        description="Secrets to pull the image with, as in a pod; names must match JOBRELAY_PULL_SECRETS. "
        "By default none.",
    )
    command: _Strings = Field(
        default_factory=list,
        description="Program and its first arguments, each up to 128 KiB. By default the image's entry point.",
    )
    args: _Strings = Field(default_factory=list, description="Arguments, each up to 128 KiB. By default the image's.")
    working_dir: Directory | None = Field(
        default=None, description="Directory in which the program starts. By default the image's."
    )
    env: Annotated[list[EnvVar], Field(max_length=MAX_ENV), AfterValidator(distinct_env)] = Field(
        default_factory=list, description="Environment variables. By default none."
    )
    env_ref: Annotated[list[EnvRef], Field(max_length=50)] = Field(
        default_factory=list,
        description="ConfigMaps and Secrets whose keys become environment variables; Secrets must match "
        "JOBRELAY_SECRETS. By default none.",
    )
    resources: Resources = Field(
        default_factory=Resources,
        description="As in a container, each at most JOBRELAY_MAX_CPU, JOBRELAY_MAX_MEMORY, "
        "JOBRELAY_MAX_EPHEMERAL_STORAGE; other resources must match JOBRELAY_EXTENDED_RESOURCES. "
        "By default those maxima as limits, where they are set.",
    )
    gpu_enable: bool | None = Field(
        default=None, description="`true`: each pod gets GPUs (resource JOBRELAY_GPU_RESOURCE). By default none."
    )
    gpu_number: Annotated[int, Field(ge=1, le=MAX_GPUS)] | None = Field(
        default=None,
        description="How many GPUs each pod gets, at most JOBRELAY_MAX_GPUS; needs `gpuEnable`. By default `1`.",
    )
    volume: ClaimVolume | None = Field(
        default=None,
        description="One existing claim to mount, as webhook-style workers know it; must match JOBRELAY_CLAIMS. "
        "By default none.",
    )
    volumes: Annotated[list[Volume], Field(max_length=MAX_VOLUMES)] | None = Field(
        default=None,
        description="What to mount, each from one source: an existing claim (must match JOBRELAY_CLAIMS), a "
        "ConfigMap, a Secret (must match JOBRELAY_SECRETS), space of the pod's own, or a claim made for each pod (at "
        "most JOBRELAY_MAX_CLAIM_STORAGE, of JOBRELAY_STORAGE_CLASSES). Never a path of the node. By default nothing.",
    )
    service_account: ObjectName | None = Field(
        default=None,
        description="One of JOBRELAY_SERVICE_ACCOUNTS. By default the namespace's default account, its token not "
        "mounted.",
    )
    security_context: SecurityContext | None = Field(
        default=None,
        description="User and group ids, which must be in JOBRELAY_USER_IDS, and further restrictions. "
        "By default as JOBRELAY_POD_SECURITY says.",
    )
    termination_grace_period_seconds: Annotated[int, Field(ge=0, le=MAX_GRACE)] | None = Field(
        default=None, description="Seconds a pod gets to end by itself after SIGTERM. By default `30`."
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
