"""What became of an action: its answer in the audit, or the requests that a submitted event has made."""

from collections.abc import Sequence
from urllib.parse import quote, urlencode

from events.phases import Phase
from events.request.control import ACCEPTED, REJECTED, answer_id
from handler.console.backend import Backend
from handler.console.views.models import Answer, Made
from handler.history.base import Request

PENDING = "pending"
MAX_ASKED = 20
"""Requests of one event that are looked for."""


def answer_path(event_id: str, asked: Sequence[str] = ()) -> str:
    """Where the API tells this, below its server's URL. `asked`: see `answer_view`."""
    query = urlencode({"asked": asked}, doseq=True, errors="replace") if asked else ""
    return f"/actions/{quote(event_id, safe='')}{'?' if query else ''}{query}"


async def answer_view(backend: Backend, event_id: str, *, source: str, asked: Sequence[str] = ()) -> Answer:
    """`source`: of the event. `asked`: ids of the requests that it may have made; none: it was a control event.

    Raises `StoreUnavailable`.
    """
    if asked:
        return await _submitted(backend, event_id, asked)
    ids = [answer_id(source, event_id, outcome) for outcome in (ACCEPTED, REJECTED)]
    found = await backend.reader.action(ids)
    if found is None:
        return Answer(event_id=event_id, state=PENDING)
    return Answer(event_id=event_id, state=found.outcome, code=found.code, verb=found.verb, request=found.request_id)


async def _submitted(backend: Backend, event_id: str, asked: Sequence[str]) -> Answer:
    made: list[Request] = []
    for request_id in asked:
        made += [one for one in await backend.reader.find(request_id) if one.key.cause == event_id]
    if not made:
        return Answer(event_id=event_id, state=PENDING)
    refused = next((one for one in made if one.phase is Phase.REJECTED), None)
    return Answer(
        event_id=event_id,
        state=ACCEPTED if refused is None else REJECTED,
        code=None if refused is None else refused.error_code,
        requests=[Made(number=one.pk, id=one.key.id, phase=one.phase) for one in made],
    )
