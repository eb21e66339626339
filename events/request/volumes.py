"""The volumes a request may mount: claims, ConfigMaps, Secrets, space of the pod's own. Never a path of the node."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from events.request.fields import MountPath, ObjectName, Quantity, SubPath, wrong
from events.request.model import Model, exactly_one

SOURCES = ("pvc", "empty_dir", "config_map", "secret", "ephemeral")


class ClaimVolume(Model):
    """`job.volume`: an existing PersistentVolumeClaim."""

    mount_path: MountPath = Field(description="Where the container sees it.")
    pvc: ObjectName = Field(description="Name of the claim; must match JOBRELAY_CLAIMS.")


class EmptyDir(Model):
    """As in a pod: gone with it. `medium` Memory counts as the container's memory."""

    medium: Literal["Memory"] | None = Field(default=None, description="`Memory`: counts as memory of the container.")
    size_limit: Quantity | None = Field(default=None, description="The most it may hold.")


class Ephemeral(Model):
    """A PersistentVolumeClaim that is made for each pod and goes with it."""

    storage: Quantity = Field(description="Size, up to JOBRELAY_MAX_CLAIM_STORAGE.")
    storage_class_name: ObjectName | None = Field(
        default=None, description="Must match JOBRELAY_STORAGE_CLASSES. By default the cluster's."
    )
    access_modes: (
        Annotated[
            list[Literal["ReadWriteOnce", "ReadWriteOncePod", "ReadWriteMany", "ReadOnlyMany"]],
            Field(min_length=1, max_length=4),
        ]
        | None
    ) = Field(default=None, description="By default `ReadWriteOnce`.")


class Volume(Model):
    """Where, and exactly one of what: the names of a claim, ConfigMap or Secret, or space of the pod's own."""

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
