"""What the buttons of pages post: each asks for an action, then shows the page where its answer appears."""

from aiohttp import web

from handler.console.actions import controls, letters, schedules
from handler.console.actions.asked import LetterQuery, ScheduleQuery
from handler.console.actions.bulk import Selection, carry_out, plan
from handler.console.actions.letters import Chosen
from handler.console.http.forms import Form, form_of
from handler.console.http.keys import BACKEND, BASE, PERSON, SEAL
from handler.console.http.operation import Handler
from handler.console.http.parameters import number_of, query_of
from handler.console.http.problems import Fault, Problem
from handler.console.pages.rendering import Urls, render

_NUMBER = r"{number:\d{1,18}}"


def routes() -> list[web.RouteDef]:
    """Beside the pages: `/requests/{number}/cancel`, `/requests/actions`, `/dead/{number}/drop`, …"""
    return [
        web.post("/requests/actions", _several_requests),
        web.post("/dead/actions", _several_letters),
        *(web.post(f"/requests/{_NUMBER}/{verb}", _control(verb)) for verb in controls.VERBS),
        web.post(f"/requests/{_NUMBER}/again", _again),
        *(web.post(f"/dead/{_NUMBER}/{verb}", _letter(verb)) for verb in letters.VERBS),
        *(web.post(f"/schedules/{{id}}/{verb}", _schedule(verb)) for verb in schedules.VERBS),
    ]


def _control(verb: str) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        form, number = await form_of(request), number_of(request)
        done = await controls.control(request.app[BACKEND], request[PERSON], verb, number, _event(form))
        raise _to(request, f"/requests/{number}", done=done.event_id)

    return handle


async def _again(request: web.Request) -> web.StreamResponse:
    await form_of(request)
    raise _to(request, "/submit", again=number_of(request))


def _letter(verb: str) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        form, query = await form_of(request), query_of(request, LetterQuery)
        done = await letters.act(
            request.app[BACKEND],
            request[PERSON],
            verb,
            number_of(request),
            broker=query.broker or form.one("broker") or None,
            digest=form.one("digest") or None,
            event_id=_event(form),
        )
        raise _to(request, "/dead", done=done.event_id)

    return handle


def _schedule(verb: str) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        form, query = await form_of(request), query_of(request, ScheduleQuery)
        source, job = query.source or form.one("source") or None, query.job or form.one("job") or None
        if verb == "cancel" and form.one("confirm") != "yes":
            name, event = request.match_info["id"], form.one("event")
            return render(request, "confirm.html", name=name, event=event, source=source, job=job)
        done = await schedules.act(
            request.app[BACKEND],
            request[PERSON],
            verb,
            request.match_info["id"],
            source=source,
            job=job,
            event_id=_event(form),
        )
        raise _to(request, "/schedules", done=done.event_id)

    return handle


async def _several_requests(request: web.Request) -> web.StreamResponse:
    form = await form_of(request)
    if form.one("plan"):
        return await _carry_out(request, form, "/")
    numbers = [int(text) for text in form.all("number") if text.isascii() and text.isdigit() and len(text) < 19]
    return await _plan(request, Selection(verb=form.one("verb"), numbers=numbers), "/requests/actions", "/")


async def _several_letters(request: web.Request) -> web.StreamResponse:
    """Each chosen letter stands in a field `letter`: `<broker>/<number>/<digest>`."""
    form = await form_of(request)
    if form.one("plan"):
        return await _carry_out(request, form, "/dead")
    chosen = [_chosen(text) for text in form.all("letter")]
    return await _plan(request, Selection(verb=form.one("verb"), letters=chosen), "/dead/actions", "/dead")


async def _plan(request: web.Request, selection: Selection, action: str, back: str) -> web.StreamResponse:
    found = await plan(request.app[BACKEND], request.app[SEAL], request[PERSON], selection)
    return render(request, "preview.html", plan=found, action=action, back=back)


async def _carry_out(request: web.Request, form: Form, back: str) -> web.StreamResponse:
    done = await carry_out(request.app[BACKEND], request.app[SEAL], request[PERSON], form.one("plan"))
    raise _to(request, back, done=done.accepted[0].event_id if done.accepted else None)


def _chosen(text: str) -> Chosen:
    broker, _, rest = text.partition("/")
    number, _, digest = rest.partition("/")
    if not (broker and digest and number.isascii() and number.isdigit() and len(number) < 19):
        fault = Fault(path="letter", message="is no dead letter", allowed="<broker>/<number>/<digest>")
        raise Problem(400, "INVALID_PARAMETERS", "The action cannot be planned.", errors=[fault])
    return Chosen(broker=broker, number=int(number), digest=digest)


def _event(form: Form) -> str | None:
    """The id that the form was made with: sent twice, it is one action."""
    return form.one("event") or None


def _to(request: web.Request, path: str, **query: object) -> web.HTTPSeeOther:
    return web.HTTPSeeOther(Urls(request.app[BASE])(path, **query))
