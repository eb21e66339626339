"""Kueue's names on Jobs: by them it takes a Job into its queue, and lets it start when it sees fit. Asks nobody."""

from collections.abc import Mapping
from dataclasses import dataclass

from events.names import DOMAIN
from k8s.base import Manifest

QUEUE_NAME = "kueue.x-k8s.io/queue-name"
"""Label: the LocalQueue, of the Job's namespace. A Job that has it is Kueue's to suspend and to let go."""
PRIORITY_CLASS = "kueue.x-k8s.io/priority-class"
"""Label: the WorkloadPriorityClass. One that does not exist keeps the Job waiting."""
GATED_BY = "kueue.x-k8s.io/admission-gated-by"
"""Annotation: Kueue leaves the Job alone until it is gone. A Kueue that does not know it yet may let the Job go before
its Secret is there: then its pod waits for that.
"""
PAYLOAD_GATE = f"{DOMAIN}/payload"


@dataclass(frozen=True, slots=True, kw_only=True)
class KueueOptions:
    """`queue`: of Jobs that nobody names another for; None: those are not Kueue's.

    `classes`: Kueue's priority classes, each with the least priority that means it, in rising order.
    """

    queue: str | None = None
    classes: tuple[tuple[int, str], ...] = ()

    def labels(self, given: Mapping[str, str], *, priority: int, queue: str | None = None) -> dict[str, str]:
        """The Job's labels: `given`, which stand, and Kueue's, for `queue` if not the one of the options."""
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
    """Annotations: what keeps a Job of Kueue's from starting before its payload is there."""
    return {GATED_BY: PAYLOAD_GATE} if in_kueue(labels) and not inline else {}


def ungated(metadata: Manifest) -> dict[str, None]:
    """What `gate` made, as a patch of the annotations that takes it away; another gate is another's to open."""
    return {GATED_BY: None} if metadata["annotations"].get(GATED_BY) == PAYLOAD_GATE else {}
