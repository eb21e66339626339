"""What a message that becomes no Job says of itself, trusted only to tell its sender where the sender listens. Pure."""

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from events.request.fields import Identifier, LabelValue

_IDENTIFIER: TypeAdapter[str] = TypeAdapter(Identifier)
_LABEL_VALUE: TypeAdapter[str] = TypeAdapter(LabelValue)


def claimed_id(data: Mapping[str, Any]) -> str | None:
    """The id that the data of a request claim; None unless a request could have it, by length too."""
    return _valid(_IDENTIFIER, data.get("id"))


def claimed_service(data: Mapping[str, Any]) -> str | None:
    """The service that the data of a request claim; None unless a request could have it."""
    return _valid(_LABEL_VALUE, data.get("service"))


def _valid(rule: TypeAdapter[str], value: object) -> str | None:
    if not isinstance(value, str):
        return None
    try:
        return rule.validate_python(value)
    except ValidationError:
        return None
