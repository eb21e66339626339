"""Who asks, before anything else is looked at."""

from aiohttp import web
from aiohttp.typedefs import Handler

from handler.console.http.keys import FORM_TOKEN, PERSON
from handler.console.http.person import Person

LOCAL = Person(name="local", operator=True)
"""Whoever uses the machine itself."""


@web.middleware
async def tell_person(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Say who asks."""
    request[PERSON] = LOCAL
    request[FORM_TOKEN] = ""
    return await handler(request)
