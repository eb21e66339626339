"""`jobrelay watch`: shows the lifecycle events that are stored, then those that come."""

from handler.commands.connection import broker_of
from handler.commands.errors import OK
from handler.commands.showing.progress import Board
from handler.commands.showing.reading import key_of, lifecycle
from handler.commands.showing.show import shown
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
    """Show the events of a request, of a service, or all; with `follow`, until interrupted."""
    board = Board()
    key = key_of(request_id=request_id, service=service)
    async with (
        broker_of(settings) as broker,
        lifecycle(broker, key=key, follow=follow, new_only=new_only) as events,
    ):
        with shown(form, board) as view:
            async for heard in events:
                view(heard.event, board.take(heard))
    return OK
