"""Which events a function takes: the filter dialects of CloudEvents Subscriptions. Reads attributes, no data."""

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

from cloudevents.core.v1.event import CloudEvent
from pydantic import AfterValidator, Field, model_validator

from events.cloudevent.attributes import MAX_NAME, MAX_VALUE, RESERVED, is_name
from events.cloudevent.event import MAX_ATTRIBUTES
from events.cloudevent.values import attribute_text
from events.request.fields import AtMost, Model, wrong

MAX_FILTERS = 100
"""Filters in one list."""
MAX_DEPTH = 20
"""Levels of filters in filters."""


def _attribute(name: str) -> str:
    if not is_name(name) or name in RESERVED:
        raise wrong("is no attribute", f"a-z and 0-9, at most {MAX_NAME}; not data: filters see attributes only")
    return name


def _pairs(pairs: dict[str, str]) -> dict[str, str]:
    if not pairs:
        raise wrong("must name an attribute", "{attribute: text}")
    return pairs


_Text = Annotated[str, Field(min_length=1, max_length=MAX_VALUE)]
_Name = Annotated[str, Field(max_length=MAX_NAME), AfterValidator(_attribute)]
_Pairs = Annotated[dict[_Name, _Text], AtMost(MAX_ATTRIBUTES), AfterValidator(_pairs)]
_Filters = Field(min_length=1, max_length=MAX_FILTERS)


class Filter(Model):
    """A filter: exactly one of its fields is given. Where a field has several attributes, all must match.

    An attribute that the event does not have matches nothing. Values are compared as text (CloudEvents' canonical
    form: `true`, `42`, RFC 3339 in UTC for `time`); letter case counts. The dialect `sql` is not supported.
    """

    exact: _Pairs | None = Field(None, description="Attributes that have exactly this value.")
    prefix: _Pairs | None = Field(None, description="Attributes whose value begins with this.")
    suffix: _Pairs | None = Field(None, description="Attributes whose value ends with this.")
    all: Annotated[list["Filter"], _Filters] | None = Field(None, description="All of these take it.")
    any: Annotated[list["Filter"], _Filters] | None = Field(None, description="At least one takes it.")
    not_: "Filter | None" = Field(None, alias="not", description="This filter does not take it.")

    @model_validator(mode="before")
    @classmethod
    def _one_dialect(cls, raw: Any) -> Any:
        if isinstance(raw, dict):
            if "sql" in raw:
                raise wrong("has the dialect sql, which is not supported", ", ".join(_DIALECTS))
            if len(raw) != 1 and set(raw) <= set(_DIALECTS):
                raise wrong("must have exactly one dialect", f"one of {', '.join(_DIALECTS)}; several of them in all")
        return raw

    def takes(self, event: CloudEvent) -> bool:
        """Whether the event passes."""
        for pairs, test in ((self.exact, str.__eq__), (self.prefix, str.startswith), (self.suffix, str.endswith)):
            if pairs is not None:
                return _every(event, pairs, test)
        if self.all is not None:
            return all(one.takes(event) for one in self.all)
        if self.any is not None:
            return any(one.takes(event) for one in self.any)
        return self.not_ is not None and not self.not_.takes(event)

    def depth(self) -> int:
        """Levels of filters, including this one."""
        return 1 + max((one.depth() for one in self._inner()), default=0)

    def _inner(self) -> Iterator["Filter"]:
        yield from self.all or ()
        yield from self.any or ()
        if self.not_ is not None:
            yield self.not_


_DIALECTS = ("exact", "prefix", "suffix", "all", "any", "not")


def shallow(filters: list[Filter]) -> list[Filter]:
    """The filters, unless they are nested too deep: then an error of pydantic's is raised."""
    if any(one.depth() > MAX_DEPTH for one in filters):
        raise wrong("are nested too deep", f"at most {MAX_DEPTH} levels")
    return filters


def _every(event: CloudEvent, pairs: Mapping[str, str], test: Callable[[str, str], bool]) -> bool:
    for name, wanted in pairs.items():
        value = attribute_text(event, name)
        if value is None or not test(value, wanted):
            return False
    return True
