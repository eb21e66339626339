"""Where handlers find what they need: in the application, and in the request."""

from aiohttp import web

from handler.console.backend import Backend
from handler.console.http.person import Person
from handler.console.http.seal import Seal

BACKEND = web.AppKey("backend", Backend)
SEAL = web.AppKey("seal", Seal)
"""What this page gives out and gets back is marked with: sessions, forms, previews."""
PERSON = web.RequestKey("person", Person)
"""Set before any handler runs."""
FORM_TOKEN = web.RequestKey("form_token", str)
"""The token that forms on the page carry, bound to the person's session (hidden field `token`)."""
BASE = web.AppKey("base", str)
"""The path that everything is served below, without a slash at its end: empty, or such as `/jobs`."""


def may_act(request: web.Request) -> bool:
    """Whether this person may ask for actions now."""
    person = request.get(PERSON)
    return person is not None and person.operator and request.app[BACKEND].settings.ui_read_only == "off"
