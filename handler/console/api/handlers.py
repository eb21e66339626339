"""Handlers that answer with what a view shows."""

from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

from aiohttp import web
from pydantic import BaseModel, Field

from handler.console.actions.sending import page_source
from handler.console.backend import Backend
from handler.console.http.answers import answer
from handler.console.http.keys import BACKEND, PERSON
from handler.console.http.operation import Handler
from handler.console.http.parameters import number_of, query_of
from handler.console.views.answer import MAX_ASKED, answer_view
from handler.console.views.asked import Asked
from handler.console.views.models import Me

Q = TypeVar("Q", bound=BaseModel)
Answer = Awaitable[BaseModel]


class AnswerQuery(Asked):
    """What the event was for."""

    asked: Annotated[tuple[str, ...], Field(max_length=MAX_ASKED)] = Field(
        default=(), description="Ids of the requests that it makes, as `answer` has them; none: it asked for an action."
    )


def of_all(view: Callable[[Backend], Answer]) -> Handler:
    """Of a view that nothing can be asked of."""

    async def handle(request: web.Request) -> web.Response:
        query_of(request, Asked)
        return answer(await view(request.app[BACKEND]))

    return handle


def of_some(view: Callable[[Backend, Q], Answer], query: type[Q]) -> Handler:
    """Of a view that takes parameters."""

    async def handle(request: web.Request) -> web.Response:
        return answer(await view(request.app[BACKEND], query_of(request, query)))

    return handle


def of_one(view: Callable[[Backend, int], Answer]) -> Handler:
    """Of a view of what has the number in the path."""

    async def handle(request: web.Request) -> web.Response:
        query_of(request, Asked)
        return answer(await view(request.app[BACKEND], number_of(request)))

    return handle


def of_one_some(view: Callable[[Backend, int, Q], Answer], query: type[Q]) -> Handler:
    """Of a view of what has the number in the path, which takes parameters."""

    async def handle(request: web.Request) -> web.Response:
        asked = query_of(request, query)
        return answer(await view(request.app[BACKEND], number_of(request), asked))

    return handle


async def show_me(request: web.Request) -> web.Response:
    """Who asks."""
    query_of(request, Asked)
    person, settings = request[PERSON], request.app[BACKEND].settings
    return answer(Me(name=person.name, operator=person.operator, read_only=settings.ui_read_only == "on"))


async def show_answer(request: web.Request) -> web.Response:
    """What became of the event whose id is in the path."""
    query, backend = query_of(request, AnswerQuery), request.app[BACKEND]
    source = page_source(backend.settings)
    return answer(await answer_view(backend, request.match_info["eventId"], source=source, asked=query.asked))
