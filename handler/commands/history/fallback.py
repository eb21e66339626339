"""What `jobrelay get` and `jobrelay logs` show of a request whose Job has gone."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from handler.commands.errors import FAILED, OK, Failed, Misuse
from handler.commands.history.listing import Shown
from handler.commands.history.logs import Wish, print_logs, run_of
from handler.commands.history.opening import opened
from handler.commands.showing.output import say, write
from handler.history.base import HistoryError, Request, Store
from handler.history.logs.objects import open_bodies
from handler.operations.records import request_document
from handler.settings.settings import Settings


async def get_kept(settings: Settings, *, request_id: str, source: str | None, form: str, gone: str) -> int:
    """Show all that the history has of requests of this id. `gone`: what to say of the Job.

    Raises `Failed` if there is no history, or nothing of them in it.
    """
    async with _history(settings, gone) as store:
        found = await _found(store, request_id, source, gone)
        if form == "table":
            Shown(form).add(found)
        else:
            for request in found:
                write(form, request_document(request, await store.tags(request.pk)))
    return OK


async def print_kept(settings: Settings, *, request_id: str, source: str | None, wish: Wish, gone: str) -> int:
    """Print the logs that the history has of the last request of this id; otherwise like `get_kept`.

    Returns 1 if nothing of them is kept.
    """
    async with _history(settings, gone) as store, open_bodies(settings.log_store) as bodies:
        found = await _found(store, request_id, source, gone)
        if len(found) > 1:
            say(f"this is the last of {len(found)} with this id: `jobrelay history show {request_id}` names the others")
        return OK if await print_logs(store, bodies, await run_of(store, found[0]), wish) else FAILED


@asynccontextmanager
async def _history(settings: Settings, gone: str) -> AsyncIterator[Store]:
    """Raises `Failed`, which begins with `gone`, whatever goes wrong."""
    if settings.history is None:
        raise Failed(
            f"{gone}. Once a Job has gone, only a history can tell: `jobrelay run --role console` keeps it in the"
            " database that JOBRELAY_HISTORY names, to it and to this command"
        )
    try:
        async with opened(settings) as store:
            yield store
    except (HistoryError, Misuse) as error:
        raise Failed(f"{gone}, and the history cannot be read: {error}") from error


async def _found(store: Store, request_id: str, source: str | None, gone: str) -> Sequence[Request]:
    found = await store.find(request_id, source)
    if not found:
        raise Failed(f"{gone}, and nothing of it is in the history")
    say(f"from the history: {gone}")
    return found
