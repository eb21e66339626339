"""Jobs that Kueue admits: what their requests cannot ask of us, and what the leader does to them before it looks on."""

from events.jobs.observed import Job
from events.lifecycle.outcome import unnoted
from events.names import BY_FUNCTION, Annotation
from events.problems import FieldError
from handler.writes import Writes
from k8s.manifests.job import Rendered


def refusals(rendered: Rendered) -> list[FieldError]:
    """Fields by which a request, or its function, would have us say when its Job runs, which is one of Kueue's."""
    queueing, notes = rendered.queueing, rendered.job["metadata"]["annotations"]
    asked = {
        "concurrency": queueing.key is not None,
        "exclusive": queueing.exclusive,
        "dependencies": bool(queueing.dependencies),
        "runAt": queueing.run_at is not None,
        "retryDelay": Annotation.RETRY in notes,
        "schedule": rendered.job["kind"] == "CronJob",
        "job.spec.suspend": notes.get(Annotation.SUSPENDED_BY) == BY_FUNCTION,
    }
    return [
        FieldError(field, "is not to be had: Kueue decides when the Job runs") for field, one in asked.items() if one
    ]


async def attend(job: Job, writes: Writes) -> Job:
    """Carry out its verdict, and remember that it has started. Answers how it then is. Raises as `Writes`.

    A verdict cannot end it as it ends other Jobs: Kueue would stop what it has not let go. It is deleted instead; until
    that is seen, again at every look: a leader may have ended between verdict and deletion.
    """
    if not job.kueue or job.finished or job.deleted is not None:
        return job
    if job.verdict_of() is not None:
        await writes.delete(job)
    elif unnoted(job):
        return await writes.note_start(job)
    return job
