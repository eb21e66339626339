"""The operator's file of functions: its model, and every mistake in it at once. Does not read the file."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from events.functions.functions import Function
from events.functions.rules import across
from events.problems import FieldError, explain
from events.request.fields import Model

Judge = Callable[[dict[str, Any]], Iterable[FieldError]]
"""What is wrong with a function's `job`; paths begin with `job`."""
_TYPE_HINT = "a mapping with one key, functions: a list of {name, filters, env, job}"
MAX_FUNCTIONS = 1000
_LONGEST = 63
"""Characters of a name that errors repeat."""


class InvalidFunctions(ValueError):
    """The file cannot be used; `errors` holds every mistake, one line each."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        self.errors = tuple(errors)
        super().__init__("invalid functions:\n" + "\n".join(f"  {error}" for error in self.errors))


class FunctionsFile(Model):
    """The operator's file."""

    functions: Annotated[list[Function], Field(max_length=MAX_FUNCTIONS)] = Field(
        description="In any order; an event may match several."
    )


def parse_functions(document: object, *, judge: Judge = lambda job: ()) -> tuple[Function, ...]:
    """The functions in a file that has been read as YAML or JSON.

    Raises `InvalidFunctions` with every mistake of every function, each with the function's name; `judge` adds those
    of its manifest.
    """
    if not isinstance(document, dict) or not all(isinstance(key, str) for key in document):
        raise InvalidFunctions([FieldError("", "is no list of functions", _TYPE_HINT)])
    raw = document.get("functions")
    listed: list[Any] = raw if isinstance(raw, list) else []
    if len(listed) > MAX_FUNCTIONS:
        raise InvalidFunctions([FieldError("functions", f"must have at most {MAX_FUNCTIONS}")])
    errors = _mistakes(FunctionsFile, {**document, "functions": [] if isinstance(raw, list) else raw})
    for one, place in zip(listed, _places(listed), strict=True):
        errors += [_placed(error, place) for error in _judged(one, judge)]
    errors += _repeated(listed)
    if errors:
        raise InvalidFunctions(errors)
    return tuple(Function.model_validate(one) for one in listed)


def named(function: str) -> str:
    """How errors and warnings name a function."""
    return f"function {json.dumps(function if len(function) <= _LONGEST else function[:_LONGEST] + '...')}"


def _judged(one: object, judge: Judge) -> list[FieldError]:
    errors = _mistakes(Function, one)
    if isinstance(one, dict) and all(isinstance(key, str) for key in one):
        errors += across(one)
        job = one.get("job")
        if isinstance(job, dict) and all(isinstance(key, str) for key in job):
            errors += judge(job)
    return errors


def _mistakes(model: type[BaseModel], value: object) -> list[FieldError]:
    try:
        model.model_validate(value)
    except ValidationError as error:
        return explain(error, model, operators=True)
    return []


def _names(listed: Sequence[object]) -> list[str | None]:
    names = [one.get("name") if isinstance(one, dict) else None for one in listed]
    return [name if isinstance(name, str) and name else None for name in names]


def _places(listed: Sequence[object]) -> Iterator[str]:
    """What each is called in errors: its name, and its place in the file where the name does not tell."""
    names = _names(listed)
    for number, name in enumerate(names):
        place = f"functions[{number}]"
        if name is None:
            yield place
        else:
            yield named(name) if names.count(name) == 1 else f"{named(name)} ({place})"


def _placed(error: FieldError, place: str) -> FieldError:
    if not error.path:
        return replace(error, path=place)
    return replace(error, path=f"{place}.{error.path}" if place.startswith("functions[") else f"{place}: {error.path}")


def _repeated(listed: Sequence[object]) -> list[FieldError]:
    names, places = _names(listed), _places(listed)
    return [
        _placed(FieldError("name", "is the name of another function too"), place)
        for number, (name, place) in enumerate(zip(names, places, strict=True))
        if name is not None and name in names[:number]
    ]
