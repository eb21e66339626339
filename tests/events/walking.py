"""Walks a model: every object in it, and data that has something at that place."""

from collections.abc import Iterator
from typing import Any, get_args, get_origin

from pydantic import BaseModel

Place = tuple[str | int, ...]


def fields(model: type[BaseModel]) -> dict[str, object]:
    """Types by the names that are written."""
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}


def places(model: type[BaseModel], at: Place = ()) -> Iterator[tuple[Place, type[BaseModel]]]:
    """Every object in data of this model, itself included, with its model. Of a list, the first."""
    yield at, model
    for name, kind in fields(model).items():
        for steps, inner in _models(kind):
            if inner is not model:
                yield from places(inner, (*at, name, *steps))


def nested(place: Place, value: Any) -> Any:
    """Data that have nothing but this value at this place."""
    for step in reversed(place):
        value = [value] if isinstance(step, int) else {step: value}
    return value


def has(model: type[BaseModel], path: str) -> bool:
    """Whether there can be something at this path, such as `job.volumes.pvc`: of a list, its objects are meant."""
    first, _, rest = path.partition(".")
    if first not in fields(model):
        return False
    return not rest or any(has(inner, rest) for _, inner in _models(fields(model)[first]))


def _models(kind: object) -> Iterator[tuple[Place, type[BaseModel]]]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield (), kind
    for part in get_args(kind):
        for steps, inner in _models(part):
            yield (*((0,) if get_origin(kind) is list else ()), *steps), inner
