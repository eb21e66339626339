"""The pages of dead letters: all that jobrelay refused, and one of them whole."""

import base64
from typing import Any

from aiohttp import web

from handler.console.http.keys import BACKEND, BASE
from handler.console.http.parameters import number_of, query_of
from handler.console.pages.hexdump import hexdump
from handler.console.pages.rendering import Urls, render
from handler.console.views.asked import Asked
from handler.console.views.dead import LettersQuery, letter_view, letters_view
from handler.console.views.models import LetterDetail

SHOWN = 40
"""Letters on a page, the oldest; the JSON has more."""
MOST_BYTES = 16 * 1024
"""Of a body on its page."""
AGES = {"": "any time", "1h": "hour", "24h": "24 hours", "7d": "7 days"}
"""Choices of `newer`."""


class PageQuery(LettersQuery):
    """As of the JSON. `done`: the id of the event that an action on this page has published."""

    done: str | None = None


class LetterQuery(Asked):
    """Where the letter is, by default the first broker; what `done` is, see `PageQuery`."""

    broker: str | None = None
    done: str | None = None


def routes() -> list[web.RouteDef]:
    """`/dead`, `/dead/{number}`."""
    return [web.get("/dead", _letters), web.get(r"/dead/{number:\d{1,18}}", _letter)]


async def _letters(request: web.Request) -> web.StreamResponse:
    backend, query = request.app[BACKEND], query_of(request, PageQuery)
    page = await letters_view(backend, query)
    given = {name: value for name in ("broker", "code", "type", "older", "newer") if (value := getattr(query, name))}
    newer = query.newer or ""
    return render(
        request,
        "dead.html",
        ages=AGES if newer in AGES else {newer: newer, **AGES},
        asked=query,
        brokers=backend.broker_names,
        done=query.done,
        filtered=bool(given),
        page=page,
        reload=Urls(request.app[BASE])("/dead", **given),
        shown=SHOWN,
    )


async def _letter(request: web.Request) -> web.StreamResponse:
    query = query_of(request, LetterQuery)
    letter = await letter_view(request.app[BACKEND], number_of(request), query.broker)
    return render(request, "letter.html", done=query.done, it=letter, most=MOST_BYTES, **_body(letter))


def _body(letter: LetterDetail) -> dict[str, Any]:
    """The body as text, where it is text, and as bytes."""
    raw = letter.body.encode() if letter.body is not None else base64.b64decode(letter.body_base64 or "")
    return {"text": letter.body, "dump": hexdump(raw[:MOST_BYTES])}
