"""`jobrelay watch`: shows the lifecycle events that are stored, then those that come."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from adapters.base import Broker
from handler.commands.connection import broker_of
from handler.commands.errors import FAILED, OK
from handler.commands.showing.progress import Board, source_of
from handler.commands.showing.reading import Heard, key_of, lifecycle
from handler.commands.showing.show import View, shown
from handler.settings.settings import Settings


async def watch(
    settings: Settings,
    *,
    request_id: str | None,
    source: str | None,
    service: str | None,
    follow: bool,
    new_only: bool,
    form: str,
) -> int:
    """Show the events of a request, of a source, of a service, or all. Returns the exit code.

    With `follow`, a request's until it has ended, and the exit code is that of its outcome; all others until
    interrupted. Where several sources use the id and none is named, all their requests are meant.
    """
    board = Board()
    wanted = _Wanted(broker_key=key_of(request_id=request_id, service=service), source=source)
    async with broker_of(settings) as broker:
        with shown(form, board) as view:
            if request_id is not None and follow:
                return await _until_ended(broker, wanted, board, view, new_only=new_only)
            async with wanted.events(broker, follow=follow, new_only=new_only) as events:
                async for heard in events:
                    view(heard, board.take(heard))
    return OK


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """Which events to show. `broker_key`: the pattern of their topics. `source`: of the requests; None is any."""

    broker_key: str
    source: str | None = None

    @asynccontextmanager
    async def events(
        self, broker: Broker, *, follow: bool, new_only: bool = False
    ) -> AsyncIterator[AsyncIterator[Heard]]:
        async with lifecycle(broker, key=self.broker_key, follow=follow, new_only=new_only) as events:
            yield (heard async for heard in events if self._includes(heard))

    def _includes(self, heard: Heard) -> bool:
        return self.source is None or source_of(heard.event) in (None, self.source)


async def _until_ended(broker: Broker, wanted: _Wanted, board: Board, view: View, *, new_only: bool) -> int:
    """An id may be used again once its Job is gone: what counts is the end of all that is stored, not the first end."""
    told: set[tuple[str, str]] = set()
    async with wanted.events(broker, follow=True, new_only=True) as coming:
        if not new_only:
            async with wanted.events(broker, follow=False) as stored:
                async for heard in stored:
                    told.add(_name(heard))
                    view(heard, board.take(heard))
        if (code := _exit_code(board)) is not None:
            return code
        async for heard in coming:
            # What came meanwhile is among what is stored, too.
            if _name(heard) not in told:
                view(heard, board.take(heard))
            if (code := _exit_code(board)) is not None:
                return code
    return FAILED


def _exit_code(board: Board) -> int | None:
    """None until all that was heard of has ended. That of the request; of several, whether all succeeded."""
    requests = list(board.requests.values())
    if not requests or not all(request.ended for request in requests):
        return None
    codes = {request.exit_code for request in requests}
    return codes.pop() if len(requests) == 1 else FAILED if codes - {OK} else OK


def _name(heard: Heard) -> tuple[str, str]:
    return heard.event.get_source(), heard.event.get_id()
