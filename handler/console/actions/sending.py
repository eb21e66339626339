"""Publishes what people ask for, once: the same event id is the same action, however often it is sent."""

import hashlib
import uuid
from collections.abc import Sequence

from cloudevents.core.v1.event import CloudEvent

from adapters.base import Kind, Topic
from events.cloudevent.values import data_bytes
from handler.console.backend import Backend
from handler.console.http.problems import Fault, Problem
from handler.console.views.answer import answer_path
from handler.console.views.models import Accepted
from handler.settings.settings import Settings

MAX_EVENT_ID = 256
"""Characters of an event id that a client chooses."""


def page_source(settings: Settings) -> str:
    """The source of events that the page makes."""
    return f"/jobrelay/{settings.instance}/page"


def accepted(event: CloudEvent, href: str, asked: Sequence[str] = ()) -> Accepted:
    """The answer to whoever asked for this. `href`: the page to look at. `asked`: requests that the event makes."""
    event_id = str(event.get_id())
    return Accepted(event_id=event_id, href=href, answer=answer_path(event_id, asked))


def event_id_of(given: str | None) -> str:
    """The event id that was asked for, else a new one. Raises `Problem` for one that cannot be."""
    if given is None:
        return str(uuid.uuid4())
    if not given or len(given) > MAX_EVENT_ID or not given.isascii() or not given.isprintable() or " " in given:
        fault = Fault(
            path="eventId", message="is no event id", allowed=f"1-{MAX_EVENT_ID} ASCII letters, digits, signs"
        )
        raise Problem(400, "INVALID_PARAMETERS", "The event id cannot be used.", errors=[fault])
    return given


async def send(backend: Backend, topic: Topic, event: CloudEvent, *, broker: str | None = None) -> None:
    """Publish it, unless it was published before. `broker`: the name of one; None is the first.

    The broker drops a repeat by its id where it can; what this process has sent it does not send again, whatever the
    broker. Raises `Problem` where nothing may be published, and for an event id that has named another action;
    `BrokerUnavailable`, `TopicRefused`.
    """
    if backend.settings.ui_read_only == "on":
        raise Problem(403, "READ_ONLY", "This page only shows: nothing can be asked for here.")
    connected = backend.broker(broker)
    name = (connected.name, str(topic.kind), str(event.get_source()), str(event.get_id()))
    async with backend.sent.claim(name, _content(topic, event)) as claim:
        if claim.taken:
            detail = "This event id has named another action: an action that is new has an id of its own."
            raise Problem(409, "EVENT_ID_TAKEN", detail)
        if not claim.done:
            await connected.publish(topic, event)


def _content(topic: Topic, event: CloudEvent) -> bytes:
    """What the action is, whenever and however often it is asked for."""
    attributes = {name: value for name, value in event.get_attributes().items() if name not in ("time", "expirytime")}
    lane = topic.key if topic.kind is Kind.REQUESTS else ""
    found = hashlib.sha256(repr((lane, sorted(attributes.items(), key=str))).encode(errors="surrogatepass"))
    found.update(data_bytes(event))
    return found.digest()
