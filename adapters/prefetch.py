"""Hands out what a subscription fetched: lanes in weighted turns, within one prefetch. It fetches nothing itself.

A prefetch is one more than what is worked on at a time, so that the next message is there when one is settled.
"""

import asyncio
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Generic, Protocol, TypeVar

from adapters.lanes import Turns

D = TypeVar("D")


class Lane(Protocol[D]):
    """Where the deliveries of one lane wait to be handed out."""

    @property
    def buffer(self) -> deque[D]: ...

    @property
    def weight(self) -> int: ...


class Prefetch(Generic[D]):
    """At most `size` deliveries that are handed out and not released."""

    def __init__(self, lanes: Mapping[str, Lane[D]], *, size: int) -> None:
        self._lanes = lanes
        self._size = size
        self._turns = Turns({key: lane.weight for key, lane in lanes.items()})
        self._handed_out = 0
        self._closed = False
        self._changed = asyncio.Event()

    async def next(self) -> D:
        """Wait for a delivery and for a place, and hand it out. Raises `StopAsyncIteration` once it is closed."""
        while not self._closed:
            if self._handed_out < self._size:
                waiting = [key for key, lane in self._lanes.items() if lane.buffer]
                if waiting:
                    key = waiting[0] if len(waiting) == 1 else self._turns.next(waiting)
                    self._handed_out += 1
                    return self._lanes[key].buffer.popleft()
            self._changed.clear()
            await self._changed.wait()
        raise StopAsyncIteration

    def added(self) -> None:
        """A delivery was put into a buffer."""
        self._changed.set()

    def release(self) -> None:
        """A delivery that was handed out is done: its place is free."""
        self._handed_out -= 1
        self._changed.set()

    def rest(self) -> Iterator[D]:
        """Hand out all deliveries that still wait, even beyond the size."""
        for lane in self._lanes.values():
            while lane.buffer:
                self._handed_out += 1
                yield lane.buffer.popleft()

    def close(self) -> None:
        """`next` hands out no more."""
        self._closed = True
        self._changed.set()
