"""Turns what a user writes (YAML, JSON, options) into request events. The handler decides what is allowed."""

import getpass
import re
import socket
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import orjson
import yaml
from cloudevents.core.v1.event import CloudEvent

from events.cloudevent.event import InvalidEvent, decode_structured
from events.cloudevent.numbers import number as number_of
from events.cloudevent.timestamp import format_time
from events.functions.trees import mapped
from events.names import REQUESTED_TYPE
from events.problems import InvalidRequest
from events.request.request import parse_request
from handler.core_yaml import Loader

Document = dict[str, Any]
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?", re.ASCII)


class _Loader(Loader):
    """Keeps the digits of numbers that JSON can say."""

    def construct_number(self, node: yaml.ScalarNode) -> Any:
        text = self.construct_scalar(node)
        if _NUMBER.fullmatch(text):
            return number_of(text)
        return self.construct_yaml_int(node) if node.tag.endswith(":int") else self.construct_yaml_float(node)


for _kind in ("int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _Loader.construct_number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What options change in every request. `sets`: `path=value` inside `job`; `fields`: other fields, by name."""

    sets: tuple[str, ...] = ()
    fields: Mapping[str, object] | None = None
    id: str | None = None
    source: str | None = None
    reply_to: str | None = None


def read_documents(text: str) -> list[Document]:
    """All requests in a text: documents separated by `---`, or lists of them. Raises `ValueError`."""
    try:
        documents = list(_flat(yaml.load_all(text, Loader=_Loader)))
    except yaml.YAMLError as error:
        raise ValueError(f"neither YAML nor JSON: {' '.join(str(error).split())}") from error
    for number, document in enumerate(documents, 1):
        if not isinstance(document, dict) or not all(isinstance(key, str) for key in document):
            raise ValueError(f"document {number} is no mapping: a request has at least `job: {{image: …}}`")
    if not documents:
        raise ValueError("nothing in it: a request has at least `job: {image: …}`")
    return documents


def _flat(documents: Iterator[Any]) -> Iterator[Any]:
    for document in documents:
        if isinstance(document, list):
            yield from document
        elif document is not None:
            yield document


def make_event(document: Document, changes: Changes, *, now: datetime | None = None) -> CloudEvent:
    """The request event of a document, which is either a structured event or only the data of a request.

    Raises `ValueError`, or its subclass `InvalidEvent`.
    """
    if "specversion" in document:
        return _changed_event(document, changes)
    data = apply(document, changes)
    own = data.get("id")
    attributes = {
        "specversion": "1.0",
        "id": changes.id or (own if isinstance(own, str) and own else str(uuid.uuid4())),
        "source": changes.source or default_source(),
        "type": REQUESTED_TYPE,
        "time": format_time(now or datetime.now(UTC)),
        "datacontenttype": "application/json",
        "replyto": changes.reply_to,
    }
    return _decoded({name: value for name, value in attributes.items() if value is not None} | {"data": data})


def _changed_event(document: Document, changes: Changes) -> CloudEvent:
    changed = dict(document)
    attributes = {"id": changes.id, "source": changes.source, "replyto": changes.reply_to}
    changed |= {name: value for name, value in attributes.items() if value is not None}
    if isinstance(changed.get("data"), dict):
        changed["data"] = apply(changed["data"], changes)
    elif changes.sets or changes.fields:
        raise InvalidEvent("its data is no JSON object: nothing can be set in it")
    return _decoded(changed)


def _decoded(document: Document) -> CloudEvent:
    try:
        body = orjson.dumps(document)
    except TypeError as error:
        # YAML has more types, and numbers without end; the message names the type alone.
        raise ValueError(f"it holds what JSON cannot say: {error}") from error
    return decode_structured(body)


def default_source() -> str:
    """The source of events for which none is given: `/jobrelay/cli/<user>@<host>`."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = "nobody"
    return f"/jobrelay/cli/{quote(user)}@{quote(socket.gethostname())}"


def apply(data: Document, changes: Changes) -> Document:
    """A changed copy of a request's data. Raises `ValueError` for a `path=value` that cannot be set."""
    changed: Document = mapped(data, str) | dict(changes.fields or {})
    if changes.id is not None and "id" in changed:
        changed["id"] = changes.id
    for text in changes.sets:
        path, equals, value = text.partition("=")
        if not equals or not path or not all(path.split(".")):
            raise ValueError(f"--set {text}: expected path=value, for instance image=busybox or env.NAME=value")
        job = changed.setdefault("job", {})
        if not isinstance(job, dict):
            raise ValueError(f"--set {text}: job is no mapping")
        _set(job, path, value, text)
    return changed


def _set(job: Document, path: str, value: str, text: str) -> None:
    head, _, rest = path.partition(".")
    if head == "env" and rest:
        _set_env(job, rest, value, text)
        return
    if head == "resources":
        # The name of a resource may have dots, and a quantity is text.
        *parents, key = path.split(".", 2)
        parsed: Any = value
    else:
        *parents, key = path.split(".")
        parsed = _parsed(value, text)
    for parent in parents:
        inner = job.setdefault(parent, {})
        if not isinstance(inner, dict):
            raise ValueError(f"--set {text}: {parent} is no mapping")
        job = inner
    job[key] = parsed


def _set_env(job: Document, name: str, value: str, text: str) -> None:
    entries = job.setdefault("env", [])
    if not isinstance(entries, list):
        raise ValueError(f"--set {text}: env is no list")
    others = [entry for entry in entries if not (isinstance(entry, dict) and entry.get("name") == name)]
    job["env"] = [*others, {"name": name, "value": value}]


def _parsed(value: str, text: str) -> Any:
    try:
        parsed = yaml.load(value, Loader=Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise ValueError(f"--set {text}: the value is no YAML") from error
    return "" if parsed is None and not value else parsed


def problems(event: CloudEvent) -> list[str]:
    """Why the handler would reject this request, as far as that is known here; empty if it would not.

    Empty also for events of functions, which only the handler knows.
    """
    if event.get_type() != REQUESTED_TYPE:
        return []
    try:
        parse_request(event)
    except InvalidRequest as error:
        return [_line(item.path, item.message, item.allowed) for item in error.errors] or [str(error)]
    return []


def _line(path: str, message: str, allowed: str | None) -> str:
    return f"{path}: {message}" + (f" (allowed: {allowed})" if allowed else "")


def from_options(image: str, command: Sequence[str], env: Sequence[str]) -> Document:
    """The request of `submit --image … -- command`. Raises `ValueError` for an `env` that is not NAME=value."""
    job: Document = {"image": image}
    if command:
        job["command"] = list(command)
    for entry in env:
        name, equals, value = entry.partition("=")
        if not equals or not name:
            raise ValueError(f"--env {entry}: expected NAME=value")
        _set_env(job, name, value, entry)
    return {"job": job}
