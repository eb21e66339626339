"""Replays and drops dead letters: publishes a control event on the broker that has the letter."""

from dataclasses import dataclass

from adapters.base import Broker, BrokerUnavailable, Kind, Record, Topic, digest_of
from handler.console.actions.controls import made
from handler.console.actions.sending import accepted, event_id_of, page_source, send
from handler.console.backend import Backend, UnknownBroker
from handler.console.http.person import Person
from handler.console.http.problems import Fault, Problem
from handler.console.views.dead import letter_of, letters_of
from handler.console.views.models import Accepted
from handler.operations.letters import summary

VERBS = ("replay", "drop")
"""What can be asked of a dead letter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """A dead letter. `digest`: of its body, so that no other letter with its number is meant."""

    broker: str
    number: int
    digest: str


async def act(
    backend: Backend,
    person: Person,
    verb: str,
    number: int,
    *,
    broker: str | None = None,
    digest: str | None = None,
    event_id: str | None = None,
) -> Accepted:
    """Ask for a verb of `VERBS`. `broker`: where the letter is; None is the only one. `digest`: None: whichever it is.

    Raises `Problem`: 404 for no such letter; and what `broker_of` and `send` raise.
    """
    connected = broker_of(backend, broker)
    if digest is None:
        digest = digest_of((await letter_of(connected, number)).body)
    return await ask(backend, person, verb, Chosen(broker=connected.name, number=number, digest=digest), event_id)


async def ask(backend: Backend, person: Person, verb: str, letter: Chosen, event_id: str | None = None) -> Accepted:
    """Publish the control event."""
    event = made(
        verb,
        str(letter.number),
        source=page_source(backend.settings),
        event_id=event_id_of(event_id),
        actor=person.name,
        letter_digest=letter.digest,
    )
    await send(backend, Topic(Kind.CONTROL), event, broker=letter.broker)
    return accepted(event, "/dead")


def broker_of(backend: Backend, name: str | None) -> Broker:
    """The broker of this name, or the only one.

    Raises `Problem` 400 where it has to be named, `UnknownBroker`, `BrokerUnavailable`.
    """
    known = backend.broker_names
    if name is None and len(known) > 1:
        fault = Fault(path="broker", message="is missing: there are several", allowed=", ".join(known))
        raise Problem(400, "INVALID_PARAMETERS", "The broker has to be named.", errors=[fault])
    return backend.broker(name)


async def refusals(backend: Backend, chosen: list[Chosen]) -> dict[Chosen, tuple[str, str | None]]:
    """Of each letter what it is called, and why nothing can be asked of it: None where it can."""
    told: dict[Chosen, tuple[str, str | None]] = {}
    for name in dict.fromkeys(one.broker for one in chosen):
        mine = [one for one in chosen if one.broker == name]
        try:
            records = await letters_of(backend.broker(name), {one.number for one in mine})
        except (BrokerUnavailable, UnknownBroker) as error:
            told |= dict.fromkeys(mine, ("", str(error)))
            continue
        told |= {one: _judged(one, records.get(one.number)) for one in mine}
    return told


def _judged(chosen: Chosen, record: Record | None) -> tuple[str, str | None]:
    if record is None:
        return "", "it is no dead letter any more"
    said = summary(record)
    name = str(said["id"] or "") or str(said["topic"])
    return name, None if digest_of(record.body) == chosen.digest else "another letter has its number now"
