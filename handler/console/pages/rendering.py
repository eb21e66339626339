"""How templates become answers: what every template may use, and what every text in it passes through."""

from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import quote, urlencode
from uuid import uuid4

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined

from handler import version
from handler.console.http.keys import BACKEND, BASE, FORM_TOKEN, PERSON, may_act
from handler.console.pages import wording
from handler.console.pages.assets import path_of
from handler.operations.wording import size

THEME = "theme"
"""The cookie that says `light` or `dark`; without it the system's choice holds."""
THEMES = ("light", "dark")
SECTIONS = (
    ("/", "Requests"),
    ("/queue", "Queue"),
    ("/schedules", "Schedules"),
    ("/dead", "Dead letters"),
    ("/submit", "Submit"),
    ("/stats", "Stats"),
    ("/audit", "Audit"),
)
"""The pages that every page links to."""
_FILTERS = {
    "age": wording.age,
    "between": wording.between,
    "clipped": wording.cut,
    "clock": wording.clock,
    "exact": wording.exact,
    "hour": wording.hour,
    "hour_of": wording.hour_of,
    "lasted": wording.lasted,
    "lines": wording.preformatted,
    "phase": wording.phase,
    "pretty": wording.pretty,
    "short": wording.short,
    "since": wording.since,
    "size": size,
    "tail": wording.tail,
}


def render(request: web.Request, template: str, status: int = 200, **values: Any) -> web.Response:
    """The page of this template. `values`: what it names beside what every template may use (`_common`)."""
    text = _environment().get_template(template).render({**_common(request), **values})
    return web.Response(text=text, status=status, content_type="text/html")


def compile_all() -> None:
    """Compile every template, so that nobody waits for it. Once for a process."""
    for name in _environment().list_templates():
        _environment().get_template(name)


class Urls:
    """`url(…)` in templates: paths below the base path of this application."""

    def __init__(self, base: str) -> None:
        self._base = base

    def __call__(self, path: str, *segments: object, **query: object) -> str:
        """`path`: as the route has it. `segments`: more of it, such as ids: whatever is in them, each is one segment.

        `query`: parameters; those that are None or empty are left out, a list is repeated.
        """
        whole = "/".join([path.rstrip("/"), *(_quoted(segment) for segment in segments)]) or "/"
        chosen = {name.rstrip("_"): value for name, value in query.items() if value not in (None, "", (), [])}
        asked = urlencode(chosen, doseq=True, errors="replace")
        return f"{self._base}{whole}{'?' if asked else ''}{asked}"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("handler.console.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=wording.shown,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(_FILTERS)
    environment.globals.update(version=version(), sections=SECTIONS, new_id=_new_id)
    return environment


def _common(request: web.Request) -> Mapping[str, Any]:
    """What every template may use.

    `acts`: whether this person may ask for actions now: else no forms for them are shown. `here`: the path of this
    page with its parameters. `section`: its first part. `token`: for the hidden field of forms.
    """
    settings, base = request.app[BACKEND].settings, request.app[BASE]
    person, urls = request.get(PERSON), Urls(base)
    return {
        "acts": may_act(request),
        "asset": lambda name: urls(path_of(name)),
        "base": base,
        "here": request.raw_path.removeprefix(base) or "/",
        "instance": settings.instance,
        "person": person,
        "read_only": settings.ui_read_only == "on",
        "section": f"/{request.path.removeprefix(base)[1:].partition('/')[0]}".replace("/requests", "/"),
        "theme": theme if (theme := request.cookies.get(THEME)) in THEMES else None,
        "token": request.get(FORM_TOKEN, ""),
        "ui_auth": settings.ui_auth,
        "url": urls,
    }


def _new_id() -> str:
    """The id of the event that a form will publish: a form that is sent twice is one action."""
    return str(uuid4())


def _quoted(segment: object) -> str:
    return quote(str(segment), safe="", errors="replace")
