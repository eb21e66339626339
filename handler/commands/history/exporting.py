"""`jobrelay history export`: all stored events as lines of JSON, to be read by other programs or kept."""

import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from handler.commands.errors import OK
from handler.commands.history.opening import opened
from handler.commands.showing.output import say
from handler.history.base import Reader, Told
from handler.settings.settings import Settings
from handler.visible import escaped

_PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which events: of requests of this service, and of this time. None is any."""

    service: str | None = None
    newer: float | None = None
    older: float | None = None

    def fits(self, told: Told) -> bool:
        """Whether this event is chosen."""
        if (self.newer is not None and told.time < self.newer) or (self.older is not None and told.time >= self.older):
            return False
        return self.service is None or _service(told.body) == self.service


def _service(body: bytes) -> object:
    found: Any = orjson.loads(body)
    for name in ("data", "detail", "service"):
        found = found.get(name) if isinstance(found, dict) else None
    return found


async def history_export(
    settings: Settings, *, service: str | None, newer: float | None, older: float | None, after: int
) -> int:
    """Print the events that were recorded after this position. However it ends, says where to go on."""
    choice = Choice(service=service, newer=newer, older=older)
    position = after
    async with opened(settings) as store:
        try:
            async for page in _pages(store, after):
                sys.stdout.write("".join(_line(told) for told in page if choice.fits(told)))
                sys.stdout.flush()
                position = page[-1].position
        finally:
            say(f"to go on: --after {position}")
    return OK


async def _pages(store: Reader, after: int) -> AsyncIterator[Sequence[Told]]:
    """What is recorded meanwhile comes, too; it ends where nothing more is."""
    while page := await store.since(after, limit=_PAGE):
        yield page
        after = page[-1].position


def _line(told: Told) -> str:
    # Within JSON, ends of lines stand between values only.
    return escaped(told.body.decode(errors="replace").replace("\n", " ").replace("\r", " ")) + "\n"
