"""Short words for the transitions that a Job and its pods show. For tests of them."""

from events.jobs.observed import Job
from events.jobs.pods import Pod
from events.jobs.usage import Usage
from events.lifecycle.transitions import Transition, transitions
from events.phases import Phase


def keys(job: Job, *pods: Pod, usage: Usage | None = None) -> list[str]:
    return [transition.key for transition in transitions(job, pods, usage)]


def find(phase: Phase, job: Job, *pods: Pod) -> Transition:
    """The only transition of this phase."""
    (found,) = [transition for transition in transitions(job, pods) if transition.phase is phase]
    return found
