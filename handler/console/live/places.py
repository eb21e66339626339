"""Places in the record, as streams name them in `id:`: `123.ab12cd`, a position and a mark of the event there.

The mark tells a record from another one that was made in its place: a database that was replaced, or one in memory
that was filled anew. A place without a mark, `123`, is taken at its word.
"""

import re
from hashlib import blake2b
from typing import NamedTuple

from handler.history.base import Reader

_PLACE = re.compile(r"(\d{1,18})(?:\.([0-9a-f]{6}))?")


class Place(NamedTuple):
    """Everything up to `position` is known. `mark`: empty if it is not known."""

    position: int
    mark: str = ""

    def __str__(self) -> str:
        return f"{self.position}.{self.mark}" if self.mark else str(self.position)


def place_of(text: str) -> Place | None:
    """None if it is none."""
    found = _PLACE.fullmatch(text)
    return None if found is None else Place(int(found[1]), found[2] or "")


def place_at(position: int, event: str) -> Place:
    """`event`: the id of the one that is recorded there."""
    return Place(position, blake2b(event.encode(errors="replace"), digest_size=3).hexdigest())


async def newest(reader: Reader) -> Place:
    """The end of the record. Raises `StoreUnavailable`."""
    return await marked(reader, await reader.last())


async def marked(reader: Reader, position: int) -> Place:
    """With the mark of what is recorded there now, if anything is. Raises `StoreUnavailable`."""
    there = await reader.changes(position - 1, limit=1)
    if there and there[0].position == position:
        return place_at(position, there[0].event)
    return Place(position)


async def is_known(reader: Reader, place: Place) -> bool:
    """Whether the record has this place: nothing before it is missing or another. Raises `StoreUnavailable`."""
    return not place.mark or await marked(reader, place.position) == place
