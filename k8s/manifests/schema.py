"""Finds unknown fields, wrong types and malformed quantities in a manifest. Validates nothing else.

The client library's models say which fields there are. Each is imported at its first use.
"""

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from events.problems import FieldError, path_of
from k8s.library import fields_of
from k8s.reading.quantity import parse

Path = tuple[str | int, ...]
Chain = tuple[tuple[Path, str], ...]
"""Paths and types of the objects around a value, the outermost first."""

_QUANTITIES = {"limits", "requests"}
"""Maps of quantities. The models declare text, but numbers are allowed too."""
_QUANTITY = {"sizeLimit", "divisor"}
_WAY = ("spec", "template", "jobTemplate", "metadata", "containers", "resources", "securityContext")
"""Fields in which a field that stands too high is looked for: those of other objects would only seem to be meant."""
_CALLED = {"envRef": "envFrom", "pvc": "persistentVolumeClaim", "toleration": "tolerations", "retries": "backoffLimit"}
"""What fields of a request are called here."""
_SCALARS: dict[str, tuple[type | tuple[type, ...], str]] = {
    "str": (str, "text"),
    "int": (int, "an integer"),
    "bool": (bool, "true or false"),
    "float": ((int, float), "a number"),
    "datetime": (str, "a time"),
}


def unfit(model: str, value: object, path: Path, around: Chain = ()) -> Iterator[FieldError]:
    """What does not fit the type `model`, such as `V1PodSpec`. Nulls count as absent. `path`: where `value` is."""
    if not isinstance(value, dict):
        yield FieldError(path_of(path), "must be an object")
        return
    types, chain = fields_of(model), (*around, (path, model))
    for name, inner in value.items():
        if name not in types:
            yield FieldError(path_of([*path, str(name)]), f"is no field of Kubernetes here{_hint(str(name), chain)}")
        elif inner is not None:
            yield from _fits(types[name], inner, (*path, name), chain)


def _hint(name: str, chain: Chain) -> str:
    """What was meant: a field of the same object, of one around it or inside it; else the nearest name."""
    types = fields_of(chain[-1][1])
    wanted = _folded(_CALLED.get(name, name))
    alike = next((field for field in types if _folded(field) == wanted), None)
    if alike is None:
        for place, model in (*reversed(chain[:-1]), *_inside(*chain[-1])):
            if name in fields_of(model):
                return f": it belongs into {path_of(place)}"
    near = [alike] if alike else get_close_matches(name, types, n=1)
    if not near and types.keys() >= _QUANTITIES:
        return ": amounts stand in limits and requests"
    return f", did you mean {near[0]}?" if near else ""


def _folded(name: str) -> str:
    return name.replace("-", "").replace("_", "").lower()


def _inside(path: Path, model: str) -> Iterator[tuple[Path, str]]:
    """The objects inside an object that lead to its containers, the outer ones first."""
    level = [(path, model)]
    while level:
        level = [
            ((*place, name, *((0,) if types[name].startswith("list[") else ())), inner)
            for place, holder in level
            for types in (fields_of(holder),)
            for name in _WAY
            if (inner := types.get(name, "").removeprefix("list[").removesuffix("]")).startswith("V1")
        ]
        yield from level


def _fits(declared: str, value: Any, path: Path, around: Chain) -> Iterator[FieldError]:
    if declared.startswith("list["):
        yield from _list(declared[5:-1], value, path, around)
    elif declared.startswith("dict("):
        inner = "quantity" if path[-1] in _QUANTITIES else declared[5:-1].partition(", ")[2]
        yield from _map(inner, value, path, around)
    elif declared == "quantity" or path[-1] in _QUANTITY:
        yield from _quantity(value, path)
    elif declared in _SCALARS:
        kind, words = _SCALARS[declared]
        if not isinstance(value, kind) or (isinstance(value, bool) and declared != "bool"):
            yield FieldError(path_of(path), f"must be {words}")
    elif declared != "object":
        yield from unfit(declared, value, path, around)


def _list(item: str, value: Any, path: Path, around: Chain) -> Iterator[FieldError]:
    if not isinstance(value, list):
        yield FieldError(path_of(path), "must be a list")
        return
    for number, inner in enumerate(value):
        yield from _fits(item, inner, (*path, number), around)


def _map(item: str, value: Any, path: Path, around: Chain) -> Iterator[FieldError]:
    if not isinstance(value, dict):
        yield FieldError(path_of(path), "must be an object")
        return
    for name, inner in value.items():
        if not isinstance(name, str):
            yield FieldError(path_of([*path, str(name)]), "must be text: put the key into quotes")
        yield from _fits(item, inner, (*path, str(name)), around)


def _quantity(value: Any, path: Path) -> Iterator[FieldError]:
    fine = isinstance(value, (str, int, float)) and not isinstance(value, bool)
    try:
        parse(value if fine else "")
    except ValueError:
        yield FieldError(path_of(path), "is no quantity", "such as 500m, 2, 128Mi")
