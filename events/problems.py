"""What is wrong with a request, for people: every error with its path and what is allowed. Never shows a value."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from events.cloudevent.attributes import shown

MAX_ERRORS = 50
MESSAGE_LIMIT = 2048
"""Bytes, as UTF-8, of what an API server, a webhook or a policy engine says that a message of ours repeats.

A policy engine first lists what it has checked; what has to be done about it stands at the end. Percent-encoded, such a
text still fits into the reason of a dead letter.
"""
_CUT = " … "
NEVER = frozenset(
    {
        *("hostPath", "hostNetwork", "hostPID", "hostIPC", "hostUsers", "hostPort", "hostAliases", "privileged"),
        *("procMount", "sysctls", "nodeName", "initContainers", "containers", "ephemeralContainers", "template"),
        *("automountServiceAccountToken", "serviceAccountToken", "runtimeClassName", "schedulerName", "devices"),
    }
)
"""Fields of Kubernetes that reach beyond the pod, or around the policy: no request can set them."""
WEBHOOK = (
    "is not supported: lifecycle events are published to jobrelay.lifecycle.<service>.<id>.<phase>, "
    "or to the topic in the event's attribute replyto"
)


@dataclass(frozen=True, slots=True)
class FieldError:
    """One error: `path` into the event's data (or an attribute's name), one sentence, and what would be accepted."""

    path: str
    message: str
    allowed: str | None = None

    def __str__(self) -> str:
        text = f"{self.path} {self.message}" if self.path else self.message
        return f"{text} (allowed: {self.allowed})" if self.allowed else text


class InvalidRequest(ValueError):
    """A CloudEvent that can never be carried out as a request, or as a control event."""

    def __init__(self, errors: Sequence[FieldError], *, code: str = "INVALID_REQUEST") -> None:
        self.errors = tuple(errors)
        self.code = code
        super().__init__("; ".join(str(error) for error in self.errors))


def brief(text: str) -> str:
    """The text in `MESSAGE_LIMIT` bytes. Of a longer one the middle is left out: its end says what to do."""
    encoded = text.encode(errors="replace")
    if len(encoded) <= MESSAGE_LIMIT:
        return text
    head, tail = MESSAGE_LIMIT // 4, MESSAGE_LIMIT - MESSAGE_LIMIT // 4 - len(_CUT.encode())
    return f"{encoded[:head].decode(errors='ignore')}{_CUT}{encoded[-tail:].decode(errors='ignore')}"


def explain(error: ValidationError, model: type[BaseModel], *, operators: bool = False) -> list[FieldError]:
    """Pydantic's errors in our words, at most `MAX_ERRORS` of them, without any value.

    `operators`: it is the operator who writes this, so nothing is said of what requests cannot have.
    """
    details = error.errors(include_url=False, include_input=False)
    explained = [_explain(one, model, operators) for one in details[:MAX_ERRORS]]
    if len(details) > MAX_ERRORS:
        explained.append(FieldError("", f"and {len(details) - MAX_ERRORS} more errors"))
    return explained


_MESSAGES = {
    "missing": "is missing",
    "string_type": "must be text",
    "int_type": "must be an integer",
    "bool_type": "must be true or false",
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
        return FieldError(path, *_unknown(str(location[-1]), location[:-1], model, operators))
    context: dict[str, Any] = one.get("ctx", {})
    template = _MESSAGES.get(one["type"])
    message = template.format(**context) if template else one["msg"]
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


def _unknown(
    name: str, parents: Sequence[str | int], model: type[BaseModel], operators: bool
) -> tuple[str, str | None]:
    """Message and what is allowed, for a field that is unknown, misplaced or never allowed."""
    if name == "webhook" and not operators:
        return WEBHOOK, None
    if name in NEVER and not operators:
        return "cannot be set by a request", None
    inner = _inner(model, parents)
    if not parents and "job" in model.model_fields and name in _names(_inner(model, ["job"])):
        return f"is unknown here: it belongs into job (job.{name})", None
    near = get_close_matches(name[:40].lower(), [known.lower() for known in _names(inner)], n=1)
    nearest = next((known for known in _names(inner) if near and known.lower() == near[0]), None)
    return (f"is unknown, did you mean {nearest}?" if nearest else "is unknown"), ", ".join(_names(inner))


def _names(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _inner(model: type[BaseModel], parents: Sequence[str | int]) -> type[BaseModel]:
    """The model at this place; a list or an optional value stands for what it holds."""
    for part in parents:
        field = next((one for name, one in model.model_fields.items() if (one.alias or name) == part), None)
        if field is not None:
            model = next(_models(field.annotation), model)
    return model


def _models(kind: object) -> Iterator[type[BaseModel]]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
    for part in get_args(kind):
        yield from _models(part)
