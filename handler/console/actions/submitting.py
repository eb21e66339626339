"""Publishes new requests, and events for functions, that people write on the page."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlencode

from cloudevents.core.v1.event import CloudEvent

from adapters.base import Kind, Topic
from adapters.lanes import HIGH, LOW, NORMAL
from events.cloudevent.event import InvalidEvent
from events.cloudevent.timestamp import format_time
from events.functions.functions import matching, subject_of
from events.names import REQUESTED_TYPE
from handler.console.actions.judging import Faulty, check_depth, faults_of_event, faults_of_invalid
from handler.console.actions.sending import accepted, event_id_of, page_source, send
from handler.console.backend import Backend
from handler.console.http.person import Person
from handler.console.http.problems import Fault, Problem
from handler.console.views.answer import MAX_ASKED
from handler.console.views.functions import functions_of
from handler.console.views.models import Accepted, Judgement, Mistake
from handler.operations.documents import Changes, Document, make_event
from handler.settings.settings import Settings

LANES: Mapping[str, str] = {"high": HIGH, "normal": NORMAL, "low": LOW}
"""Keys of topics by what people call the lanes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What is to be published. `document`: a structured event, or only the data of a request.

    `lane`: one of `LANES`. `event_id`: of the event, by which a repeat is the same; None: a new one, or that of a
    structured event. `replay_of`: the id of the request that it repeats. `faults`: what was written and could not be
    read, so that it is not in the document.
    """

    document: Document
    lane: str = "normal"
    event_id: str | None = None
    replay_of: str | None = None
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """The event, and what is wrong with it: then it is not published. No event: `faults` says why."""

    topic: Topic
    event: CloudEvent | None
    faults: tuple[Fault, ...] = ()


def prepare(settings: Settings, person: Person, submission: Submission) -> Prepared:
    """The event of a submission, judged. Raises `Problem` for an event id that cannot be."""
    lane = LANES.get(submission.lane)
    wrong = [*submission.faults]
    if lane is None:
        wrong.append(Fault(path="lane", message="is no lane", allowed=", ".join(LANES)))
    topic = Topic(Kind.REQUESTS, lane or NORMAL)
    try:
        event = _event(settings, person, submission)
    except Faulty as error:
        return Prepared(topic=topic, event=None, faults=(*wrong, *error.faults))
    return Prepared(topic=topic, event=event, faults=(*wrong, *faults_of_event(event, settings)))


async def submit(backend: Backend, person: Person, submission: Submission) -> Accepted:
    """Publish it. Raises `Problem` 422 with every mistake, and what `send` raises."""
    prepared = prepare(backend.settings, person, submission)
    if prepared.event is None or prepared.faults:
        detail = "The request has mistakes: nothing was published."
        raise Problem(422, "INVALID_REQUEST", detail, errors=prepared.faults)
    await send(backend, prepared.topic, prepared.event)
    asked = await _made_by(backend, prepared.event)
    query = urlencode({"event": prepared.event.get_id(), "asked": asked}, doseq=True, errors="replace")
    return accepted(prepared.event, f"/done?{query}", asked)


async def _made_by(backend: Backend, event: CloudEvent) -> list[str]:
    """Ids of the requests that it makes, as far as that is known here."""
    if (name := _request_id_of(event)) is not None:
        return [name]
    return [subject_of(one, event) for one in matching(await functions_of(backend), event)][:MAX_ASKED]


def judged(faults: Iterable[Fault]) -> Judgement:
    """The answer to whoever asks what is wrong, and wants nothing to be published."""
    return Judgement(errors=[Mistake(path=one.path, message=one.message, allowed=one.allowed) for one in faults])


def _request_id_of(event: CloudEvent) -> str | None:
    """What the request will be called; None for events of functions, which may make several."""
    if event.get_type() != REQUESTED_TYPE:
        return None
    data: object = event.get_data()
    own = data.get("id") if isinstance(data, dict) else None
    return own if isinstance(own, str) and own else str(event.get_id())


def _event(settings: Settings, person: Person, submission: Submission) -> CloudEvent:
    """Raises `Faulty`, and `Problem` for an event id that cannot be."""
    check_depth(submission.document, "")
    document = dict(submission.document)
    structured = "specversion" in document
    given = submission.event_id
    if given is None and structured:
        given = document.get("id") if isinstance(document.get("id"), str) else None
    event_id = event_id_of(given)
    if not structured:
        document = _around(document, event_id)
    added = {"id": event_id, "actor": person.name, "replayof": submission.replay_of}
    document |= {name: value for name, value in added.items() if value is not None}
    document.setdefault("source", page_source(settings))
    try:
        return make_event(document, Changes())
    except InvalidEvent as error:
        raise Faulty(*faults_of_invalid(error)) from None
    except ValueError as error:
        raise Faulty(Fault(path="", message=str(error))) from None


def _around(data: Document, event_id: str) -> Document:
    """The structured event around the data of a request."""
    return {
        "specversion": "1.0",
        "id": event_id,
        "type": REQUESTED_TYPE,
        "time": format_time(datetime.now(UTC)),
        "datacontenttype": "application/json",
        "data": data,
    }
