"""`jobrelay history replay`: has events recorded again that the broker still has."""

from dataclasses import dataclass
from datetime import datetime

import click

from adapters.base import Broker, Cursor, Kind, Record
from adapters.registry import adapter_of
from handler.commands.connection import broker_of
from handler.commands.errors import OK, Failed
from handler.commands.history.opening import opened
from handler.commands.showing.output import say
from handler.history.base import Store
from handler.settings.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class _Move:
    """The position of a broker's log to set. `before`: where it is; None if nothing is recorded."""

    broker: str
    before: Cursor | None
    to: Cursor | None

    @property
    def back(self) -> bool:
        """Whether it leads back within the same log: anything else would leave records out for good."""
        before, to = self.before, self.to
        if before is None or to is None:
            return before is not None
        return before.stream == to.stream and before.sequence > to.sequence


async def history_replay(settings: Settings, *, since: datetime | None, confirmed: bool) -> int:
    """Set the position of each broker's log back to the time, or to its first record for None.

    Raises `Failed` if the user says no, or a broker does not answer.
    """
    async with opened(settings) as store:
        moves = [await _planned(store, settings, url, since) for url in settings.sources]
        for move in moves:
            say(_described(move))
        back = [move for move in moves if move.back]
        if back and not confirmed and not click.confirm("Go on? Events that are recorded change nothing", err=True):
            raise Failed("nothing was changed")
        for move in back:
            await store.settle_position(move.broker, move.to)
            click.echo(f"{move.broker}: set back")
    if back:
        say("`jobrelay run --role console` notices it within seconds, or when it starts")
    return OK


async def _planned(store: Store, settings: Settings, url: str, since: datetime | None) -> _Move:
    name = adapter_of(url).name
    before = await store.position(name)
    if since is None or before is None:
        return _Move(broker=name, before=before, to=None)
    async with broker_of(settings, url) as broker:
        return _Move(broker=name, before=before, to=await last_before(broker, since))


async def last_before(broker: Broker, since: datetime) -> Cursor | None:
    """The place of the last record that was stored before this time; None if there is none."""
    last: Record | None = None
    async with broker.history(Kind.LIFECYCLE) as records:
        async for record in records:
            if record.time >= since:
                break
            last = record
    return None if last is None else last.cursor


def _described(move: _Move) -> str:
    if move.before is None:
        return f"{move.broker}: nothing is recorded yet: that begins with the first record as it is"
    recorded = f"{move.broker}: recorded up to record {move.before.sequence}"
    if not move.back:
        return f"{recorded}: what comes after that time is not recorded yet"
    return f"{recorded}: again from {'the first' if move.to is None else f'record {move.to.sequence + 1}'} on"
