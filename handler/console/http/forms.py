"""What forms in HTML post."""

from urllib.parse import parse_qsl

from aiohttp import web

from handler.console.http.bodies import bytes_of
from handler.console.http.problems import Fault, Problem

FORM_TYPE = "application/x-www-form-urlencoded"
MAX_FIELDS = 2000
"""Of a form, repeated ones counted each."""


class Form:
    """The fields of a form, as text. Lines end with a line feed, as everywhere but in browsers' forms."""

    def __init__(self, fields: list[tuple[str, str]]) -> None:
        self._fields: dict[str, list[str]] = {}
        for name, value in fields:
            self._fields.setdefault(name, []).append(value.replace("\r\n", "\n"))

    @property
    def names(self) -> list[str]:
        """Of all fields that were posted, empty ones too."""
        return list(self._fields)

    def one(self, name: str) -> str:
        """The value of this field; empty if there is none. Raises `Problem` if there are several."""
        values = self._fields.get(name, [""])
        if len(values) > 1:
            fault = Fault(path=name, message="given more than once")
            raise Problem(400, "INVALID_PARAMETERS", "A field of the form stands there twice.", errors=[fault])
        return values[0]

    def all(self, name: str) -> list[str]:
        """Every value of this field, in order, such as those of check boxes."""
        return list(self._fields.get(name, ()))


async def form_of(request: web.Request) -> Form:
    """The posted form. May be asked for again. Raises `Problem`, also for what is no form."""
    body = await bytes_of(request, content_type=FORM_TYPE)
    try:
        fields = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
    except ValueError:  # UnicodeDecodeError too
        raise Problem(400, "BROKEN_BODY", f"The body is no form in UTF-8 with at most {MAX_FIELDS} fields.") from None
    if any("\0" in name or "\0" in value for name, value in fields):
        raise Problem(400, "BROKEN_BODY", "The form contains NUL characters.")
    return Form(fields)
