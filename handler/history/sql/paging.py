"""Which index leads to a page, and the tokens from one page to the next.

A page never reads more than it shows, except for what no index knows: then it looks at `WINDOW` rows at most at a time.
"""

import base64
import struct
from collections.abc import Sequence
from enum import StrEnum
from functools import cache
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Double,
    Integer,
    Select,
    Text,
    bindparam,
    func,
    select,
    tuple_,
    union_all,
)

from events.phases import Phase
from handler.history.base import BadCursor, Wanted
from handler.history.sql.beginnings import LAST
from handler.history.sql.tables import request, tag
from handler.history.sql.values import clean, indexed

_PLACE = struct.Struct(">dq")
_DIGEST_BYTES = 8


class Place(NamedTuple):
    """Where a page ends. The next one has what sorts below."""

    updated: float
    pk: int


FIRST = Place(float("inf"), 2**63 - 1)


def token(wanted: Wanted, place: Place) -> str:
    """What to ask with for what follows `place`."""
    packed = _PLACE.pack(*place)
    return base64.urlsafe_b64encode(packed + _digest(wanted, packed)).decode().rstrip("=")


def place_of(wanted: Wanted, given: str | None) -> Place:
    """Raises `BadCursor`."""
    if given is None:
        return FIRST
    try:
        read = base64.b64decode(given + "=" * (-len(given) % 4), altchars=b"-_", validate=True)
    except ValueError as error:
        raise BadCursor("not a page token") from error
    packed, found = read[: _PLACE.size], read[_PLACE.size :]
    if len(read) != _PLACE.size + _DIGEST_BYTES or found != _digest(wanted, packed):
        raise BadCursor("not a page token of this question")
    return Place(*_PLACE.unpack(packed))


def _digest(wanted: Wanted, packed: bytes) -> bytes:
    return blake2b(msgspec.json.encode(wanted) + packed, digest_size=_DIGEST_BYTES, person=b"jobrelay page").digest()


WINDOW = 2000
"""Rows that are looked at for what no index knows."""
WINDOWS = 10
"""How often, before a page is handed out with less than was asked for."""
FEW = 1000
"""Requests of a service, or with ids of the same beginning, that are looked at whatever else is asked of them."""
SHOWN = tuple(column for column in request.c if column.name not in ("key", "tags"))
"""The columns that make a `Request`."""
BRIEF = tuple(column for column in SHOWN if column.name != "result")
"""Without what may be large in each row: a page of large results takes SQLite many times as long."""


class Way(StrEnum):
    """The index that a page is read from, newest first."""

    ALL = "all"
    PHASE = "phase"
    SERVICE = "service"
    TAG = "tag"
    ID = "id"
    FEW = "few"
    """Ids with the same beginning: so few that they are sorted."""


class Shape(NamedTuple):
    """Of a question: all that its statement depends on. `checked`: what is asked of each row, by name of its value."""

    way: Way
    phases: int
    checked: tuple[str, ...]


def narrow(wanted: Wanted) -> Sequence[Way]:
    """Ways that are better than the usual one where they have no more than `FEW` requests."""
    if wanted.id is not None:
        return ()
    service = wanted.service is not None and wanted.tag is not None
    return [*([Way.SERVICE] if service else []), *([Way.FEW] if wanted.text is not None else [])]


def shape_of(wanted: Wanted, *, way: Way | None = None) -> Shape:
    """By the usual way, or by one that is known to have few requests."""
    given = {
        "service": wanted.service is not None,
        "tag": wanted.tag is not None,
        "id": wanted.id is not None,
        "source": wanted.source is not None,
        "text": wanted.text is not None,
        "phase": bool(wanted.phases),
    }
    usual = next((way for way in (Way.ID, Way.TAG, Way.SERVICE, Way.PHASE) if given[way]), Way.ALL)
    way = way or usual
    known = {
        Way.FEW: {"text"},
        Way.ID: {"id"},
        Way.TAG: {"tag", "phase"},
        Way.SERVICE: {"service", "phase"},
        Way.PHASE: {"phase"},
        Way.ALL: set[str](),
    }[way]
    checked = tuple(name for name, asked in given.items() if asked and name not in known)
    return Shape(way, len(wanted.phases), checked)


def values_of(wanted: Wanted, shape: Shape, place: Place) -> dict[str, Any]:
    """What the statements of this shape ask with, without limits."""
    if wanted.older is not None:
        place = min(place, Place(wanted.older, -(2**63)))
    phases: Sequence[Phase] = wanted.phases or (tuple(Phase) if shape.way in (Way.SERVICE, Way.TAG) else ())
    values: dict[str, Any] = {f"phase_{number}": str(phase) for number, phase in enumerate(phases)}
    named = {"service": wanted.service, "tag": wanted.tag, "id": wanted.id, "text": wanted.text}
    values |= {name: indexed(text) for name, text in named.items() if text is not None}
    if wanted.source is not None:
        values["source"] = clean(wanted.source)
    if wanted.text is not None:
        values["text_end"] = values["text"] + LAST
    return values | {
        "updated": place.updated,
        "pk": place.pk,
        "newer": float("-inf") if wanted.newer is None else wanted.newer,
    }


