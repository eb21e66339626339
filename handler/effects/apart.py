"""Work with large events beside the event loop, which meanwhile does everything else."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

LARGE = 65_536
"""Bytes of an event above which it is worth a thread: reading and judging it may take half a second."""


class Apart:
    """A thread for large events. One at a time: what they take of memory while they are read does not add up."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def do(self, work: Callable[[], T]) -> T:
        """What `work` returns. It must not touch what belongs to the event loop."""
        async with self._turn:
            return await asyncio.to_thread(work)
