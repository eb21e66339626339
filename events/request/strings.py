"""How long each string may be that Linux starts a program with: variables, command, arguments. Not their sum."""

import re
import sys
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from events.problems import MAX_ERRORS, FieldError

MAX_STRING = 131_072
"""Bytes of one string of execve, a NUL at its end included: Linux' MAX_ARG_STRLEN. A variable is `NAME=value`."""
ALLOWED = f"{MAX_STRING} bytes, the NUL at its end included"
_SHORT = MAX_STRING // 16
"""Characters, of 4 bytes at most; a variable has a name, too."""
_EXPANDED = re.compile(r"\$(?:\$|\(([^)]*)\))")


def too_long(container: Mapping[str, Any], *, longest: int = sys.maxsize) -> list[FieldError]:
    """The strings with which its program can never start, as many as errors are told.

    `container`: a container of Kubernetes, or the `job` of a request, which has the same names; fields of a wrong type
    are skipped, and strings of more than `longest` characters. Kubernetes expands `$(NAME)` before: what is set
    elsewhere counts as empty.
    """
    # Nearly every request: nothing is long, and nothing grows.
    strings = [*_list(container, "command"), *_list(container, "args")]
    for variable in _list(container, "env"):
        strings += variable.values() if isinstance(variable, dict) else ()
    for text in strings:
        if type(text) is not str or len(text) >= _SHORT or "$(" in text:
            return list(islice(_too_long(container, longest), MAX_ERRORS))
    return []


def _too_long(container: Mapping[str, Any], longest: int) -> Iterator[FieldError]:
    sizes: dict[str, int] = {}
    for number, variable in enumerate(_list(container, "env")):
        if not isinstance(variable, dict) or not isinstance(name := variable.get("name"), str):
            continue
        value = variable.get("value")
        sizes[name] = _size(value, sizes) if isinstance(value, str) and len(value) <= longest else 0
        size = _bytes(name) + len("=") + sizes[name] + 1
        if size > MAX_STRING:
            sizes[name] = 0  # Nothing that refers to it is wrong as well.
            about = f"is {size} bytes as NAME=value: Linux starts no program with it"
            yield FieldError(f"env[{number}].value", about, ALLOWED)
    for field in ("command", "args"):
        for number, text in enumerate(_list(container, field)):
            size = _size(text, sizes) + 1 if isinstance(text, str) and len(text) <= longest else 0
            if size > MAX_STRING:
                yield FieldError(f"{field}[{number}]", f"is {size} bytes: Linux starts no program with it", ALLOWED)


def _size(text: str, sizes: Mapping[str, int]) -> int:
    """Bytes once Kubernetes has put in the variables of these sizes."""
    size = _bytes(text)
    for found in _EXPANDED.finditer(text) if "$" in text else ():
        name = found[1]
        size += (1 if name is None else sizes.get(name, 0)) - _bytes(found[0])
    return size


def _bytes(text: str) -> int:
    return len(text.encode(errors="replace"))


def _list(holder: Mapping[str, Any], name: str) -> list[Any]:
    found = holder.get(name)
    return found if isinstance(found, list) else []
