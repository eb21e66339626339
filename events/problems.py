"""What is wrong with a request, for people: every error with its path and what is allowed. Never shows a value."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from events.cloudevent.attributes import shown
from events.unknown import unknown

MAX_ERRORS = 50
"""Errors that are told of one event, wherever they come from; of further ones only how many there are."""
MESSAGE_LIMIT = 2048
"""Bytes, as UTF-8, of what an API server, a webhook or a policy engine says that a message of ours repeats.

A policy engine first lists what it has checked; what has to be done about it stands at the end. Percent-encoded, such a
text still fits into the reason of a dead letter.
"""
_CUT = " … "


@dataclass(frozen=True, slots=True)
class FieldError:
    """One error: `path` into the event's data (or an attribute's name), one sentence, and what would be accepted."""

    path: str
    message: str
    allowed: str | None = None

    def __str__(self) -> str:
        text = f"{self.path} {self.message}" if self.path else self.message
        return f"{text} (allowed: {self.allowed})" if self.allowed else text


@dataclass(frozen=True, slots=True)
class Further(FieldError):
    """Stands for `count` errors that are not told."""

    count: int = 0


class InvalidRequest(ValueError):
    """A CloudEvent that can never be carried out as a request, or as a control event; `errors`: see `told`."""

    def __init__(self, errors: Sequence[FieldError], *, code: str = "INVALID_REQUEST") -> None:
        self.errors = told(errors)
        self.code = code
        super().__init__("; ".join(str(error) for error in self.errors))


def told(errors: Iterable[FieldError], *, further: int = 0) -> tuple[FieldError, ...]:
    """The first `MAX_ERRORS` of them, and how many more there are. `further`: of those that are not in `errors`.

    What it gave before may be among them.
    """
    found: list[FieldError] = []
    for error in errors:
        if isinstance(error, Further):
            further += error.count
        elif len(found) < MAX_ERRORS:
            found.append(error)
        else:
            further += 1
    if further:
        found.append(Further("", f"and {further} more error{'s' if further > 1 else ''}", count=further))
    return tuple(found)


def brief(text: str) -> str:
    """The text in `MESSAGE_LIMIT` bytes. Of a longer one the middle is left out: its end says what to do."""
    encoded = text.encode(errors="replace")
    if len(encoded) <= MESSAGE_LIMIT:
        return text
    head, tail = MESSAGE_LIMIT // 4, MESSAGE_LIMIT - MESSAGE_LIMIT // 4 - len(_CUT.encode())
    return f"{encoded[:head].decode(errors='ignore')}{_CUT}{encoded[-tail:].decode(errors='ignore')}"


def explain(error: ValidationError, model: type[BaseModel], *, operators: bool = False) -> list[FieldError]:
    """Pydantic's errors in our words, as `told`, without any value.

    `operators`: it is the operator who writes this, so nothing is said of what requests cannot have.
    """
    details = error.errors(include_url=False, include_input=False)
    explained = (_explain(one, model, operators) for one in details[:MAX_ERRORS])
    return [*told(explained, further=max(0, len(details) - MAX_ERRORS))]


_MESSAGES = {
    "missing": "is missing",
    "string_type": "must be text",
    "string_unicode": "must be text",
    "invalid_key": "must be text: put the key into quotes",
    "int_type": "must be an integer",
    "bool_type": "must be true or false",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "too_short": "must have at least {min_length}",
    "too_long": "must have at most {max_length}",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "rule": "{text}",
}


def _explain(one: ErrorDetails, model: type[BaseModel], operators: bool) -> FieldError:
    location = list(one["loc"])
    if location[-1:] == ["[key]"] and one["type"] != "extra_forbidden":
        location.pop()  # It is the key itself that is wrong.
    path = path_of(location)
    if one["type"] == "extra_forbidden":
        return FieldError(path, *unknown(str(location[-1]), location[:-1], model, operators=operators))
    context: dict[str, Any] = one.get("ctx", {})
    template = _MESSAGES.get(one["type"])
    # Pydantic's own sentences may repeat a value.
    message = template.format(**context) if template else f"is wrong: {one['type'].replace('_', ' ')}"
    return FieldError(path, message, context.get("allowed"))


def path_of(location: Sequence[str | int]) -> str:
    """`job.env[0].name`; a key that is not a plain word is quoted."""
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            name = part if part.isidentifier() and len(part) <= 80 else shown(part)
            path += f".{name}" if path else name
    return path
