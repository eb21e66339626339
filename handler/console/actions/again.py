"""The filled form of a recorded request, to change it and run it again."""

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from events.names import REQUESTED_TYPE
from events.request.reserved import reserved
from handler.console.actions.controls import recorded
from handler.console.actions.originals import original_of
from handler.console.actions.sending import event_id_of
from handler.console.actions.submitting import Submission, submit
from handler.console.backend import Backend
from handler.console.http.person import Person
from handler.console.http.problems import Fault, Problem
from handler.console.views.models import Accepted
from handler.history.base import Request
from handler.operations.documents import Changes, Document, apply

LONGEST_ID = 200
"""Characters of the former id that the new one begins with."""
_AGAIN = re.compile(r"(-again-[0-9a-f]{6}|/failover|@[^@/]+)$")
_RECURS = ("schedule", "timeZone", "maxRuns", "concurrencyPolicy")
_SAID_ONCE = ("id", "time", "replyto", "expirytime", "correlationid", "traceparent", "tracestate", "actor", "replayof")
"""Attributes that belong to the event that was sent, and to whoever sent it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """What the form begins with. `document`: a structured event without an id.

    `function`: whether it is an event for functions, else a request. `replay_of`: the id of the former request.
    `whole`: whether all that the former request said is in it. `notes`: what is not, and what is not as it was.
    """

    document: Document
    function: bool
    replay_of: str
    whole: bool = True
    notes: tuple[str, ...] = ()


async def again(backend: Backend, number: int) -> Again:
    """Raises `Problem` 404 for no such request, `StoreUnavailable`."""
    request = await recorded(backend, number)
    original = await original_of(backend, request)
    document = {name: value for name, value in original.document.items() if name not in _SAID_ONCE}
    notes = list(original.notes)
    function = document.get("type") != REQUESTED_TYPE
    if function:
        notes.append("This event goes to every function that takes it, not only to the one that made this request.")
    else:
        document["data"] = _renamed(document["data"], request, notes)
    if list(reserved(str(document.get("source")), "")):
        # What jobrelay has asked for itself is asked for by the page now.
        document.pop("source", None)
    if "replyto" in original.document:
        notes.append("Its events go to the usual topic, not to the one that its sender named (replyto).")
    return Again(
        document=document, function=function, replay_of=request.key.id, whole=not original.notes, notes=tuple(notes)
    )


async def run_again(
    backend: Backend, person: Person, number: int, *, sets: Sequence[str] = (), event_id: str | None = None
) -> Accepted:
    """Publish the former request anew. `sets`: `path=value` inside `job`, as of `jobrelay submit --set`.

    Raises `Problem`: 404, 409 where not all of it is known any more, 422 for what cannot be set; what `send` raises.
    """
    found = await again(backend, number)
    if not found.whole:
        raise Problem(409, "INCOMPLETE", f"{' '.join(found.notes)} Submit it as a request of its own.")
    document = dict(found.document)
    # Sent twice under one event id, it is one request: the same id.
    name = None if event_id is None else hashlib.sha256(event_id.encode()).hexdigest()[:6]
    if not found.function:
        document["data"] = {**document["data"], "id": next_id(found.replay_of, name)}
    if sets and not found.function:
        try:
            document["data"] = apply(document["data"], Changes(sets=tuple(sets)))
        except ValueError as error:
            fault = Fault(path="sets", message=str(error))
            raise Problem(422, "INVALID_REQUEST", "The changes cannot be made.", errors=[fault]) from None
    elif sets:
        fault = Fault(path="sets", message="change requests alone: this is an event for functions")
        raise Problem(422, "INVALID_REQUEST", "The changes cannot be made.", errors=[fault])
    submission = Submission(document=document, event_id=event_id_of(event_id), replay_of=found.replay_of)
    return await submit(backend, person, submission)


def _renamed(data: Document, request: Request, notes: list[str]) -> Document:
    """The data under a new id. What a schedule asked for is asked for once, where it is one of its runs."""
    found = dict(data)
    if "@" in request.key.id and "schedule" in found:
        found = {name: value for name, value in found.items() if name not in _RECURS}
        notes.append("It runs once: the schedule goes on by itself.")
    found.pop("runAt", None)
    return found | {"id": next_id(request.key.id)}


def next_id(former: str, name: str | None = None) -> str:
    """A new id that shows what it repeats. `name`: six hexadecimal digits that tell it from others; None: any."""
    before = None
    while before != former:
        before, former = former, _AGAIN.sub("", former)
    return f"{former[:LONGEST_ID]}-again-{name or secrets.token_hex(3)}"
