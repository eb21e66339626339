"""Cancels, suspends and resumes requests of the record: publishes a control event, which the leader answers."""

from cloudevents.core.v1.event import CloudEvent

from adapters.base import Kind, Topic
from events.cloudevent.event import InvalidEvent
from events.phases import Phase
from events.request.control import ControlVerb
from handler.console.actions.sending import accepted, event_id_of, page_source, send
from handler.console.backend import Backend
from handler.console.http.person import Person
from handler.console.http.problems import Problem
from handler.console.views.models import Accepted
from handler.history.base import Request
from handler.operations.controls import control_event

VERBS = (ControlVerb.CANCEL, ControlVerb.SUSPEND, ControlVerb.RESUME)
"""What can be asked of a request of the record."""


async def control(backend: Backend, person: Person, verb: str, number: int, event_id: str | None = None) -> Accepted:
    """Ask for a verb of `VERBS`. `number`: of the request in the record.

    Raises `Problem`: 404 for no such request, 409 for one that has ended; and what `send` raises.
    """
    request = await recorded(backend, number)
    if why := refusal(request, verb):
        raise Problem(409, "FINISHED" if request.terminal else "NOT_POSSIBLE", f"It cannot {verb}: {why}.")
    return await command(backend, person, verb, request, event_id=event_id)


async def command(
    backend: Backend, person: Person, verb: str, request: Request, *, event_id: str | None = None
) -> Accepted:
    """Publish the control event about this request, whatever its phase."""
    event = made(
        verb,
        request.key.id,
        request_source=request.key.source or None,
        job=job_of(request),
        source=page_source(backend.settings),
        event_id=event_id_of(event_id),
        actor=person.name,
    )
    await send(backend, Topic(Kind.CONTROL), event)
    return accepted(event, f"/requests/{request.pk}")


def made(verb: str, subject: str, **parts: str | None) -> CloudEvent:
    """What `control_event` makes. Raises `Problem` for a subject that no control event can name."""
    try:
        return control_event(verb, subject, **parts)  # type: ignore[arg-type]
    except InvalidEvent as error:
        raise Problem(409, "NOT_POSSIBLE", f"No control event can name it: {error.reason}.") from error


async def recorded(backend: Backend, number: int) -> Request:
    """The request of this number. Raises `Problem` 404."""
    found = await backend.reader.request(number) if number < 1 << 63 else None
    if found is None:
        raise Problem(404, "NOT_FOUND", "There is no request of this number in the record.")
    return found


def refusal(request: Request, verb: str) -> str | None:
    """Why this cannot be asked of it, as far as the record says; None if it can."""
    if request.terminal:
        return f"it has ended ({request.phase})"
    if verb == ControlVerb.SUSPEND and request.phase is Phase.SUSPENDED:
        return "it is suspended already"
    return None


def job_of(request: Request) -> str | None:
    """`namespace/name` of its Job, by which a command tells it from others with its source and id."""
    return f"{request.namespace}/{request.job}" if request.namespace and request.job else None
