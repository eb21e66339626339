"""All that is wrong with parameters or a body, by name: never only the first mistake, never the values."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from handler.console.http.problems import Fault, Problem

M = TypeVar("M", bound=BaseModel)
MAX_FAULTS = 50
"""That an answer lists."""
_SHOWN = 80
"""Characters of an unknown name that are repeated to whoever sent it."""


def names_of(model: type[BaseModel]) -> dict[str, str]:
    """Names of parameters and fields, as they stand in requests, with those of the model's attributes."""
    return {str(field.validation_alias or field.alias or name): name for name, field in model.model_fields.items()}


def unknown(name: str, known: Iterable[str]) -> Fault:
    """What is said of a name that nobody knows."""
    names = sorted(known)
    near = difflib.get_close_matches(name[:_SHOWN], names, 1)
    meant = f"; did you mean {near[0]}?" if near else ""
    return Fault(path=_short(name), message=f"there is no such name{meant}", allowed=", ".join(names) or None)


def checked(model: type[M], values: Mapping[str, Any], faults: Sequence[Fault], *, of: str) -> M:
    """The model of these values. Raises `Problem` with these faults and all others. `of`: what it is that is wrong."""
    found = list(faults)
    spoiled = {fault.path for fault in faults}
    try:
        made = model.model_validate(values)
    except ValidationError as error:
        found += (fault for fault in faults_of(error, names_of(model)) if fault.path not in spoiled)
    else:
        if not found:
            return made
    raise Problem(400, "INVALID_PARAMETERS", f"{of} cannot be used as they are.", errors=found[:MAX_FAULTS])


def faults_of(error: ValidationError, known: Iterable[str] = ()) -> list[Fault]:
    """What a model says of values, without the values."""
    return [_fault(item, known) for item in error.errors(include_url=False, include_input=False)]


def _fault(item: Mapping[str, Any], known: Iterable[str]) -> Fault:
    path = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        return unknown(path, known if len(item["loc"]) == 1 else ())
    context = item.get("ctx", {})
    allowed = context.get("expected") or _bounds(context)
    return Fault(path=_short(path), message=item["msg"].removeprefix("Value error, "), allowed=allowed)


def _bounds(context: Mapping[str, Any]) -> str | None:
    words = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than", "max_length": "at most"}
    said = [f"{word} {context[name]}" for name, word in words.items() if name in context]
    return ", ".join(said) or None


def _short(name: str) -> str:
    shown = "".join(character if character.isprintable() else "?" for character in name[:_SHOWN])
    return shown if len(name) <= _SHOWN else f"{shown}…"
