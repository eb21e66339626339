"""What became last of the publishes to each place of a broker, as far as they were not stored."""

import asyncio
from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

FORGET_SECONDS = 30.0
"""Whatever has to be stored is published again sooner. What is not was given up, and tells nothing any more."""

Place = TypeVar("Place", bound=Hashable)


class Untaken(Generic[Place]):
    """Why the last publish to a place was not stored, until another is stored there."""

    def __init__(self) -> None:
        self._last: dict[Place, tuple[str, float]] = {}

    def stored(self, place: Place) -> None:
        """A publish to it was."""
        if self._last:
            self._last.pop(place, None)

    def failed(self, place: Place, why: str) -> None:
        """A publish to it was not."""
        self._last[place] = (why, asyncio.get_running_loop().time())

    def known(self) -> Mapping[Place, str]:
        """Why, by place."""
        since = asyncio.get_running_loop().time() - FORGET_SECONDS
        self._last = {place: failed for place, failed in self._last.items() if failed[1] >= since}
        return {place: why for place, (why, _) in self._last.items()}
