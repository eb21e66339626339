"""The field `job` of a request. Most of its fields stand in batch.py, container.py and placement.py."""

from typing import Annotated, ClassVar

from pydantic import Field

from events.request.batch import BatchFields
from events.request.container import ContainerFields
from events.request.fields import AtMost, DnsLabel, LabelKey, LabelText, Model, Prefix, Text
from events.request.placement import PlacementFields

_Some = AtMost(50)


class NameFields(Model):
    """The fields of `job` about the Job object: its name, its namespace, what is written on it."""

    section: ClassVar[str] = "The Job"

    prefix_name: Prefix = Field(
        default="",
        description="Beginning of the Job's name, up to 32 characters. By default `service` where it can begin a name, "
        "else `job`.",
    )
    namespace: DnsLabel | None = Field(
        default=None, description="Where the Job is: one of JOBRELAY_NAMESPACES. By default the first of them."
    )
    labels: Annotated[dict[LabelKey, LabelText], _Some] | None = Field(
        default=None,
        description="Labels of the Job and its pods, up to 50; a prefix must match JOBRELAY_LABEL_PREFIXES, a name "
        "without one JOBRELAY_LABELS. By default none.",
    )
    annotations: Annotated[dict[LabelKey, Text], _Some] | None = Field(
        default=None,
        description="Annotations of the Job and its pods, up to 50 and 16 KiB together; a prefix must match "
        "JOBRELAY_ANNOTATION_PREFIXES. By default none.",
    )


# Pydantic takes the fields of the last class first: this is their published order, and that in which errors are told.
class JobSpec(BatchFields, PlacementFields, ContainerFields, NameFields):
    """What to run, and how often."""
