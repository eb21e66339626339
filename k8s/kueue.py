"""Kueue's labels and annotations on Jobs: they put a Job into one of its queues. Sends no requests."""

from collections.abc import Mapping
from dataclasses import dataclass

from events.names import DOMAIN
from k8s.base import Manifest

QUEUE_NAME = "kueue.x-k8s.io/queue-name"
"""Label: the LocalQueue, in the Job's namespace. Kueue suspends and resumes Jobs that have it."""
PRIORITY_CLASS = "kueue.x-k8s.io/priority-class"
"""Label: the WorkloadPriorityClass. If there is no such class, the Job waits."""
GATED_BY = "kueue.x-k8s.io/admission-gated-by"
"""Annotation: Kueue leaves the Job alone until it is removed.

A Kueue that is too old to know it may start the Job before its Secret exists: its pod then waits for the Secret.
"""
PAYLOAD_GATE = f"{DOMAIN}/payload"


@dataclass(frozen=True, slots=True, kw_only=True)
class KueueOptions:
    """`queue`: for Jobs that name no other; None: Kueue does not get those.

    `classes`: Kueue's priority classes, each with the lowest priority that selects it, in rising order.
    """

    queue: str | None = None
    classes: tuple[tuple[int, str], ...] = ()

    def labels(self, given: Mapping[str, str], *, priority: int, queue: str | None = None) -> dict[str, str]:
        """The Job's labels: `given`, which win, and Kueue's. `queue`: None is that of the options."""
        name = given.get(QUEUE_NAME) or queue or self.queue
        if name is None:
            return dict(given)
        meant = [name for least, name in self.classes if least <= priority]
        ours = {PRIORITY_CLASS: meant[-1]} if meant else {}
        return {**ours, **given, QUEUE_NAME: name}


def in_kueue(labels: Mapping[str, str]) -> bool:
    """Whether Kueue decides when a Job with these labels runs."""
    return bool(labels.get(QUEUE_NAME))


def gate(labels: Mapping[str, str], *, inline: bool) -> dict[str, str]:
    """Annotations that keep Kueue from starting a Job before its payload exists."""
    return {GATED_BY: PAYLOAD_GATE} if in_kueue(labels) and not inline else {}


def ungated(metadata: Manifest) -> dict[str, None]:
    """A patch of the annotations that removes what `gate` made. A gate that somebody else made stays."""
    return {GATED_BY: None} if metadata["annotations"].get(GATED_BY) == PAYLOAD_GATE else {}
