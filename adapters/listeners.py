"""Whom to call when something happens, for as long as a block lasts."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


class Listeners:
    """Functions that are called at each `notify`."""

    def __init__(self) -> None:
        self._listeners: set[Callable[[], None]] = set()

    @asynccontextmanager
    async def listening(self, listener: Callable[[], None]) -> AsyncIterator[None]:
        """Call it from now on until the block ends."""
        self._listeners.add(listener)
        try:
            yield
        finally:
            self._listeners.discard(listener)

    def notify(self) -> None:
        """Call all of them."""
        for listener in list(self._listeners):
            listener()