@cache
def rows(shape: Shape, *, results: bool) -> Select[Any]:
    """The rows of a page; `limit` of them, of the first `window` that the index has."""
    keys = _keys(shape).subquery("keys")
    found = select(*(SHOWN if results else BRIEF)).join(keys, keys.c.pk == request.c.pk).where(*_checks(shape))
    return found.order_by(keys.c.updated.desc(), keys.c.pk.desc()).limit(bindparam("limit", type_=Integer))


@cache
def window_end(shape: Shape) -> Select[Any]:
    """The last of the first `window` rows that the index has, if it has as many; `last` is one less."""
    keys = _keys(shape).subquery("keys")
    ordered = select(keys.c.updated, keys.c.pk).order_by(keys.c.updated.desc(), keys.c.pk.desc())
    return ordered.limit(1).offset(bindparam("last", type_=Integer))


@cache
def few(way: Way) -> Select[Any]:
    """How many requests a way of `narrow` has, counted to one more than `FEW`."""
    asked = _begins() if way is Way.FEW else [request.c.service == bindparam("service", type_=Text)]
    found = select(request.c.pk).where(*asked).limit(FEW + 1).subquery()
    return select(func.count()).select_from(found)


def _keys(shape: Shape) -> Select[Any]:
    """`updated` and `pk`, the newest `window` of them before the place, from the index alone."""
    way, given, _ = shape
    if way is Way.FEW:
        found = select(request.c.pk).where(*_begins()).limit(FEW)
        return _newest(request.c.updated, request.c.pk, [request.c.pk.in_(found)])
    if way is Way.ID:
        return _newest(request.c.updated, request.c.pk, [request.c.id == bindparam("id")])
    if way is Way.ALL:
        return _newest(request.c.updated, request.c.pk, [])
    phases = given or len(Phase)
    parts = [_of_phase(way, bindparam(f"phase_{number}", type_=Text)) for number in range(phases)]
    if phases == 1:
        return parts[0]
    # Each is read no further than all together are: their index has them one after the other.
    merged = union_all(*(select(part.subquery()) for part in parts)).subquery()
    return _limited(select(merged.c.updated, merged.c.pk), merged.c.updated, merged.c.pk)


def _of_phase(way: Way, phase: ColumnElement[str]) -> Select[Any]:
    if way is Way.TAG:
        asked = [tag.c.tag == bindparam("tag"), tag.c.phase == phase]
        return _newest(tag.c.updated, tag.c.request.label("pk"), asked)
    service = [request.c.service == bindparam("service")] if way is Way.SERVICE else []
    return _newest(request.c.updated, request.c.pk, [*service, request.c.phase == phase])


def _newest(updated: ColumnElement[float], pk: ColumnElement[int], asked: Sequence[ColumnElement[bool]]) -> Select[Any]:
    place = tuple_(bindparam("updated", type_=Double), bindparam("pk", type_=BigInteger))
    later = updated >= bindparam("newer", type_=Double)
    return _limited(select(updated, pk).where(*asked, tuple_(updated, pk) < place, later), updated, pk)


def _limited(found: Select[*tuple[Any, ...]], updated: ColumnElement[float], pk: ColumnElement[int]) -> Select[Any]:
    return found.order_by(updated.desc(), pk.desc()).limit(bindparam("window", type_=Integer))


def _begins() -> Sequence[ColumnElement[bool]]:
    return request.c.id >= bindparam("text", type_=Text), request.c.id < bindparam("text_end", type_=Text)


def _checks(shape: Shape) -> Sequence[ColumnElement[bool]]:
    """Of each row, what its index does not know. `IS true`: no other index is to be taken for it."""
    found: list[ColumnElement[bool]] = []
    for name in shape.checked:
        if name == "text":
            found += _begins()
        elif name == "phase":
            found.append(request.c.phase.in_([bindparam(f"phase_{number}") for number in range(shape.phases)]))
        elif name == "tag":
            asked = tag.c.tag == bindparam("tag"), tag.c.phase == request.c.phase, tag.c.updated == request.c.updated
            found.append(select(tag.c.request).where(*asked, tag.c.request == request.c.pk).exists())
        else:
            found.append(request.c[name] == bindparam(name))
    return [check.is_(True) for check in found]
