"""Work that is finished once it was begun, whoever is cancelled meanwhile."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")

SECONDS = 5.0
"""How long work is waited for after its caller was cancelled: a database that hangs must not hold up the end."""


async def finished(work: Coroutine[Any, Any, T]) -> T:
    """Its result. When the caller is cancelled, that waits until the work is done, or is cancelled after a while.

    Half a query costs its connection: a writer would lose the lock with it.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        deadline = asyncio.get_running_loop().time() + SECONDS
        while not task.done():
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                task.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.wait({task}, timeout=max(left, SECONDS / 5))
        if not task.cancelled():
            task.exception()
        raise
