"""What is wrong with a request before it is published, by path. The handler alone decides what is allowed."""

import re

import yaml
from cloudevents.core.v1.event import CloudEvent

from events.cloudevent.event import MAX_DEPTH, InvalidEvent, encode_structured
from events.cloudevent.numbers import AS_WRITTEN
from events.names import REQUESTED_TYPE
from events.problems import FieldError, InvalidRequest
from events.request.request import parse_request
from handler.console.http.problems import Fault
from handler.core_yaml import Loader
from handler.operations.documents import Document, read_documents
from handler.settings.settings import Settings

MAX_YAML = 16 << 10
"""Bytes of a document in YAML, which takes a hundred times as long to read as JSON."""

MAX_LEVELS = 30
"""Of what is nested in YAML: with each level, the rest takes longer to read."""
_LEVEL = {"{": 1, "[": 1, "}": -1, "]": -1}
_COMPACT = re.compile(r"^[ \t]*(?:[-?:][ \t]+){20}", re.MULTILINE)
"""Lists in lists on one line."""


class Faulty(Exception):
    """A document that makes no event; `faults` says why."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__("; ".join(fault.message for fault in faults))
        self.faults = faults


def read_document(text: str, *, path: str = "document") -> Document:
    """The one document in a text, JSON or YAML. Raises `Faulty`; `path` names the text there."""
    try:
        found = AS_WRITTEN.read(text.encode())
    except (ValueError, RecursionError, UnicodeEncodeError):
        return _read_yaml(text, path)
    if not isinstance(found, dict):
        raise Faulty(Fault(path=path, message="must be an object", allowed="a request, or a structured event"))
    check_depth(found, path)
    return found


def check_depth(value: object, path: str) -> None:
    """Raises `Faulty` for what is nested deeper than any event may be."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return
    raise Faulty(Fault(path=path, message="is nested too deep", allowed=f"{MAX_DEPTH} levels"))


def _read_yaml(text: str, path: str) -> Document:
    if len(text) > MAX_YAML:
        raise Faulty(Fault(path=path, message="is no JSON, and too long for YAML", allowed=f"{MAX_YAML} bytes of YAML"))
    if _is_deep(text):
        raise Faulty(Fault(path=path, message="is nested too deep for YAML", allowed=f"{MAX_LEVELS} levels"))
    try:
        # What an alias stands for may hold aliases: a few lines can stand for gigabytes.
        if "*" in text and any(isinstance(one, yaml.AliasEvent) for one in yaml.parse(text, Loader=Loader)):
            raise Faulty(Fault(path=path, message="has aliases, which are not followed here"))
        documents = read_documents(text)
    except (ValueError, yaml.YAMLError, RecursionError):
        # What is wrong with it would quote it: the place is enough.
        raise Faulty(Fault(path=path, message=f"is neither JSON nor YAML{_place(text)}")) from None
    if len(documents) > 1:
        raise Faulty(Fault(path=path, message=f"holds {len(documents)} documents", allowed="one"))
    return documents[0]


def _is_deep(text: str) -> bool:
    """Whether more brackets are open at a time than any document needs, wherever they stand."""
    level = 0
    for character in text:
        level = max(0, level + _LEVEL.get(character, 0))
        if level > MAX_LEVELS:
            return True
    return _COMPACT.search(text) is not None


def _place(text: str) -> str:
    """Where YAML ends being YAML, as `, at line 3`; empty where that cannot be said."""
    try:
        for _ in yaml.parse(text, Loader=Loader):
            pass
    except yaml.MarkedYAMLError as error:
        return "" if error.problem_mark is None else f", at line {error.problem_mark.line + 1}"
    except (yaml.YAMLError, RecursionError, ValueError):
        return ""
    return ": it is no mapping such as `job: {image: …}`"


def faults_of_event(event: CloudEvent, settings: Settings) -> list[Fault]:
    """Why the handler would reject it, as far as that is known here: it knows its policy and its functions alone."""
    faults: list[Fault] = []
    if event.get_type() == REQUESTED_TYPE:
        try:
            parse_request(event)
        except InvalidRequest as error:
            faults = [fault_of(one) for one in error.errors]
    size, most = len(encode_structured(event)), settings.max_request_bytes
    if size > most:
        # Parts of it are too large only because it is: the handler says nothing else of it either.
        return [Fault(path="", message=f"has {size} bytes as a structured event", allowed=f"{most} bytes")]
    return faults


def fault_of(error: FieldError) -> Fault:
    """A mistake in the data of a request."""
    return Fault(path=error.path, message=error.message, allowed=error.allowed)


def faults_of_invalid(error: InvalidEvent) -> list[Fault]:
    """Mistakes in attributes, by their names."""
    found = [Fault(path=one.name, message=one.message) for one in error.mistakes]
    return found or [Fault(path="", message=error.reason)]
