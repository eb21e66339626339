"""Reads the file of `jobrelay import`, a set of scheduled requests, and finds everything that is wrong with it."""

import uuid
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

import yaml
from cloudevents.core.v1.event import CloudEvent
from pydantic import ValidationError

from events.cloudevent.attributes import is_text
from events.cloudevent.event import MAX_DEPTH, InvalidEvent, build, check_json
from events.names import REQUESTED_TYPE
from events.problems import FieldError, InvalidRequest, explain, path_of
from events.request.fields import Model
from events.request.request import parse_request
from handler.core_yaml import Loader
from handler.operations.documents import Document

_JSON = f"keys of text, numbers of 64 bits, at most {MAX_DEPTH} levels"
_MERGE = "tag:yaml.org,2002:merge"
_NEUTRAL = "/jobrelay/import"
"""The sources of sets that name none begin with it. It also replaces an invalid source while the rest is checked."""


class InvalidDefinitions(ValueError):
    """The file cannot be imported. `mistakes`: all of them, with their places but without values."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("; ".join(self.mistakes))


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A scheduled request: its id, and the data of its event."""

    id: str
    data: Document

    @property
    def namespace(self) -> str | None:
        """The namespace it names for its CronJob; None for the default namespace."""
        job = self.data.get("job")
        found = job.get("namespace") if isinstance(job, dict) else None
        return found if isinstance(found, str) else None

    def event(self, source: str) -> CloudEvent:
        """A request event with an id of its own, so that its answer can be told from the answers to others."""
        return _event(self.data, source)


@dataclass(frozen=True, slots=True, kw_only=True)
class DefinitionSet:
    """All definitions of one source, in the order of the file."""

    source: str
    definitions: Sequence[Definition]


class _File(Model):
    source: str | None = None
    jobs: list[dict[Any, Any]]


class _Loader(Loader):
    """Refuses a mapping with a key that comes twice: the first value would be lost silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        known = set()
        for key, _ in node.value:
            name = None if key.tag == _MERGE else self.construct_object(key, deep=True)
            if not isinstance(name, str):
                continue
            if name in known:
                raise yaml.constructor.ConstructorError(None, None, f"found the key {name} again", key.start_mark)
            known.add(name)
        return super().construct_mapping(node, deep=deep)


def read_definitions(text: str, *, source: str | None, fallback: str | None, judge: bool) -> DefinitionSet:
    """The set in a file. `source`: for a file that names none; `fallback`: if that is None too.

    Raises `InvalidDefinitions` with every mistake: with `judge`, also with what the handler would reject.
    """
    document = _parse(text)
    errors = _outline(document)
    own, errors_of_source = _source(document.get("source"), given=source, fallback=fallback)
    errors += errors_of_source
    jobs = document.get("jobs")
    definitions = []
    for place, data in enumerate(jobs if isinstance(jobs, list) else ()):
        if isinstance(data, dict):
            errors += [_at(place, error) for error in _mistakes(data, own, judge=judge)]
            definitions.append(Definition(id=data.get("id") or "", data=data))
    errors += _repeated(jobs)
    if errors:
        raise InvalidDefinitions(list(dict.fromkeys(map(str, errors))))
    return DefinitionSet(source=own, definitions=definitions)


def default_source(file: str) -> str:
    """`/jobrelay/import/<name of the file without its ending>`, so that it does not depend on user and directory."""
    return f"{_NEUTRAL}/{quote(PurePath(file).stem)}"


def _parse(text: str) -> Document:
    try:
        documents = [document for document in yaml.load_all(text, Loader=_Loader) if document is not None]
    except yaml.YAMLError as error:
        raise InvalidDefinitions([f"it is neither YAML nor JSON: {_problem(error)}"]) from error
    if (
        len(documents) != 1
        or not isinstance(documents[0], dict)
        or not all(isinstance(key, str) for key in documents[0])
    ):
        what = "is no mapping" if len(documents) == 1 else f"holds {len(documents) or 'no'} documents"
        raise InvalidDefinitions([f"it {what}: a set is one mapping, `jobs: […]` and perhaps `source: …`"])
    return documents[0]


def _problem(error: yaml.YAMLError) -> str:
    """What is wrong, and where, without quoting the file: it may have secrets in it."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return " ".join(str(error).split())
    return f"{error.problem} in line {error.problem_mark.line + 1}, column {error.problem_mark.column + 1}"


def _outline(document: Document) -> list[FieldError]:
    try:
        _File.model_validate(document)
    except ValidationError as error:
        return explain(error, _File)
    return []


def _source(own: object, *, given: str | None, fallback: str | None) -> tuple[str, list[FieldError]]:
    """The source of the set, and what is wrong with it."""
    if not isinstance(own, str | None):
        return _NEUTRAL, []  # `_outline` reports it.
    if own is not None and given not in (None, own):
        return own, [FieldError("source", "differs from --source, which is for files that name none")]
    chosen = next((source for source in (own, given, fallback) if source is not None), None)
    if chosen is None:
        why = "is missing: --prune, and standard input, need a name for the set, here or as --source"
        return _NEUTRAL, [FieldError("source", why)]
    try:
        _event(None, chosen)
    except InvalidEvent:
        return _NEUTRAL, [FieldError("source", "is no URI reference", allowed="a path such as /jobs/reports")]
    return chosen, []


def _mistakes(data: Document, source: str, *, judge: bool) -> Iterator[FieldError]:
    """What is wrong with a definition."""
    for name, why in (("id", "names the definition"), ("schedule", "says when it runs")):
        if data.get(name) is None:
            yield FieldError(name, f"is missing: it {why}")
        elif not isinstance(data[name], str):
            yield FieldError(name, "must be text")
    foreign = [str(name) for name, value in data.items() if not (isinstance(name, str) and _is_json(value))]
    yield from (FieldError(path_of([name]), "cannot be written as JSON", allowed=_JSON) for name in foreign)
    if judge and not foreign:
        try:
            parse_request(_event(data, source))
        except InvalidRequest as error:
            yield from error.errors


def _is_json(value: object) -> bool:
    try:
        check_json(value, {}, MAX_DEPTH - 1)
    except InvalidEvent:
        return False
    return True


def _repeated(jobs: object) -> Iterator[FieldError]:
    ids = [job.get("id") if isinstance(job, dict) else None for job in (jobs if isinstance(jobs, list) else ())]
    counts = Counter(name for name in ids if isinstance(name, str))
    for place, name in enumerate(ids):
        if isinstance(name, str) and counts[name] > 1 and (first := ids.index(name)) < place:
            yield FieldError(f"jobs[{place}].id", f"is that of jobs[{first}] too")


def _at(place: int, error: FieldError) -> FieldError:
    where = f"jobs[{place}]"
    return replace(error, path=f"{where}.{error.path}" if error.path else where)


def _event(data: Document | None, source: str) -> CloudEvent:
    unique, name = str(uuid.uuid4()), str((data or {}).get("id") or "")
    attributes = {
        "specversion": "1.0",
        "id": f"{name[:256]}/{unique}" if is_text(name) else unique,
        "source": source,
        "type": REQUESTED_TYPE,
        "time": datetime.now(UTC),
        "datacontenttype": "application/json",
    }
    return build(attributes, data)
