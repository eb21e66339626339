"""From where a stream goes on: what browsers send when they come back, or what was asked with."""

from aiohttp import web
from pydantic import Field

from handler.console.http.problems import Fault, Problem
from handler.console.live.places import Place, place_of
from handler.console.views.asked import Asked

HEADER = "Last-Event-ID"
_ALLOWED = "an id of this stream, or the position of a page"


class Resuming(Asked):
    """From where on."""

    position: str | None = Field(None, description="Of the page whose changes are asked for: what has happened since.")
    last_event_id: str | None = Field(
        None, description="The last id of the stream before, for clients that cannot send the header `Last-Event-ID`."
    )


def place_asked(request: web.Request, query: Resuming) -> Place | None:
    """None: from now on. Raises `Problem`."""
    for name, given in asked(request, query):
        if given:
            found = place_of(given)
            if found is None:
                raise unknown(name)
            return found
    return None


def asked(request: web.Request, query: Resuming) -> tuple[tuple[str, str | None], ...]:
    """Names and values: those that are known best first, as browsers repeat an address unchanged."""
    header = request.headers.get(HEADER)
    return (HEADER, header), ("lastEventId", query.last_event_id), ("position", query.position)


def unknown(name: str) -> Problem:
    fault = Fault(path=name, message="names no place in the stream", allowed=_ALLOWED)
    return Problem(400, "INVALID_PARAMETERS", "The parameters are not as they should be.", errors=[fault])
