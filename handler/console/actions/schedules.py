"""Runs schedules at once, suspends, resumes and deletes them: publishes a control event, which the leader answers."""

from adapters.base import Kind, Topic
from events.jobs.observed import Schedule
from handler.console.actions.controls import made
from handler.console.actions.sending import accepted, event_id_of, page_source, send
from handler.console.backend import Backend
from handler.console.http.person import Person
from handler.console.http.problems import Fault, Problem
from handler.console.views.models import Accepted
from handler.operations.jobs import selector_of
from handler.operations.schedules import find_schedules, is_over
from handler.settings.connections import namespaces_of
from k8s.base import KubernetesError

VERBS = ("run", "suspend", "resume", "cancel")
"""What can be asked of a schedule: `cancel` deletes it, and its runs go on."""


async def act(
    backend: Backend,
    person: Person,
    verb: str,
    schedule_id: str,
    *,
    source: str | None = None,
    job: str | None = None,
    event_id: str | None = None,
) -> Accepted:
    """Ask for a verb of `VERBS`. `source`, `job` (`namespace/name` of its CronJob): which, of several with this id.

    Raises `Problem`: 404 for none, 409 for several and for one that is over; `KubernetesError`; what `send` raises.
    """
    schedule = await _one(backend, schedule_id, source, job)
    if is_over(schedule):
        raise Problem(409, "FINISHED", f"It cannot {verb}: the schedule is over.")
    event = made(
        verb,
        schedule_id,
        request_source=schedule.source,
        job=f"{schedule.namespace}/{schedule.name}",
        source=page_source(backend.settings),
        event_id=event_id_of(event_id),
        actor=person.name,
    )
    await send(backend, Topic(Kind.CONTROL), event)
    return accepted(event, "/schedules")


async def _one(backend: Backend, schedule_id: str, source: str | None, job: str | None) -> Schedule:
    failures: list[Exception] = []
    selector = selector_of(backend.settings, schedule_id)
    namespaces = namespaces_of(backend.settings, backend.cluster)
    found = [
        one
        for one in await find_schedules(backend.cluster, namespaces, selector=selector, skipped=failures.append)
        if one.request_id == schedule_id
        and source in (None, one.source)
        and job in (None, f"{one.namespace}/{one.name}")
    ]
    if len(found) > 1:
        raise _ambiguous(found)
    if found:
        return found[0]
    if unread := next((error for error in failures if isinstance(error, KubernetesError)), None):
        raise unread
    raise Problem(404, "NOT_FOUND", "The cluster has no such schedule.")


def _ambiguous(found: list[Schedule]) -> Problem:
    sources = ", ".join(sorted({one.source for one in found}))
    jobs = ", ".join(f"{one.namespace}/{one.name}" for one in found)
    faults = [
        Fault(path="source", message="names one of several", allowed=sources),
        Fault(path="job", message="names one of several", allowed=jobs),
    ]
    return Problem(409, "AMBIGUOUS", "Several schedules have this id: name the one that is meant.", errors=faults)
