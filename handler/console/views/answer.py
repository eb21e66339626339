"""What became of an action: its answer in the audit, or the requests that a submitted event has made."""

from collections.abc import Sequence
from urllib.parse import quote, urlencode

from events.identity import base32_sha256, netstrings
from events.phases import Phase
from events.request.control import ACCEPTED, REJECTED
from handler.console.backend import Backend
from handler.console.views.models import Answer, Made
from handler.history.base import Action, Request

PAGES, PAGE = 5, 200
"""How far back the audit is searched: as many pages of as many actions. Those that people wait for are the newest."""
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
    name = f"control/{base32_sha256(netstrings(source, event_id))}/"
    found = await _action(backend, name)
    if found is None:
        return Answer(event_id=event_id, state=PENDING)
    return Answer(event_id=event_id, state=found.outcome, code=found.code, verb=found.verb, request=found.request_id)


async def _action(backend: Backend, name: str) -> Action | None:
    after: str | None = None
    for _ in range(PAGES):
        page = await backend.reader.actions(limit=PAGE, after=after)
        if found := next((one for one in page.actions if one.id.startswith(name)), None):
            return found
        if (after := page.next) is None:
            break
    return None


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
