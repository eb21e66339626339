"""`jobrelay watch`: shows the lifecycle events that are stored, then those that come."""

from adapters.base import Broker
from handler.commands.connection import broker_of
from handler.commands.errors import FAILED, OK
from handler.commands.showing.progress import Board
from handler.commands.showing.reading import Heard, key_of, lifecycle
from handler.commands.showing.show import View, shown
from handler.settings.settings import Settings


async def watch(
    settings: Settings,
    *,
    request_id: str | None,
    service: str | None,
    follow: bool,
    new_only: bool,
    form: str,
) -> int:
    """Show the events of a request, of a service, or all. Returns the exit code.

    With `follow`, a request's until it has ended, and the exit code is that of its outcome; all others until
    interrupted.
    """
    board = Board()
    key = key_of(request_id=request_id, service=service)
    async with broker_of(settings) as broker:
        with shown(form, board) as view:
            if request_id is not None and follow:
                return await _until_ended(broker, key, request_id, board, view, new_only=new_only)
            async with lifecycle(broker, key=key, follow=follow, new_only=new_only) as events:
                async for heard in events:
                    view(heard.event, board.take(heard))
    return OK


async def _until_ended(broker: Broker, key: str, request_id: str, board: Board, view: View, *, new_only: bool) -> int:
    """An id may be used again once its Job is gone: what counts is the end of all that is stored, not the first end."""
    told: set[tuple[str, str]] = set()
    async with lifecycle(broker, key=key, follow=True, new_only=True) as coming:
        if not new_only:
            async with lifecycle(broker, key=key, follow=False) as stored:
                async for heard in stored:
                    told.add(_name(heard))
                    view(heard.event, board.take(heard))
        if (code := _exit_code(board, request_id)) is not None:
            return code
        async for heard in coming:
            # What came meanwhile is among what is stored, too.
            if _name(heard) not in told:
                view(heard.event, board.take(heard))
            if (code := _exit_code(board, request_id)) is not None:
                return code
    return FAILED


def _exit_code(board: Board, request_id: str) -> int | None:
    """None until it has ended."""
    request = board.requests.get(request_id)
    return request.exit_code if request is not None and request.ended else None


def _name(heard: Heard) -> tuple[str, str]:
    return heard.event.get_source(), heard.event.get_id()
