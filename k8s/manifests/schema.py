"""Finds unknown fields, wrong types and malformed quantities in a manifest. Validates nothing else.

The client library's models say which fields there are. Importing them takes half a second: that happens at first use.
"""

from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache
from typing import Any

from events.problems import FieldError, path_of
from k8s.reading.quantity import parse

Path = tuple[str | int, ...]

_QUANTITIES = {"limits", "requests"}
"""Maps of quantities. The models declare text, but numbers are allowed too."""
_QUANTITY = {"sizeLimit", "divisor"}
_SCALARS: dict[str, tuple[type | tuple[type, ...], str]] = {
    "str": (str, "text"),
    "int": (int, "an integer"),
    "bool": (bool, "true or false"),
    "float": ((int, float), "a number"),
    "datetime": (str, "a time"),
}


def unfit(model: str, value: object, path: Path) -> Iterator[FieldError]:
    """What does not fit the type `model`, such as `V1PodSpec`. Nulls count as absent. `path`: where `value` is."""
    if not isinstance(value, dict):
        yield FieldError(path_of(path), "must be an object")
        return
    types = _fields(model)
    for name, inner in value.items():
        if name not in types:
            near = get_close_matches(str(name), types, n=1)
            hint = f", did you mean {near[0]}?" if near else ""
            yield FieldError(path_of([*path, str(name)]), f"is no field of Kubernetes here{hint}")
        elif inner is not None:
            yield from _fits(types[name], inner, (*path, name))


@cache
def _fields(model: str) -> dict[str, str]:
    """Declared types by JSON name."""
    from kubernetes_asyncio.client import models

    found = getattr(models, model)
    return {json: found.openapi_types[field] for field, json in found.attribute_map.items()}


def _fits(declared: str, value: Any, path: Path) -> Iterator[FieldError]:
    if declared.startswith("list["):
        yield from _list(declared[5:-1], value, path)
    elif declared.startswith("dict("):
        inner = "quantity" if path[-1] in _QUANTITIES else declared[5:-1].partition(", ")[2]
        yield from _map(inner, value, path)
    elif declared == "quantity" or path[-1] in _QUANTITY:
        yield from _quantity(value, path)
    elif declared in _SCALARS:
        kind, words = _SCALARS[declared]
        if not isinstance(value, kind) or (isinstance(value, bool) and declared != "bool"):
            yield FieldError(path_of(path), f"must be {words}")
    elif declared != "object":
        yield from unfit(declared, value, path)


def _list(item: str, value: Any, path: Path) -> Iterator[FieldError]:
    if not isinstance(value, list):
        yield FieldError(path_of(path), "must be a list")
        return
    for number, inner in enumerate(value):
        yield from _fits(item, inner, (*path, number))


def _map(item: str, value: Any, path: Path) -> Iterator[FieldError]:
    if not isinstance(value, dict):
        yield FieldError(path_of(path), "must be an object")
        return
    for name, inner in value.items():
        if not isinstance(name, str):
            yield FieldError(path_of([*path, str(name)]), "must be text: put the key into quotes")
        yield from _fits(item, inner, (*path, str(name)))


def _quantity(value: Any, path: Path) -> Iterator[FieldError]:
    fine = isinstance(value, (str, int, float)) and not isinstance(value, bool)
    try:
        parse(value if fine else "")
    except ValueError:
        yield FieldError(path_of(path), "is no quantity", "such as 500m, 2, 128Mi")
