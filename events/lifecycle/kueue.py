"""What a Job that Kueue admits shows of its place there. Pure; when it runs is Kueue's to say."""

from events.jobs.observed import Job
from events.lifecycle.advance import is_ending
from events.names import Payload


def waits(job: Job) -> bool:
    """Kueue has it and has not let it start yet, ever."""
    ready = job.payload != Payload.PENDING and not is_ending(job)
    return job.kueue and job.suspend and job.released is None and ready


def unnoted(job: Job) -> bool:
    """Kueue has let it start for the first time, and that does not stand on it yet.

    Once it does, a suspension is one of a Job that ran. Kubernetes has a start time of it, which goes when it is
    suspended again.
    """
    return job.kueue and job.released is None and job.start_time is not None and not is_ending(job)
