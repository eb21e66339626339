"""Long work in short pieces: the renewal of the Lease, and everything else, gets its turn in between."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from typing import TypeVar

T = TypeVar("T")

HELD = 0.01
"""Seconds for which the loop is held at a time."""


async def in_slices(objects: Iterable[T], *, held: float = HELD) -> AsyncIterator[T]:
    """Each of the objects. Lets others run whenever `held` seconds have passed."""
    since = time.perf_counter()
    for one in objects:
        yield one
        if time.perf_counter() - since >= held:
            await asyncio.sleep(0)
            since = time.perf_counter()
