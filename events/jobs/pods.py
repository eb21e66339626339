"""What Kubernetes shows of the Pods of our Jobs and of their containers, flat and small. Does not parse."""

from enum import StrEnum

import msgspec

from events.jobs.observed import Condition

ENDED = frozenset({"Succeeded", "Failed"})
"""Phases of pods that no longer run."""


class Role(StrEnum):
    """What a container is to its Pod."""

    MAIN = "main"
    """It does the work: its start, its exit code and what it leaves are the Job's."""
    OTHER = "other"
    """It runs beside the main container. The Pod ends once both have."""
    INIT = "init"
    """It runs before the others, which wait for its end."""
    SIDECAR = "sidecar"
    """An init container with `restartPolicy: Always`: it is ended when the others are done, and decides nothing."""


class Container(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A container of a Pod, as its status shows it. Times are epoch seconds.

    `started`: when it first ran, also after it ended; None for one whose program could not be run. `restarts`: how
    often it was run again. `reason` and `message`: why it ended, and its termination message; `may_be_log`: where it
    left none and failed, that is the end of its log; `cut`: it is as long as Kubernetes lets it be, so that the
    container may have written more; `unkept`: it left one that is not kept here. `waiting_*`: why it does not run.
    """

    name: str
    role: Role = Role.MAIN
    started: float | None = None
    finished: float | None = None
    restarts: int = 0
    exit_code: int | None = None
    reason: str | None = None
    message: str | None = None
    may_be_log: bool = True
    cut: bool = False
    unkept: bool = False
    waiting_reason: str | None = None
    waiting_message: str | None = None

    @property
    def running(self) -> bool:
        return self.started is not None and self.finished is None and self.waiting_reason is None

    @property
    def failed(self) -> bool:
        """It has ended with an exit code other than 0."""
        return self.exit_code not in (None, 0)


class Pod(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A Pod of one of our Jobs. Times are epoch seconds.

    `deleted`: it goes by then; `killed`: when that was asked for. `gone`: the API server no longer has it, and the rest
    is as last seen. `scheduled_*` are those of condition PodScheduled when it is False. `reason` and `message` are the
    Pod's own, such as `Evicted`. `disruption`: its condition DisruptionTarget, if True. `containers`: the main one
    first, then as in the manifest; empty until a node has taken the Pod.
    """

    namespace: str
    name: str
    uid: str
    job_uid: str
    node: str | None = None
    created: float
    deleted: float | None = None
    killed: float | None = None
    gone: bool = False
    phase: str
    index: int | None = None
    scheduled_reason: str | None = None
    scheduled_message: str | None = None
    reason: str | None = None
    message: str | None = None
    disruption: Condition | None = None
    containers: tuple[Container, ...] = ()

    @property
    def main(self) -> Container | None:
        """The container that does the work; None until a node has taken the Pod."""
        return self.containers[0] if self.containers else None

    @property
    def started(self) -> float | None:
        """When the main container first ran."""
        return self.main.started if self.main else None

    @property
    def over(self) -> bool:
        """It runs no longer: it has ended, or is gone."""
        return self.phase in ENDED or self.gone

    @property
    def ended_at(self) -> float:
        """When its last container ended. Where it does not say: the latest time known before that."""
        ends = [one.finished for one in self.containers if one.finished is not None]
        if ends:
            return max(ends)
        if self.disruption is not None:
            return self.disruption.at
        known = (self.killed, self.started, self.created)
        return next(time for time in known if time is not None)

    def made_since(self, start: float) -> bool:
        """Whether it was made at this start of its Job (epoch seconds) or later. Suspension deletes what runs then."""
        # Pods are created just before Kubernetes takes the time of a resumption, and times are whole seconds.
        if self.created < start - 1 or (self.over and self.ended_at < start):
            return False
        return self.killed is None or self.killed > start
