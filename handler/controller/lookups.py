"""Looks things up in the background, for one Job after the other."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Generic, TypeVar

from k8s.base import Key

T = TypeVar("T")


class Lookups(Generic[T]):
    """The look-ups that were asked for: at most one for each key, with what it is about."""

    def __init__(self, *, pause: float = 0.0) -> None:
        """`pause`: seconds after each look-up."""
        self._asked: dict[Key, T] = {}
        self._news = asyncio.Event()
        self._pause = pause

    def ask(self, key: Key, about: T) -> None:
        """Ask for a look-up. If the key is waiting already, it keeps its place, and this is what it is about now."""
        self._asked[key] = about
        self._news.set()

    def forget(self, key: Key) -> None:
        """Do not begin a look-up for this key, until it is asked for again."""
        self._asked.pop(key, None)

    async def run(self, look_up: Callable[[Key, T], Awaitable[None]], notify: Callable[[Iterable[Key]], None]) -> None:
        """Call `look_up` for each key that waits, then `notify` with the key, until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            while self._asked:
                key = next(iter(self._asked))
                await look_up(key, self._asked.pop(key))
                notify([key])
                await asyncio.sleep(self._pause)
