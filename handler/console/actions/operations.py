"""The actions of the JSON API: each publishes an event, and its answer says under which id."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from events.cloudevent.numbers import AS_WRITTEN
from events.contract.schema import schema_of
from handler.console.actions import controls, letters, schedules
from handler.console.actions.again import run_again
from handler.console.actions.asked import (
    Asking,
    AskingAgain,
    AskingLetter,
    AskingSeveral,
    LetterQuery,
    ScheduleQuery,
    SubmitQuery,
    optional_body,
)
from handler.console.actions.bulk import carry_out, plan
from handler.console.actions.submitting import LANES, Submission, judged, prepare, submit
from handler.console.http.answers import answer
from handler.console.http.keys import BACKEND, PERSON, SEAL
from handler.console.http.operation import Handler, Operation
from handler.console.http.parameters import body_of, json_of, number_of, query_of
from handler.console.http.problems import Fault, Problem
from handler.console.views.models import Accepted, AcceptedList, Judgement, Plan

_SENT = {
    "lane": {"enum": list(LANES), "description": "By default `normal`."},
    "eventId": {"type": "string", "description": "By default a new one. A repeat of it is the same request."},
    "replayOf": {"type": "string", "description": "The id of the request that it repeats."},
}


def _body() -> Mapping[str, Any]:
    """The data of a request, or a structured event; with what says how it is to be published."""
    return {
        "type": "object",
        "description": schema_of("request", data=True)["description"],
        "properties": {**_SENT, "job": {"type": "object"}, "specversion": {"const": "1.0"}},
    }


async def _submit(request: web.Request) -> web.Response:
    query, backend, person = query_of(request, SubmitQuery), request.app[BACKEND], request[PERSON]
    found = await json_of(request)
    if not isinstance(found, dict):
        raise Problem(400, "INVALID_PARAMETERS", "The body must be a JSON object.")
    submission = _submission(AS_WRITTEN.read(await request.read()))
    if query.dry_run:
        return answer(judged(prepare(backend.settings, person, submission).faults))
    return answer(await submit(backend, person, submission), status=202)


def _submission(body: dict[str, Any]) -> Submission:
    document = {name: value for name, value in body.items() if name not in _SENT}
    sent = {name: body.get(name) for name in _SENT}
    wrong = [
        Fault(path=name, message="must be text") for name, value in sent.items() if not isinstance(value, str | None)
    ]
    if wrong:
        raise Problem(400, "INVALID_PARAMETERS", "The fields of the body cannot be used as they are.", errors=wrong)
    lane = sent["lane"] or "normal"
    return Submission(document=document, lane=lane, event_id=sent["eventId"], replay_of=sent["replayOf"])


def _control(verb: str) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        asking = await optional_body(request, Asking)
        number = number_of(request)
        return answer(
            await controls.control(request.app[BACKEND], request[PERSON], verb, number, asking.event_id), status=202
        )

    return handle


async def _again(request: web.Request) -> web.Response:
    asking = await optional_body(request, AskingAgain)
    number, backend = number_of(request), request.app[BACKEND]
    done = await run_again(backend, request[PERSON], number, sets=asking.sets, event_id=asking.event_id)
    return answer(done, status=202)


def _letter(verb: str) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        query = query_of(request, LetterQuery)
        asking = await optional_body(request, AskingLetter)
        done = await letters.act(
            request.app[BACKEND],
            request[PERSON],
            verb,
            number_of(request),
            broker=query.broker,
            digest=asking.digest,
            event_id=asking.event_id,
        )
        return answer(done, status=202)

    return handle


def _schedule(verb: str) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        query = query_of(request, ScheduleQuery)
        asking = await optional_body(request, Asking)
        done = await schedules.act(
            request.app[BACKEND],
            request[PERSON],
            verb,
            request.match_info["id"],
            source=query.source,
            job=query.job,
            event_id=asking.event_id,
        )
        return answer(done, status=202)

    return handle


async def _several(request: web.Request) -> web.Response:
    asking = await body_of(request, AskingSeveral)
    backend, seal, person = request.app[BACKEND], request.app[SEAL], request[PERSON]
    if asking.token is not None:
        return answer(await carry_out(backend, seal, person, asking.token), status=202)
    return answer(await plan(backend, seal, person, asking.selection()))


_CONTROLS = {
    "cancel": "Cancel a request: its pods are ended",
    "suspend": "Suspend a request: its pods are ended, and it stays",
    "resume": "Let a suspended request go on",
}
_LETTERS = {"replay": "Put a dead letter back on the topic it came from", "drop": "Delete a dead letter for good"}
_SCHEDULES = {
    "run": "Run a schedule now, beside its times",
    "suspend": "Suspend a schedule",
    "resume": "Resume a schedule",
    "cancel": "Delete a schedule; runs go on",
}


def _operation(path: str, name: str, summary: str, handler: Handler, **more: Any) -> Operation:
    fixed = {"answer": Accepted, "status": 202, "body": Asking, "problems": (404, 409, 413, 415, 422)}
    # Those that `optional_body` reads.
    more = {"bodiless": isinstance(body := more.get("body", Asking), type) and issubclass(body, Asking), **more}
    return Operation(method="POST", path=path, name=name, summary=summary, handler=handler, **{**fixed, **more})


OPERATIONS: tuple[Operation, ...] = (
    _operation(
        "/requests",
        "submitRequest",
        "Submit a request, or an event for functions",
        _submit,
        query=SubmitQuery,
        body=_body(),
        also={200: Judgement},
    ),
    *(
        _operation(f"/requests/{{number}}/{verb}", f"{verb}Request", summary, _control(verb))
        for verb, summary in _CONTROLS.items()
    ),
    _operation(
        "/requests/{number}/again", "runRequestAgain", "Run a request again, with changes", _again, body=AskingAgain
    ),
    _operation(
        "/actions",
        "actOnSeveral",
        "Plan an action on several requests or dead letters, then carry it out",
        _several,
        body=AskingSeveral,
        answer=AcceptedList,
        also={200: Plan},
        group="actions",
    ),
    *(
        _operation(
            f"/dead/{{number}}/{verb}",
            f"{verb}Letter",
            summary,
            _letter(verb),
            query=LetterQuery,
            body=AskingLetter,
            group="dead letters",
        )
        for verb, summary in _LETTERS.items()
    ),
    *(
        _operation(
            f"/schedules/{{id}}/{verb}",
            f"{verb}Schedule",
            summary,
            _schedule(verb),
            query=ScheduleQuery,
            group="schedules",
        )
        for verb, summary in _SCHEDULES.items()
    ),
)
"""All that can be posted, with what each takes and answers."""
