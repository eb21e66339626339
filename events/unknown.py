"""What to say of a field that no model has: where it belongs, what it is called here, or what there is. Pure."""

import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import get_args, get_origin

from pydantic import BaseModel

from events.words import NEVER, WEBHOOK, WORDS, Sentences

Place = Sequence[str | int]
"""The keys and list indexes that lead to an object."""
_LONGEST = 40
"""Characters of a name that are compared: names come from outside."""
_FIELD = re.compile(r"\{([A-Za-z.]+)\}")


def _each(sentences: Sentences) -> dict[str, str]:
    """Each word with its sentence."""
    return {word: hint for words, hint in sentences.items() for word in words.split()}


_NEVER = _each(NEVER)


def unknown(name: str, place: Place, model: type[BaseModel], *, operators: bool) -> tuple[str, str | None]:
    """Message and, where nothing better is known, what is allowed.

    `place`: where the field stands in what `model` describes. `operators`: they write it, and may have more than
    requests.
    """
    if name == "webhook" and not operators:
        return WEBHOOK, None
    if name in _NEVER and not operators:
        return ": ".join(filter(None, ("cannot be set by a request", _filled(_NEVER[name], place)))), None
    chain = list(_chain(model, place))
    inner = chain[-1][1]
    alike = _alike(name, inner)
    if alike is None and (hint := _of_habit(name, inner)) is not None:
        return f"is unknown: {_filled(hint, place)}", None
    if alike is None and (elsewhere := _elsewhere(name, chain)) is not None:
        return f"is unknown here: it belongs {elsewhere}", None
    nearest = alike or _near(name, inner)
    if nearest is not None:
        return f"is unknown, did you mean {nearest}?", None
    return "is unknown", ", ".join(_fields(inner))


def _fields(model: type[BaseModel]) -> dict[str, object]:
    """The types of its fields, by the names that are written."""
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}


def _folded(name: str) -> str:
    """`image_pull_policy` and `image-pull-policy` are ways to write `imagePullPolicy`."""
    return re.sub(r"[-_ ]", "", name[:_LONGEST]).lower()


def _alike(name: str, model: type[BaseModel]) -> str | None:
    folded = _folded(name)
    return next((field for field in _fields(model) if _folded(field) == folded), None)


def _near(name: str, model: type[BaseModel]) -> str | None:
    by_folded = {_folded(field): field for field in _fields(model)}
    near = get_close_matches(_folded(name), by_folded, n=1)
    return by_folded[near[0]] if near else None


def _of_habit(name: str, model: type[BaseModel]) -> str | None:
    hints = _each(WORDS.get(model.__name__, {}))
    return {_folded(word): hint for word, hint in hints.items()}.get(_folded(name))


def _filled(hint: str, place: Place) -> str:
    """The sentence for people. In a `job` that is not the request's own, its fields are those of that `job`."""
    before = ".".join(map(str, place[: place.index("job")])) if "job" in place else ""

    def named(found: re.Match[str]) -> str:
        path = found[1].removeprefix(".")
        return f"{before}.{path}" if before and path.startswith("job.") else path

    return _FIELD.sub(named, hint)


def _elsewhere(name: str, chain: list[tuple[str, type[BaseModel]]]) -> str | None:
    """Where a field of this name belongs: into an object around this one, or into one inside it."""
    for depth in range(len(chain) - 2, -1, -1):
        path, around = chain[depth]
        if (field := _alike(name, around)) is not None:
            within = path.rpartition(".")[2]
            below = chain[depth + 1][0].removeprefix(f"{path}.").partition(".")[0].partition("[")[0]
            whole = f"{path}.{field}" if path else field
            return f"into {within} ({whole})" if within else f"beside {below} ({whole})"
    path, here = chain[-1]
    for where, inner in _inside(here):
        if (field := _alike(name, inner)) is not None:
            whole = ".".join(filter(None, (path, where, field)))
            return f"into {where.rpartition('.')[2]} ({whole})"
    return None


def _inside(model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    """The objects in an object, the outer ones first. Not those in lists: there may be several, or none."""
    level = [("", model)]
    while level:
        level = [
            (f"{path}.{name}".removeprefix("."), inner)
            for path, holder in level
            for name, kind in _fields(holder).items()
            for inner in _models(kind, lists=False)
            if inner is not holder
        ]
        yield from level


def _chain(model: type[BaseModel], place: Place) -> Iterator[tuple[str, type[BaseModel]]]:
    """The object at this place, and those around it, the outermost first, each with its path."""
    path = ""
    yield path, model
    for part in place:
        if isinstance(part, int):
            path = f"{path}[{part}]"
            continue
        kind = _fields(model).get(part)
        inner = next(_models(kind), None)
        if inner is not None:
            path, model = f"{path}.{part}".removeprefix("."), inner
            yield path, model


def _models(kind: object, *, lists: bool = True) -> Iterator[type[BaseModel]]:
    """Those that a value of this type can be; a list or an optional value stands for what it holds."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
    if lists or get_origin(kind) is not list:
        for part in get_args(kind):
            yield from _models(part, lists=lists)
