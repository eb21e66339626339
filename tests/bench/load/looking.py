"""When something is done: seen to a few milliseconds, and yet looked at so rarely that it costs nothing."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable

SELDOM, OFTEN = 0.1, 0.005
"""Seconds between two looks: usually, and just before the end."""


async def all_done(left: Callable[[], Awaitable[float]], *, seconds: float) -> None:
    """Return once nothing is left. Raises `TimeoutError`, which says how much is.

    The pace so far says when the end comes. Each look comes after half of that time: about five looks in the last
    100 ms, whatever number there were before.
    """
    begun, first, now = time.perf_counter(), None, math.nan
    try:
        async with asyncio.timeout(seconds):
            while now := await left():
                first = now if first is None else first
                done, took = first - now, time.perf_counter() - begun
                rest = took * now / done if done > 0 else 2 * SELDOM
                await asyncio.sleep(min(SELDOM, max(OFTEN, rest / 2)))
    except TimeoutError as error:
        raise TimeoutError(f"{now:g} are left after {seconds:g} s") from error
