"""Follows the record while anybody listens, and tells every listener what is new for it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

from aiohttp import web

from handler.console.backend import Backend
from handler.console.live.groups import BUFFER, Group, Listener, Row
from handler.console.live.messages import resync
from handler.console.live.places import Place, is_known, newest, place_at
from handler.console.live.streams import Streams
from handler.history.base import Change, Reader, Request, StoreUnavailable, Wanted
from k8s.background import beside

logger = logging.getLogger(__name__)

TICK_SECONDS = 0.25
"""Between two looks at the record."""
AWAY_SECONDS = 2.0
"""The same, while the database is away."""
FAR = 10_000
"""Events; who is further behind is not told them any more."""
_READ = 5000
_ASKED = 1000
"""Events, and requests, that are read at once."""


class Hub:
    """One process's. `write`: a request as JSON, as lists have it."""

    def __init__(self, backend: Backend, *, write: Callable[[Request], bytes]) -> None:
        self.streams = Streams(backend.settings.ui_streams)
        self._backend = backend
        self._write = write
        self._place = Place(0)
        self._groups: dict[tuple[Wanted, int | None], Group] = {}
        self._watches: dict[int, set[asyncio.Event]] = {}
        self._away = False
        self._listened = asyncio.Event()
        self._turn = asyncio.Lock()
        """What is told at the start of a stream must not mix with what comes later."""

    async def run(self) -> None:
        """Until cancelled."""
        async with beside(self.streams.sweep()), beside(self._close_first()):
            while True:
                await self._listened.wait()
                await self._look_once()
                await asyncio.sleep(AWAY_SECONDS if self._away else TICK_SECONDS)

    async def _look_once(self) -> None:
        try:
            async with self._turn:
                await self._look(self._backend.reader)
        except StoreUnavailable as error:
            if not self._away:
                logger.warning("streams wait for the history: %s", error)
            self._away = True
        except Exception:
            # What cannot be told to one list must not end the others, nor the page.
            logger.exception("what changed could not be told: lists are loaded anew")
            for group in self._groups.values():
                group.start_over(self._place)
        else:
            self._away = False

    @asynccontextmanager
    async def listening(self, wanted: Wanted, most: int | None, after: Place | None) -> AsyncIterator[Listener]:
        """Listen to a list, until the block ends. `after`: what is known already; None: all until now.

        Raises `StoreUnavailable`.
        """
        key = wanted, most
        async with self._turn:
            reader = self._backend.reader
            await self._catch_up(reader)
            group = self._groups.get(key) or Group(wanted, most, self._place)
            listener = Listener(group)
            if after is not None:
                listener.offer(*await self._missed(reader, group, after))
            # Only now: who is cancelled above has left nothing behind.
            self._groups[key] = group
            group.listeners.add(listener)
            self._listened.set()
        try:
            yield listener
        finally:
            group.listeners.discard(listener)
            if not group.listeners and self._groups.get(key) is group:
                del self._groups[key]
            self._rest()

    @contextmanager
    def watching(self, pk: int) -> Iterator[asyncio.Event]:
        """An event that is set now, and each time that this request changes until the block ends."""
        changed = asyncio.Event()
        changed.set()
        self._watches.setdefault(pk, set()).add(changed)
        self._listened.set()
        try:
            yield changed
        finally:
            self._watches[pk].discard(changed)
            if not self._watches[pk]:
                del self._watches[pk]
            self._rest()

    def _rest(self) -> None:
        if not self._groups and not self._watches:
            self._listened.clear()

    async def _close_first(self) -> None:
        await self._backend.stopping.wait()
        await self.streams.close()

    async def _catch_up(self, reader: Reader) -> None:
        """Have the place be the newest one, without a way there if nobody has listened."""
        if self._groups or self._watches:
            await self._look(reader)
        else:
            self._place = await newest(reader)

    async def _look(self, reader: Reader) -> None:
        """Tell everybody what is new, all of it."""
        while changes := await reader.changes(self._place.position, limit=_READ):
            rows = await self._rows(reader, changes) if self._groups else []
            self._place = place_at(changes[-1].position, changes[-1].event)
            for change in changes:
                for changed in self._watches.get(change.request, ()):
                    changed.set()
            for group in self._groups.values():
                group.tell(rows, self._place)
            if len(changes) < _READ:
                return

    async def _rows(self, reader: Reader, changes: Sequence[Change]) -> list[Row]:
        """What these have changed, as it is now, in the order of the last change."""
        numbers = list(dict.fromkeys(change.request for change in reversed(changes)))[::-1]
        found: dict[int, Row] = {}
        for at in range(0, len(numbers), _ASKED):
            for tagged in await reader.requests(numbers[at : at + _ASKED]):
                found[tagged.request.pk] = Row(tagged, self._write)
        return [found[number] for number in numbers if number in found]

    async def _missed(self, reader: Reader, group: Group, after: Place) -> tuple[bytes, int]:
        """What has happened since `after`, as messages; or that it is too much, or not known."""
        place = self._place
        behind = place.position - after.position
        if not 0 <= behind <= FAR or not await is_known(reader, after):
            return resync(place), 0
        changes = await reader.changes(after.position, limit=FAR)
        rows = await self._rows(reader, [one for one in changes if one.position <= place.position])
        return (resync(place), 0) if len(rows) > BUFFER else group.messages(rows, place)


HUB = web.AppKey("hub", Hub)


async def running(app: web.Application) -> AsyncIterator[None]:
    """The hub of this application follows the record as long as that is served (`cleanup_ctx`)."""
    async with beside(app[HUB].run()):
        yield
        await app[HUB].streams.close()
