"""The base of everything a request is made of. Holds no field."""

from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Model(BaseModel):
    """camelCase, strict types, no unknown fields; errors show no value."""

    model_config = ConfigDict(
        alias_generator=to_camel, extra="forbid", strict=True, frozen=True, hide_input_in_errors=True
    )


def exactly_one(*names: str) -> dict[str, Any]:
    """The rule in JSON Schema that one of these properties is there, and not null."""
    return {"oneOf": [_given(name) for name in names]}


def at_least_one(*names: str) -> dict[str, Any]:
    """The rule in JSON Schema that some of these properties are there, and not null."""
    return {"anyOf": [_given(name) for name in names]}


def _given(name: str) -> dict[str, Any]:
    return {"required": [name], "properties": {name: {"not": {"type": "null"}}}}
