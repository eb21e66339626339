"""Values with templates for texts: checked in the operator's file, filled in from an event."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator

from events.functions.templates import Missing, Values, fill, valid
from events.problems import FieldError
from events.request.fields import Text

Template = Annotated[Text, AfterValidator(valid)]


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
        self.errors: list[FieldError] = []

    def tree(self, tree: Any, *, what: str, quote: Mapping[str, str] | None = None) -> Any:
        """A copy with every template filled in. `what` it is, for errors; `quote`: as in `fill`."""
        return mapped(tree, lambda template: self._text(template, what, quote))

    def _text(self, template: str, what: str, quote: Mapping[str, str] | None) -> str:
        try:
            text = fill(template, self._values, quote=quote)
        except Missing as error:
            self.errors.append(FieldError(error.reference, f"is missing: {what} is made from it"))
            return template
        if "\x00" in text:
            self.errors.append(FieldError("data", f"has a NUL character in what {what} is made from"))
        return text
