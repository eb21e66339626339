"""Opens the record that the settings name, to read it, and finds a request in it. Changes no schema."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from handler.commands.errors import Failed, Misuse
from handler.commands.showing.output import say
from handler.history.base import Reader, Request, Store
from handler.history.extra import missing
from handler.operations.records import moment
from handler.operations.wording import clean
from handler.settings.settings import Settings

SETTING = (
    "JOBRELAY_HISTORY (--history): sqlite:///absolute/path or postgresql://user:password@host/database, as for"
    " `jobrelay run --role console`"
)
IN_MEMORY = f"there is no history that a command could read: set {SETTING}"
_NAMED = 10
"""Others with the same id that are named."""


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Store]:
    """The record. Raises `Misuse` if no database is named, or what reads it is not installed."""
    if settings.history is None:
        raise Misuse(IN_MEMORY)
    if (lacking := missing()) is not None:
        raise Misuse(lacking)
    # Only here: it needs the extra, which most commands do without.
    from handler.history.sql.store import open_store

    async with open_store(settings.history) as store:
        yield store


async def chosen(reader: Reader, request_id: str, *, source: str | None, number: int | None) -> Request:
    """The request with this number, or the last one of this id; says which others there are. Raises `Failed`."""
    if number is not None:
        one = await reader.request(number)
        if one is None or one.key.id != request_id or source not in (None, one.key.source):
            raise Failed(f"the history has no request {request_id}{_of(source)} with number {number}")
        return one
    found = await reader.find(request_id, source)
    if not found:
        raise Failed(f"the history has no request {request_id}{_of(source)}")
    if len(found) > 1:
        say(_others(found[1:]))
    return found[0]


def _of(source: str | None) -> str:
    return "" if source is None else f" from {source}"


def _others(requests: Sequence[Request]) -> str:
    named = [
        f"--number {request.pk}: from {request.key.source}, {request.phase} {moment(request.updated)}"
        for request in requests[:_NAMED]
    ]
    more = [f"and {len(requests) - _NAMED} more"] if len(requests) > _NAMED else []
    verb = "requests have" if len(requests) > 1 else "request has"
    return "\n".join([f"{len(requests)} earlier {verb} this id:", *(f"  {clean(text)}" for text in (*named, *more))])
