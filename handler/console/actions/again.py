"""The filled form of a recorded request, to change it and run it again."""

import re
import secrets
from dataclasses import dataclass

from events.names import REQUESTED_TYPE
from events.request.reserved import reserved
from handler.console.actions.controls import recorded
from handler.console.actions.originals import original_of
from handler.console.backend import Backend
from handler.history.base import Request
from handler.operations.documents import Document

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
    """

    document: Document
    function: bool
    replay_of: str
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
    return Again(document=document, function=function, replay_of=request.key.id, notes=tuple(notes))


def _renamed(data: Document, request: Request, notes: list[str]) -> Document:
    """The data under a new id. What a schedule asked for is asked for once, where it is one of its runs."""
    found = dict(data)
    if "@" in request.key.id and "schedule" in found:
        found = {name: value for name, value in found.items() if name not in _RECURS}
        notes.append("It runs once: the schedule goes on by itself.")
    found.pop("runAt", None)
    return found | {"id": next_id(request.key.id)}


def next_id(former: str) -> str:
    """A new id that shows what it repeats."""
    before = None
    while before != former:
        before, former = former, _AGAIN.sub("", former)
    return f"{former[:LONGEST_ID]}-again-{secrets.token_hex(3)}"
