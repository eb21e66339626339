"""Values with templates for texts: checked in the operator's file, filled in from an event."""

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

import orjson
from pydantic import AfterValidator, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from events.cloudevent.values import UnreadableData
from events.functions.templates import Missing, Values, fill, valid
from events.problems import FieldError, InvalidRequest
from events.request.fields import Text, wrong

MAX_FILLED = 1 << 20
"""Characters that all templates may become together: far more than what is made of them may have."""
MAX_DEPTH = 20
"""Levels of lists and objects."""

Place = tuple[str | int, ...]


def within(value: Any) -> Any:
    """The value, if every text in it is a template. Raises pydantic's errors, each with its place in the value."""
    faults = [InitErrorDetails(type=fault, loc=place, input=None) for place, fault in _faults(value, ())]
    if faults:
        raise ValidationError.from_exception_data("templates", faults)
    return value


Template = Annotated[Text, AfterValidator(valid)]
Tree = Annotated[Any, AfterValidator(within)]
"""Anything that JSON can say; its texts, at any depth, are templates. Keys are not."""


def mapped(tree: Any, change: Callable[[str], str]) -> Any:
    """A copy with every text changed, keys excepted."""
    if isinstance(tree, dict):
        return {name: mapped(inner, change) for name, inner in tree.items()}
    if isinstance(tree, list):
        return [mapped(inner, change) for inner in tree]
    return change(tree) if isinstance(tree, str) else tree


class Filling:
    """Fills templates in from one event. `errors`: what they need that the event lacks, and what it may not hold."""

    def __init__(self, values: Values) -> None:
        self._values = values
        self._room = MAX_FILLED
        self.errors: list[FieldError] = []

    def tree(self, tree: Any, *, what: str, quote: Mapping[str, str] | None = None) -> Any:
        """A copy with every template filled in. `what` it is, for errors; `quote`: as in `fill`.

        Raises `InvalidRequest` for more than `MAX_FILLED`.
        """
        return mapped(tree, lambda template: self._text(template, what, quote))

    def _text(self, template: str, what: str, quote: Mapping[str, str] | None) -> str:
        try:
            text = fill(template, self._values, quote=quote)
        except Missing as error:
            self.errors.append(FieldError(error.reference, f"is missing: {what} is made from it"))
            return template
        except UnreadableData as error:
            self.errors.append(FieldError("data", f"is {error}, which a variable cannot hold: {what} is made from it"))
            return template
        self._room -= len(text)
        if self._room < 0:
            raise InvalidRequest([FieldError("data", f"makes {what} too long")], code="TOO_LARGE")
        if "\x00" in text:
            self.errors.append(FieldError("data", f"has a NUL character in what {what} is made from"))
        return text


def _faults(value: Any, place: Place) -> Iterator[tuple[Place, PydanticCustomError]]:
    if len(place) > MAX_DEPTH:
        yield place, wrong("is nested too deep", f"at most {MAX_DEPTH} levels")
    elif isinstance(value, dict):
        for name, inner in value.items():
            if not isinstance(name, str) or "\x00" in name:
                yield (*place, str(name)), wrong("must be text without NUL characters: put the key into quotes")
            yield from _faults(inner, (*place, str(name)))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _faults(inner, (*place, number))
    elif (fault := _fault(value)) is not None:
        yield place, fault


def _fault(value: Any) -> PydanticCustomError | None:
    if isinstance(value, str):
        try:
            valid(value)
        except PydanticCustomError as error:
            return error
        if "\x00" in value:
            return wrong("must not hold NUL characters")
    try:
        orjson.dumps(value)
    except TypeError:  # YAML can say more than JSON: bytes, sets, larger integers.
        return wrong("is nothing that JSON can say")
    return None
