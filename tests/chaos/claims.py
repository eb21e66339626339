"""What must hold for the lifecycle events of a request, whatever was killed meanwhile. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cloudevents.core.v1.event import CloudEvent

from events.phases import LAST, TERMINAL, Phase

BETWEEN = {*Phase} - LAST - {Phase.CREATED, Phase.SCHEDULED}


@dataclass(frozen=True, slots=True)
class PhaseEvent:
    """What matters here of a lifecycle event. `phase` is the last word of its type."""

    subject: str
    phase: str
    id: str

    @classmethod
    def of(cls, event: CloudEvent) -> "PhaseEvent":
        return cls(str(event.get_subject()), event.get_type().rpartition(".")[2], event.get_id())


def distinct(events: Iterable[PhaseEvent]) -> list[PhaseEvent]:
    """The events without repeats, in order of first arrival: a repeat has the id of the first."""
    return list({event.id: event for event in events}.values())


def path_problems(events: Sequence[PhaseEvent]) -> list[str]:
    """What is wrong with these distinct events of a request as the phases of its whole life; empty if nothing is."""
    phases = [event.phase for event in events]
    ends = [phase for phase in phases if phase in TERMINAL]
    problems = []
    if phases[:1] != [Phase.CREATED]:
        problems.append("does not begin with created")
    if len(ends) != 1:
        problems.append(f"has {len(ends)} terminal events")
    elif phases[-1] not in TERMINAL:
        problems.append("goes on after its terminal event")
    if phases.count(Phase.CREATED) > 1:
        problems.append("created twice")
    if phases.count(Phase.STARTED) > 1 + phases.count(Phase.RETRYING):
        problems.append("started more often than it was tried")
    problems += [f"{phase} is no phase of a Job" for phase in phases if phase not in BETWEEN | TERMINAL | {"created"}]
    if Phase.PROGRESS in phases and Phase.STARTED not in phases[: phases.index(Phase.PROGRESS)]:
        problems.append("progresses before it started")
    if _is_queued_late(phases):
        problems.append("is queued after it started")
    problems += _retry_problems(events)
    return problems


def _is_queued_late(phases: Sequence[str]) -> bool:
    """A started request may only be queued again after it was suspended or is retried."""
    after = phases[phases.index(Phase.STARTED) :] if Phase.STARTED in phases else []
    return Phase.QUEUED in after and not {Phase.SUSPENDED, Phase.RETRYING} & {*after[: after.index(Phase.QUEUED)]}


def _retry_problems(events: Sequence[PhaseEvent]) -> list[str]:
    phases = [event.phase for event in events]
    numbers = [int(event.id.rpartition("/")[2]) for event in events if event.phase == Phase.RETRYING]
    problems = []
    if numbers and Phase.STARTED not in phases[: phases.index(Phase.RETRYING)]:
        problems.append("retries before it started")
    if numbers != list(range(1, len(numbers) + 1)):
        problems.append(f"retries are counted {numbers}")
    return problems
