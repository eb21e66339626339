"""The page to submit requests on: by fields that the published schema describes, as a document, or as an event."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from aiohttp import web
from pydantic import Field

from adapters.base import BrokerUnavailable, TopicRefused
from handler.console.actions.again import again
from handler.console.actions.fields import fields, groups
from handler.console.actions.filling import FURTHER, pretty, values_of
from handler.console.actions.judging import Faulty
from handler.console.actions.sending import page_source
from handler.console.actions.submitting import LANES, prepare, submit
from handler.console.actions.written import KINDS, faults_of_form, submission_of, values_in
from handler.console.http.answers import answer
from handler.console.http.forms import form_of
from handler.console.http.keys import BACKEND, BASE, PERSON, may_act
from handler.console.http.parameters import query_of
from handler.console.http.problems import Fault, Problem
from handler.console.pages.rendering import render
from handler.console.views.asked import Asked, Number
from handler.console.views.functions import functions_of, taken_by
from handler.console.views.models import Model
from handler.operations.documents import Document
from handler.visible import clipped, escaped

EXAMPLE = "job:\n  image: busybox:1.37\n  command: [sh, -c, 'echo hello; sleep 5']\n"
"""What the document begins with."""
MAX_WORDS = 700
"""Characters of a fault that are shown beside its input while that is typed in."""
_SENT = ("source", "subject", "lane")


class SubmitPage(Asked):
    """`as`: the way to write it. `again`: the number of the request that it begins with. `function`: whose event."""

    as_: Literal["form", "document", "event"] | None = Field(None, alias="as")
    again: Number | None = None
    function: str | None = None


class Checked(Model):
    """The first fault of each input, as a line for people."""

    fields: dict[str, str]


def routes() -> list[web.RouteDef]:
    """`/submit`, and `/submit/check`, which tells a script what is wrong while the form is filled in."""
    return [web.get("/submit", _show), web.post("/submit", _submit), web.post("/submit/check", _check)]


async def _show(request: web.Request) -> web.StreamResponse:
    query = query_of(request, SubmitPage)
    if not may_act(request):
        # What runs again may carry secrets in its variables: it is shown to those alone who could send it.
        raise Problem(403, "FORBIDDEN", "Only those who may act can submit requests here.")
    if query.again is not None:
        return await _filled(request, query.again, query.as_)
    values = {"document": EXAMPLE}
    if query.function:
        found = taken_by([one for one in await functions_of(request.app[BACKEND]) if one.name == query.function])
        values |= found[0].exact if found else {}
    return await _page(request, query.as_ or ("event" if query.function else "form"), values)


async def _filled(request: web.Request, number: int, kind: str | None) -> web.StreamResponse:
    """The form of a former request."""
    found = await again(request.app[BACKEND], number)
    document = found.document
    values = {"replayOf": found.replay_of, "document": pretty(document)}
    if found.function:
        values |= _of_event(document)
        kind = kind if kind == "document" else "event"
    else:
        values |= values_of(document["data"]) | _texts(document, ("source", "subject"))
        kind = kind if kind == "document" else "form"
    return await _page(request, kind, values, notes=found.notes, number=number)


def _of_event(document: Document) -> dict[str, str]:
    own = ("specversion", "type", "source", "subject", "data", "datacontenttype")
    others = {name: value for name, value in document.items() if name not in own}
    values = _texts(document, ("type", "source", "subject"))
    values["attributes"] = "\n".join(f"{name}={value}" for name, value in others.items() if isinstance(value, str))
    if "data" in document:
        values["data"] = pretty(document["data"])
    return values


def _texts(document: Document, names: Sequence[str]) -> dict[str, str]:
    return {name: str(document[name]) for name in names if name in document}


async def _submit(request: web.Request) -> web.StreamResponse:
    values = values_in(await form_of(request))
    kind = values.get("as") if values.get("as") in KINDS else "form"
    backend, person = request.app[BACKEND], request[PERSON]
    try:
        submission = submission_of(values)
        prepared = prepare(backend.settings, person, submission)
    except Faulty as error:
        return await _page(request, str(kind), values, faults=error.faults, status=422)
    if values.get("show") == "document":
        return await _page(request, "document", values | {"document": pretty(submission.document)})
    if prepared.faults or prepared.event is None:
        return await _page(request, str(kind), values, faults=prepared.faults, status=422)
    try:
        accepted = await submit(backend, person, submission)
    except Problem as error:
        return await _refused(request, str(kind), values, error)
    except (BrokerUnavailable, TopicRefused) as error:
        problem = Problem(503, "BROKER_UNAVAILABLE", f"It was not published: {error}")
        return await _refused(request, str(kind), values, problem)
    raise web.HTTPSeeOther(request.app[BASE] + accepted.href)


async def _check(request: web.Request) -> web.StreamResponse:
    values = values_in(await form_of(request))
    faults = faults_of_form(request.app[BACKEND].settings, request[PERSON], values)
    return answer(Checked(fields={name: _words(found[0]) for name, found in _by_field(faults, "form").items()}))


async def _refused(request: web.Request, kind: str, values: Mapping[str, str], problem: Problem) -> web.StreamResponse:
    """The form with everything that was written, so that it can be sent again."""
    faults = problem.errors or (Fault(path="", message=problem.detail),)
    return await _page(request, kind, values, faults=faults, status=problem.status)


async def _page(
    request: web.Request,
    kind: str,
    values: Mapping[str, str],
    *,
    faults: Sequence[Fault] = (),
    notes: Sequence[str] = (),
    number: int | None = None,
    status: int = 200,
) -> web.StreamResponse:
    backend = request.app[BACKEND]
    functions = taken_by(await functions_of(backend)) if kind == "event" else []
    told = _by_field(faults, kind)
    return render(
        request,
        "submit.html",
        status=status,
        event=values.get("event"),
        faults=faults,
        functions=functions,
        groups=[replace(one, open=one.open or _is_used(one.fields, values, told)) for one in groups()],
        further_open=bool(values.get(FURTHER)) or FURTHER in told,
        kind=kind,
        lanes=list(LANES),
        notes=notes,
        number=number,
        sent_open=any(values.get(name, "normal") not in ("", "normal") or name in told for name in _SENT),
        source=page_source(backend.settings),
        told=told,
        values=values,
    )


def _is_used(inputs: Sequence[Any], values: Mapping[str, str], told: Mapping[str, Any]) -> bool:
    return any(values.get(one.name) or one.name in told for one in inputs)


def _by_field(faults: Sequence[Fault], kind: str) -> dict[str, list[Fault]]:
    """Faults by the input that they are about; those about no input are told above the form alone."""
    names = [*(field.name for field in fields() if kind == "form"), *_SENT, FURTHER, "document"]
    names += ["type", "data", "attributes"]
    found: dict[str, list[Fault]] = {}
    for fault in faults:
        name = max((one for one in names if _is_about(fault.path, one)), key=len, default=None)
        if name is not None:
            found.setdefault(name, []).append(fault)
    return found


def _words(fault: Fault) -> str:
    allowed = f"; allowed: {fault.allowed}" if fault.allowed else ""
    return escaped(clipped(f"{fault.message}{allowed}", MAX_WORDS))


def _is_about(path: str, name: str) -> bool:
    return path == name or path.startswith((f"{name}.", f"{name}["))
