"""The phases of requests, and what is the same for all events of a phase. What their data hold is in contract/."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What holds for every event of a phase.

    `rank`: the order of events of the same second; Kubernetes' times are whole seconds.
    `status`: the number in the event's data; None is null there.
    `repeated`: a new leader publishes the event again, however long ago it happened. Of other phases it repeats only
    what happened since the former leader's `published-to`.
    `last`: no event about the same subject follows. `terminal`: the end of a request that got a Job.
    """

    rank: int
    status: int | None = None
    repeated: bool = False
    last: bool = False
    terminal: bool = False


class Phase(StrEnum):
    """The last word of a lifecycle event's type, `dev.jobrelay.job.<phase>`, and of its topic."""

    CREATED = "created"
    QUEUED = "queued"
    STARTED = "started"
    PROGRESS = "progress"
    STALLED = "stalled"
    RETRYING = "retrying"
    SUSPENDED = "suspended"
    RESUMED = "resumed"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    SCHEDULED = "scheduled"
    UNSCHEDULED = "unscheduled"

    @property
    def traits(self) -> Traits:
        """What the table says of it."""
        return _TABLE[self]


_TABLE: Mapping[Phase, Traits] = {
    Phase.CREATED: Traits(rank=0, status=0),
    # Nothing says when a Job began to wait for this, or a pod to stall: better published twice than never.
    Phase.QUEUED: Traits(rank=1, repeated=True),
    Phase.RESUMED: Traits(rank=2),
    Phase.STARTED: Traits(rank=3, status=1),
    Phase.STALLED: Traits(rank=4, status=99, repeated=True),
    Phase.RETRYING: Traits(rank=5),
    Phase.PROGRESS: Traits(rank=6),
    # While a Job is suspended, nothing happens to its pods: what did came before.
    Phase.SUSPENDED: Traits(rank=7),
    Phase.SUCCEEDED: Traits(rank=8, status=2, repeated=True, last=True, terminal=True),
    Phase.FAILED: Traits(rank=8, status=3, repeated=True, last=True, terminal=True),
    Phase.CANCELLED: Traits(rank=8, status=3, repeated=True, last=True, terminal=True),
    Phase.REJECTED: Traits(rank=8, status=99, last=True),
    Phase.SCHEDULED: Traits(rank=0),
    Phase.UNSCHEDULED: Traits(rank=8, repeated=True, last=True),
}
TERMINAL = frozenset(phase for phase in Phase if phase.traits.terminal)
LAST = frozenset(phase for phase in Phase if phase.traits.last)
