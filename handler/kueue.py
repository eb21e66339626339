"""Jobs that Kueue admits: what their requests cannot ask of us."""

from events.names import BY_FUNCTION, Annotation
from events.problems import FieldError
from k8s.manifest import Rendered


def refusals(rendered: Rendered) -> list[FieldError]:
    """Fields by which a request, or its function, would have us say when its Job runs, which is one of Kueue's."""
    queueing, notes = rendered.queueing, rendered.job["metadata"]["annotations"]
    asked = {
        "concurrency": queueing.key is not None,
        "exclusive": queueing.exclusive,
        "dependencies": bool(queueing.dependencies),
        "runAt": queueing.run_at is not None,
        "retryDelay": Annotation.RETRY in notes,
        "job.spec.suspend": notes.get(Annotation.SUSPENDED_BY) == BY_FUNCTION,
    }
    return [
        FieldError(field, "is not to be had: Kueue decides when the Job runs") for field, one in asked.items() if one
    ]
