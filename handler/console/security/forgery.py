"""Whether a request was meant by the person whose browser sent it, and not by another site."""

from aiohttp import web

from handler.console.http.forms import FORM_TYPE, form_of
from handler.console.http.person import Person
from handler.console.http.problems import Problem
from handler.console.http.seal import Seal

HEADER, FIELD = "X-CSRF-Token", "token"
"""Where the token stands in requests with JSON, and in forms."""


def token_of(seal: Seal, person: Person) -> str:
    """What forms on this person's pages carry. Another site cannot read it."""
    return seal.of("form", person.session, person.name)


async def check_meant(request: web.Request, seal: Seal, person: Person) -> None:
    """Raises `Problem` unless it comes from our own page and carries its token. Bearers need no such proof."""
    if person.bearer:
        return
    if not is_ours(request):
        raise Problem(403, "FORGED", "This was sent by another site, or by a browser that does not say which.")
    given = request.headers.get(HEADER, "")
    if not given and request.content_type == FORM_TYPE:
        given = (await form_of(request)).one(FIELD)
    if not person.session or not seal.fits(given, "form", person.session, person.name):
        raise Problem(
            403, "FORGED", "The token of the form is missing, or of another session: load the page anew and try again."
        )


def is_ours(request: web.BaseRequest) -> bool:
    """Whether our own page has sent it, as the browser says; older ones say so by `Origin` alone."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in ("same-origin", "none")
    # It has no path. Others may write what `urlsplit` raises at, or reads in another way on another Python.
    host = request.headers.get("Origin", "").partition("://")[2]
    return bool(host) and host == request.host
