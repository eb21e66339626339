"""Logging in with a token, and out again."""

from aiohttp import web

from handler.console.http.back import back_to
from handler.console.http.forms import form_of
from handler.console.http.keys import BASE, PERSON
from handler.console.http.problems import Problem
from handler.console.pages.rendering import render
from handler.console.security.security import SECURITY


def routes() -> list[web.RouteDef]:
    """Without the path that all are below."""
    return [web.get("/login", _show), web.post("/login", _log_in), web.post("/logout", _log_out)]


async def _show(request: web.Request) -> web.StreamResponse:
    back = back_to(request.query.get("back", ""))
    if request.app[SECURITY].tokens is None or PERSON in request:
        raise web.HTTPSeeOther(request.app[BASE] + back)
    return render(request, "login.html", back=back, problem=None)


async def _log_in(request: web.Request) -> web.StreamResponse:
    security, form = request.app[SECURITY], await form_of(request)
    back = back_to(form.one("back"))
    if security.tokens is None:
        raise Problem(404, "NOT_FOUND", "Nobody logs in here: see JOBRELAY_UI_AUTH.")
    if PERSON in request:
        raise web.HTTPSeeOther(request.app[BASE] + back)
    try:
        proof = security.tokens.proof(request, form.one("secret"))
    except Problem as problem:
        response = render(request, "login.html", status=problem.status, back=back, problem=problem.detail)
        if problem.retry_after is not None:
            response.headers["Retry-After"] = str(problem.retry_after)
        return response
    security.log_in(request, proof)
    raise web.HTTPSeeOther(request.app[BASE] + back)


async def _log_out(request: web.Request) -> web.StreamResponse:
    security = request.app[SECURITY]
    security.log_out(request, security.session(request))
    raise web.HTTPSeeOther(f"{request.app[BASE]}/login" if security.tokens else f"{request.app[BASE]}/")
