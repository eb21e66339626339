"""What a message that becomes no Job says of itself, trusted only to tell its sender where the sender listens."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cloudevents.core.v1.event import CloudEvent
from pydantic import TypeAdapter, ValidationError

from adapters.base import Delivery
from events.cloudevent.event import Arrived
from events.cloudevent.glance import names_in
from events.request.fields import Identifier, LabelValue
from handler.effects.apart import LARGE
from handler.effects.deliveries import Rejection

OURS = "dev.jobrelay."
"""Prefix of the types of events that are meant for jobrelay itself."""
_IDENTIFIER: TypeAdapter[str] = TypeAdapter(Identifier)
_LABEL_VALUE: TypeAdapter[str] = TypeAdapter(LabelValue)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """`request_id` is None where nothing identifies the message."""

    attributes: Mapping[str, str]
    request_id: str | None
    service: str | None

    @property
    def foreign_type(self) -> dict[str, str]:
        """A log field: of an event that is not ours, its type says which function was to take it."""
        name = self.attributes.get("type", OURS)
        return {} if name.startswith(OURS) else {"type": name}


def claims_of(event: CloudEvent) -> Claims:
    """What an event says that is refused."""
    # Only data of our own types name a request. A producer that got the type wrong still listens where its data say.
    data = _names(event) if event.get_type().startswith(OURS) else {}
    attributes = {name: str(value) for name, value in event.get_attributes().items()}
    return _claims(attributes, data, event_id=event.get_id())


def claims_unread(delivery: Delivery, rejection: Rejection) -> Claims:
    """What a delivery says that is no event, or was not read."""
    attributes, data = rejection.attributes, {}
    if rejection.structured is not None and attributes.get("type", "").startswith(OURS):
        data = names_in(delivery.body, structured=rejection.structured)
    return _claims(attributes, data, event_id=attributes.get("id"))


def _names(event: CloudEvent) -> Mapping[str, Any]:
    """The data, or of large data what stands at their top."""
    if isinstance(event, Arrived) and event.size > LARGE:
        text, key = event.json
        return names_in(text, structured=key is not None)
    data = event.get_data()
    return data if isinstance(data, dict) else {}


def claimed_id(data: Mapping[str, Any]) -> str | None:
    """The id that the data of a request claim; None unless a request could have it, by length too."""
    return _valid(_IDENTIFIER, data.get("id"))


def claimed_service(data: Mapping[str, Any]) -> str | None:
    """The service that the data of a request claim; None unless a request could have it."""
    return _valid(_LABEL_VALUE, data.get("service"))


def _claims(attributes: Mapping[str, str], data: Mapping[str, Any], *, event_id: str | None) -> Claims:
    return Claims(attributes=attributes, request_id=claimed_id(data) or event_id, service=claimed_service(data))


def _valid(rule: TypeAdapter[str], value: object) -> str | None:
    if not isinstance(value, str):
        return None
    try:
        return rule.validate_python(value)
    except ValidationError:
        return None
