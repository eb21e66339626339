"""Pages of actions: newest first, by time and id, so that none is left out where several have the same time."""

import base64
import struct
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Select, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from handler.history.base import ActionPage, BadCursor, WantedActions
from handler.history.sql.columns import action_of
from handler.history.sql.tables import action
from handler.history.sql.values import clean

WINDOW = 10_000
"""Actions that are looked at for a page, as no index knows who asked for what."""
_TIME = struct.Struct(">d")
_DIGEST_BYTES = 8


class Place(NamedTuple):
    """Where a page ends. The next one has what sorts below."""

    time: float
    id: str


async def page(connection: AsyncConnection, wanted: WantedActions, *, limit: int, after: str | None) -> ActionPage:
    """See `handler.history.base.Reader.actions`."""
    place = _place_of(wanted, after)
    checked = {name: text for name in ("actor", "verb", "request", "outcome") if (text := getattr(wanted, name))}
    window = _window(wanted, place).limit(WINDOW if checked else limit + 1).subquery()
    asked = select(window).where(*(window.c[name] == clean(text) for name, text in checked.items()))
    newest = asked.order_by(window.c.time.desc(), window.c.id.desc()).limit(limit + 1)
    found = [action_of(row) for row in await connection.execute(newest)]
    if len(found) > limit:
        last = found[limit - 1]
        return ActionPage(actions=found[:limit], next=_token(wanted, Place(last.time, last.id)))
    end = await _end(connection, _window(wanted, place)) if checked else None
    return ActionPage(actions=found, next=None if end is None else _token(wanted, end))


def _window(wanted: WantedActions, place: Place | None) -> Select[Any]:
    asked = select(action)
    if place is not None:
        asked = asked.where(tuple_(action.c.time, action.c.id) < tuple_(literal(place.time), literal(place.id)))
    if wanted.newer is not None:
        asked = asked.where(action.c.time >= wanted.newer)
    if wanted.older is not None:
        asked = asked.where(action.c.time < wanted.older)
    return asked.order_by(action.c.time.desc(), action.c.id.desc())


async def _end(connection: AsyncConnection, window: Select[Any]) -> Place | None:
    """The last one that was looked at; None if there is nothing below."""
    row = (await connection.execute(window.limit(1).offset(WINDOW - 1))).one_or_none()
    return None if row is None else Place(row.time, row.id)


def _token(wanted: WantedActions, place: Place) -> str:
    packed = _TIME.pack(place.time) + place.id.encode()
    return base64.urlsafe_b64encode(_digest(wanted, packed) + packed).decode().rstrip("=")


def _place_of(wanted: WantedActions, given: str | None) -> Place | None:
    """Raises `BadCursor`."""
    if given is None:
        return None
    try:
        read = base64.b64decode(given + "=" * (-len(given) % 4), altchars=b"-_", validate=True)
    except ValueError as error:
        raise BadCursor("not a page token") from error
    found, packed = read[:_DIGEST_BYTES], read[_DIGEST_BYTES:]
    if len(packed) <= _TIME.size or found != _digest(wanted, packed):
        raise BadCursor("not a page token of this question")
    (time,) = _TIME.unpack(packed[: _TIME.size])
    return Place(time, clean(packed[_TIME.size :].decode(errors="replace")))


def _digest(wanted: WantedActions, packed: bytes) -> bytes:
    # Not the times: "of the last day" is another moment for each page.
    asked = msgspec.json.encode([wanted.actor, wanted.verb, wanted.request, wanted.outcome])
    return blake2b(asked + packed, digest_size=_DIGEST_BYTES, person=b"jobrelay audit").digest()
