"""The page that says what became of an action, for those who wait for it without a script."""

import asyncio
from typing import Annotated

from aiohttp import web
from pydantic import Field

from handler.console.actions.sending import page_source
from handler.console.http.keys import BACKEND, BASE
from handler.console.http.parameters import query_of
from handler.console.pages.rendering import Urls, render
from handler.console.views.answer import MAX_ASKED, PENDING, answer_view
from handler.console.views.asked import Asked
from handler.console.views.models import Answer

WAIT_SECONDS, LOOK_SECONDS = 2.0, 0.2
"""How long the page waits for an answer before it is shown without one, and how often it looks meanwhile."""


class DoneQuery(Asked):
    """`event`: the id of the event. `asked`: ids of the requests that it may have made; none: it was an action."""

    event: Annotated[str, Field(max_length=256)]
    asked: Annotated[tuple[str, ...], Field(max_length=MAX_ASKED)] = ()


def routes() -> list[web.RouteDef]:
    """`/done`."""
    return [web.get("/done", _done)]


async def _done(request: web.Request) -> web.StreamResponse:
    query = query_of(request, DoneQuery)
    answer = await _answer(request, query)
    if len(answer.requests) == 1 and query.asked:
        where = Urls(request.app[BASE])("/requests", answer.requests[0].number)
        raise web.HTTPSeeOther(where)
    return render(request, "done.html", answer=answer, asked=query.asked)


async def _answer(request: web.Request, query: DoneQuery) -> Answer:
    backend = request.app[BACKEND]
    source = page_source(backend.settings)
    until = asyncio.get_running_loop().time() + WAIT_SECONDS
    while True:
        answer = await answer_view(backend, query.event, source=source, asked=query.asked)
        if answer.state != PENDING or asyncio.get_running_loop().time() >= until:
            return answer
        await asyncio.sleep(LOOK_SECONDS)
