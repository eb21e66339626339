"""From the inputs of the form to the data of a request, and back. What has no input stands in the further fields."""

import re
import shlex
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from handler.console.actions.fields import Field, Kind, fields
from handler.console.actions.judging import Faulty, read_document
from handler.console.http.problems import Fault
from handler.operations.documents import Document

FURTHER = "further"
"""The name of the input for everything that has no input of its own."""
_WHOLE = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_GPUS, _GPU_ENABLE = "job.gpuNumber", ("job", "gpuEnable")


def document_of(values: Mapping[str, str]) -> tuple[Document, list[Fault]]:
    """The data of a request, and what of the inputs cannot be read and is not in it. Empty inputs say nothing."""
    document: Document = {}
    faults: list[Fault] = []
    for field in fields():
        text = values.get(field.name, "").replace("\r\n", "\n")
        if not text.strip():
            continue
        try:
            _put(document, field.name.split("."), _READ[field.kind](text))
        except ValueError as error:
            faults.append(Fault(path=field.name, message=str(error)))
    if values.get(_GPUS, "").strip():
        _put(document, _GPU_ENABLE, True)
    further = values.get(FURTHER, "").strip()
    if further:
        try:
            _merge(document, read_document(further, path=FURTHER), (), faults)
        except Faulty as error:
            faults += error.faults
    return document, faults


def values_of(document: Document) -> dict[str, str]:
    """What the inputs hold for these data, `FURTHER` included."""
    rest = _copied(document)
    values: dict[str, str] = {}
    gpus = _at(document, list(_GPU_ENABLE)) is True
    for field in fields():
        text = _written(field, _at(rest, field.name.split(".")))
        if text is not None and (gpus or field.name != _GPUS):
            values[field.name] = text
            _take(rest, field.name.split("."))
    if _GPUS in values:
        _take(rest, list(_GPU_ENABLE))
    if rest:
        values[FURTHER] = pretty(rest)
    return values


def pretty(value: Any) -> str:
    """JSON as people read it."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise ValueError(f"cannot be taken apart into words: {str(error).lower()}") from None


def _number(text: str) -> int | str:
    stripped = text.strip()
    return int(stripped) if _WHOLE.fullmatch(stripped) else stripped


def _pairs(text: str) -> list[dict[str, str]]:
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            name, equals, value = line.partition("=")
            if not equals or not name.strip():
                raise ValueError(f"line {number} is not NAME=value")
            found.append({"name": name.strip(), "value": value})
    return found


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.split("\n") if line.strip()]


_READ: Mapping[Kind, Callable[[str], Any]] = {
    Kind.TEXT: str.strip,
    Kind.CHOICE: str.strip,
    Kind.NUMBER: _number,
    Kind.WORDS: _words,
    Kind.LINES: _lines,
    Kind.PAIRS: _pairs,
}


def _written(field: Field, value: Any) -> str | None:
    """The text that is read as this value; None if there is none: then the value stands in the further fields."""
    text = _text(field, value)
    if not text:
        return None
    try:
        same = _READ[field.kind](text) == value
    except ValueError:
        return None
    # A line's end becomes another one in a form.
    return text if same and "\r" not in text else None


def _text(field: Field, value: Any) -> str | None:
    if isinstance(value, bool):
        return None
    if field.kind is Kind.NUMBER:
        return str(value) if isinstance(value, int) else None
    if field.kind in (Kind.TEXT, Kind.CHOICE):
        return value if isinstance(value, str) else None
    if not isinstance(value, list):
        return None
    if field.kind is Kind.PAIRS:
        return _text_of_pairs(value)
    if not all(isinstance(one, str) for one in value):
        return None
    return " ".join(map(_quoted, value)) if field.kind is Kind.WORDS else "\n".join(value)


def _quoted(word: str) -> str:
    """The word as people write it: in double quotes, where it has single ones and nothing that these would change."""
    return f'"{word}"' if "'" in word and not set(word) & set('"\\') else shlex.quote(word)


def _text_of_pairs(value: list[Any]) -> str | None:
    if not all(isinstance(one, dict) and isinstance(one.get("value"), str) for one in value):
        return None
    return "\n".join(f"{one.get('name')}={one['value']}" for one in value)


def _copied(value: Any) -> Any:
    return {key: _copied(inner) for key, inner in value.items()} if isinstance(value, dict) else value


def _put(document: Document, path: list[str] | tuple[str, ...], value: Any) -> None:
    *parents, name = path
    for parent in parents:
        document = document.setdefault(parent, {})
    document[name] = value


def _at(document: Any, path: list[str]) -> Any:
    for part in path:
        document = document.get(part) if isinstance(document, dict) else None
    return document


def _take(document: Document, path: list[str]) -> None:
    """Take away the value, and what is empty without it."""
    head, *rest = path
    if rest:
        _take(document[head], rest)
        if document[head]:
            return
    del document[head]


def _merge(document: Document, more: Document, at: tuple[str, ...], faults: list[Fault]) -> None:
    for name, value in more.items():
        path = (*at, name)
        if name not in document:
            document[name] = value
        elif isinstance(document[name], dict) and isinstance(value, dict):
            _merge(document[name], value, path, faults)
        elif document[name] != value:
            faults.append(Fault(path=".".join(path), message="is given twice: in its field and in the further fields"))
