"""What the forms of the submit page say, as submissions. There are three: by fields, as a document, as an event."""

from collections.abc import Mapping

from events.cloudevent.attributes import SPECVERSION
from events.cloudevent.numbers import AS_WRITTEN
from events.names import REQUESTED_TYPE
from handler.console.actions.filling import document_of
from handler.console.actions.judging import Faulty, check_depth, read_document
from handler.console.actions.submitting import Submission, prepare
from handler.console.http.forms import Form
from handler.console.http.person import Person
from handler.console.http.problems import Fault
from handler.operations.documents import Document
from handler.settings.settings import Settings

KINDS = ("form", "document", "event")
"""How a request is written: field `as` of the form."""
_ATTRIBUTES = ("source", "subject")


def submission_of(values: Mapping[str, str]) -> Submission:
    """What is to be published. `values`: of the form's inputs; those that are empty say nothing.

    Raises `Faulty` for what is no document at all.
    """
    kind = values.get("as") or KINDS[0]
    reading = {"form": _by_fields, "document": _as_document, "event": _as_event}.get(kind)
    if reading is None:
        raise Faulty(Fault(path="as", message="is no way to write a request", allowed=", ".join(KINDS)))
    document, faults = reading(values)
    return Submission(
        document=document,
        faults=tuple(faults),
        lane=values.get("lane") or "normal",
        event_id=values.get("event") or None,
        replay_of=values.get("replayOf") or None,
    )


def values_in(form: Form) -> dict[str, str]:
    """The inputs of the form. Raises `Problem` for one that stands there twice."""
    return {name: form.one(name) for name in form.names}


def faults_of_form(settings: Settings, person: Person, values: Mapping[str, str]) -> tuple[Fault, ...]:
    """What is wrong with what was written. Raises `Problem` for an event id that cannot be."""
    try:
        return prepare(settings, person, submission_of(values)).faults
    except Faulty as error:
        return error.faults


def _by_fields(values: Mapping[str, str]) -> tuple[Document, list[Fault]]:
    data, faults = document_of(values)
    given = _given(values, _ATTRIBUTES)
    if not given:
        return data, faults
    document = {"specversion": SPECVERSION, "type": REQUESTED_TYPE, "datacontenttype": "application/json"}
    return {**document, **given, "data": data}, faults


def _as_document(values: Mapping[str, str]) -> tuple[Document, list[Fault]]:
    text = values.get("document", "")
    if not text.strip():
        raise Faulty(Fault(path="document", message="is missing", allowed="a request, or a structured event"))
    return read_document(text), []


def _as_event(values: Mapping[str, str]) -> tuple[Document, list[Fault]]:
    faults: list[Fault] = []
    document: Document = {"specversion": SPECVERSION, **_extensions(values.get("attributes", ""), faults)}
    document |= _given(values, ("type", *_ATTRIBUTES))
    text = values.get("data", "")
    if text.strip():
        try:
            document["data"] = _data(text)
            document["datacontenttype"] = "application/json"
        except Faulty as error:
            faults += error.faults
    return document, faults


def _given(values: Mapping[str, str], names: tuple[str, ...]) -> Document:
    return {name: text for name in names if (text := values.get(name, "").strip())}


def _extensions(text: str, faults: list[Fault]) -> Document:
    """Further attributes, `name=value` on each line."""
    found: Document = {}
    for number, line in enumerate(text.split("\n"), 1):
        name, equals, value = line.partition("=")
        if line.strip() and not (equals and name.strip()):
            faults.append(Fault(path="attributes", message=f"line {number} is not name=value"))
        elif line.strip():
            found[name.strip()] = value.strip()
    return found


def _data(text: str) -> object:
    """Any JSON, or an object in YAML."""
    try:
        found: object = AS_WRITTEN.read(text.encode())
    except (ValueError, RecursionError):
        return read_document(text, path="data")
    check_depth(found, "data")
    return found
