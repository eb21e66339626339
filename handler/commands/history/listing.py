"""`jobrelay history list`: requests, those that changed last first, a page at a time."""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from rich.text import Text

from events.cloudevent.timestamp import format_time
from handler.commands.errors import OK
from handler.commands.history.opening import opened
from handler.commands.showing.output import say, write
from handler.commands.showing.phases import phase_text
from handler.commands.showing.tables import Pages
from handler.history.base import Key, Request, Wanted
from handler.operations.records import moment, ran, request_document, why
from handler.operations.wording import duration
from handler.settings.settings import Settings

COLUMNS = ("ID", "SERVICE", "PHASE", "UPDATED", "DURATION", "EXIT", "DETAIL")
_LIMIT, _PAGE = 50, 200


async def history_list(
    settings: Settings, wanted: Wanted, *, limit: int | None, after: str | None, everything: bool, form: str
) -> int:
    """Print a page, or with `everything` all of them, one after the other. Says how to go on."""
    shown = Shown(form)
    async with opened(settings) as store:
        while True:
            page = await store.page(wanted, limit=_PAGE if everything else limit or _LIMIT, after=after)
            shown.add(page.requests)
            after = page.next
            if after is None or not everything:
                break
    if after is not None:
        say(f"there are more: {_times(wanted)}--after {after}, or --all")
    elif not shown.count:
        say(f"no {'requests' if wanted == Wanted() else 'such requests'} in the history")
    return OK


def _times(wanted: Wanted) -> str:
    """The options as points in time: `7d` is another one when the next page is asked for."""
    times = (("--newer", wanted.newer), ("--older", wanted.older))
    return "".join(
        f"{name} {format_time(datetime.fromtimestamp(seconds, UTC))} " for name, seconds in times if seconds is not None
    )


class Shown:
    """Prints requests as they come: pages of a table, or a document for each."""

    def __init__(self, form: str) -> None:
        self.count = 0
        self._form = form
        self._table = Pages(COLUMNS, wide="DETAIL")

    def add(self, requests: Sequence[Request]) -> None:
        """Print these. The first table has its headings even if it is empty."""
        if self._form != "table":
            for request in requests:
                write(self._form, request_document(request))
        elif requests or not self.count:
            now, names = time.time(), _names(requests)
            self._table.add(_row(request, names, now) for request in requests)
        self.count += len(requests)


def _names(requests: Sequence[Request]) -> Mapping[Key, str]:
    """What people know them by: the id and, where several sources use it here, the source."""
    sources: defaultdict[str, set[str]] = defaultdict(set)
    for request in requests:
        sources[request.key.id].add(request.key.source)
    keys = [request.key for request in requests]
    return {key: f"{key.id} ({key.source})" if len(sources[key.id]) > 1 else key.id for key in keys}


def _row(request: Request, names: Mapping[Key, str], now: float) -> list[str | Text]:
    return [
        names[request.key],
        request.service or "",
        phase_text(request.phase),
        _second(request.updated),
        duration(ran(request, now=now)),
        "" if request.exit_code is None else str(request.exit_code),
        why(request),
    ]


def _second(seconds: float) -> str:
    return moment(float(int(seconds))) or ""
