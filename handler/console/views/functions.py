"""The functions that this process knows: which events they take, for those who want to send one."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson

from events.functions.file import InvalidFunctions
from events.functions.functions import Function
from handler.console.backend import Backend
from handler.intake.functions import read

MOST = 200
"""Functions that a page names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A function for people. `exact`: attributes that its events have for certain, to begin a form with."""

    name: str
    takes: str
    exact: dict[str, str] = field(default_factory=dict)


async def functions_of(backend: Backend) -> Sequence[Function]:
    """Those of `JOBRELAY_FUNCTIONS`, where this process has it and can read it; else none."""
    path = backend.settings.functions
    if path is None:
        return ()
    try:
        return await asyncio.to_thread(read, path, ())
    except InvalidFunctions:
        return ()


def taken_by(functions: Sequence[Function]) -> list[Taken]:
    """What is shown of them."""
    return [Taken(name=one.name, takes=_takes(one), exact=_exact(one)) for one in functions[:MOST]]


def _takes(function: Function) -> str:
    filters = [one.model_dump(by_alias=True, exclude_none=True) for one in function.filters]
    return "every event" if not filters else ", ".join(orjson.dumps(one).decode() for one in filters)


def _exact(function: Function) -> dict[str, str]:
    found: dict[str, str] = {}
    for one in function.filters:
        # What must begin so may be just that.
        found |= {**(one.prefix or {}), **(one.exact or {})}
    return found
