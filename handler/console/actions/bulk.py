"""An action on several requests or dead letters: first a plan that names each of them, then the plan's token.

Nothing is asked of what the plan did not show. A token is of one person and one session, and serves for ten minutes;
sent twice, it is one action: the ids of its events are made of it.
"""

import asyncio
import time
import uuid
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from handler.console.actions import controls, letters
from handler.console.actions.letters import Chosen
from handler.console.backend import Backend
from handler.console.http.person import Person
from handler.console.http.problems import Fault, Problem
from handler.console.http.seal import Seal
from handler.console.views.models import Accepted, AcceptedItem, AcceptedList, Plan, Planned
from handler.history.base import Request
from handler.operations.records import moment

MOST = 100
"""Requests or dead letters of one action."""
TOKEN_SECONDS = 600
"""How long a plan can be carried out."""
VERBS = (*controls.VERBS, *letters.VERBS)
_PURPOSE = "plan"


class _Signed(msgspec.Struct, frozen=True, kw_only=True):
    """What a token holds. `letters`: broker, number and digest of each."""

    verb: str
    name: str
    session: str
    nonce: str
    until: float
    numbers: tuple[int, ...] = ()
    letters: tuple[tuple[str, int, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What was chosen: requests for the verbs of `controls`, dead letters for those of `letters`."""

    verb: str
    numbers: Sequence[int] = ()
    letters: Sequence[Chosen] = ()

    def check(self) -> None:
        """Raises `Problem` 400 for another verb, and for none or too many."""
        if self.verb not in VERBS:
            _refuse("verb", "is none that can be asked of several", ", ".join(VERBS))
        of_letters = self.verb in letters.VERBS
        name, count = ("letters", len(self.letters)) if of_letters else ("numbers", len(self.numbers))
        if not 1 <= count <= MOST or (self.numbers if of_letters else self.letters):
            _refuse(name, "are chosen for this verb", f"1-{MOST}")


async def plan(backend: Backend, seal: Seal, person: Person, selection: Selection) -> Plan:
    """What the action would do. Raises `Problem` 400, `StoreUnavailable`."""
    selection.check()
    verb = selection.verb
    if verb in letters.VERBS:
        chosen = list(dict.fromkeys(selection.letters))
        items = await _planned_letters(backend, chosen)
        kept = [one for one, item in zip(chosen, items, strict=True) if item.applies]
        applying: dict[str, Any] = {"letters": tuple((one.broker, one.number, one.digest) for one in kept)}
    else:
        items = await _planned_requests(backend, verb, list(dict.fromkeys(selection.numbers)))
        applying = {"numbers": tuple(item.number for item in items if item.applies)}
    count = sum(item.applies for item in items)
    if not count:
        return Plan(verb=verb, items=items, count=0)
    until = time.time() + TOKEN_SECONDS
    nonce = uuid.uuid4().hex
    signed = _Signed(verb=verb, name=person.name, session=person.session, nonce=nonce, until=until, **applying)
    payload = urlsafe_b64encode(msgspec.json.encode(signed)).decode()
    token = f"{payload}.{seal.of(_PURPOSE, payload)}"
    return Plan(verb=verb, items=items, count=count, token=token, expires=moment(until))


async def carry_out(backend: Backend, seal: Seal, person: Person, token: str) -> AcceptedList:
    """Publish an event for each that the plan applies to.

    Raises `Problem`: 400 for a token that is not ours, 403 for that of another person or session, 409 for one that is
    too old; what `send` raises: then some may have been published, and the same token asks for the others.
    """
    signed = _read(seal, person, token)
    accepted = []
    for number in signed.numbers:
        request = await backend.reader.request(number)
        if request is not None:
            event_id = _event_id(signed, str(number))
            one = await controls.command(backend, person, signed.verb, request, event_id=event_id)
            accepted.append(_item(one, number))
    for broker, number, digest in signed.letters:
        letter = Chosen(broker=broker, number=number, digest=digest)
        one = await letters.ask(backend, person, signed.verb, letter, _event_id(signed, f"{broker}/{number}/{digest}"))
        accepted.append(_item(one, number))
    return AcceptedList(accepted=accepted)


def _read(seal: Seal, person: Person, token: str) -> _Signed:
    payload, _, mark = token.partition(".")
    try:
        if not seal.fits(mark, _PURPOSE, payload):
            raise ValueError
        signed = msgspec.json.decode(urlsafe_b64decode(payload), type=_Signed)
    except (ValueError, msgspec.MsgspecError):  # The latter of another version with our key.
        raise Problem(400, "BAD_TOKEN", "The token is not one of ours: make a new plan.") from None
    if (signed.name, signed.session) != (person.name, person.session):
        raise Problem(403, "FOREIGN_TOKEN", "The token is another person's, or of another session: make a new plan.")
    if signed.until < time.time():
        raise Problem(409, "TOKEN_EXPIRED", f"The plan is older than {TOKEN_SECONDS // 60} minutes: make a new one.")
    return signed


async def _planned_requests(backend: Backend, verb: str, numbers: list[int]) -> list[Planned]:
    found = await asyncio.gather(*(backend.reader.request(number) for number in numbers))
    return [_planned(verb, number, request) for number, request in zip(numbers, found, strict=True)]


def _planned(verb: str, number: int, request: Request | None) -> Planned:
    if request is None:
        return Planned(number=number, applies=False, why="the record has no such request")
    why = controls.refusal(request, verb)
    about: dict[str, Any] = {"id": request.key.id, "service": request.service, "phase": str(request.phase)}
    return Planned(number=number, applies=why is None, why=why, **about)


async def _planned_letters(backend: Backend, chosen: list[Chosen]) -> list[Planned]:
    told = await letters.refusals(backend, chosen)
    return [
        Planned(number=one.number, broker=one.broker, id=told[one][0], applies=told[one][1] is None, why=told[one][1])
        for one in chosen
    ]


def _event_id(signed: _Signed, about: str) -> str:
    return str(uuid.uuid5(uuid.UUID(signed.nonce), about))


def _item(accepted: Accepted, number: int) -> AcceptedItem:
    return AcceptedItem(**accepted.model_dump(), number=number)


def _refuse(path: str, message: str, allowed: str) -> None:
    fault = Fault(path=path, message=message, allowed=allowed)
    raise Problem(400, "INVALID_PARAMETERS", "The action cannot be planned.", errors=[fault])
