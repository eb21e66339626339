"""Work beside a block, where a TaskGroup would wrap the errors of the block. It restarts nothing."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

AGAIN_SECONDS = 0.5


@asynccontextmanager
async def running(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run `work` beside the block and cancel it afterwards. If it fails, the block is cancelled and its error raised.

    Unlike a TaskGroup, it does not wrap what the block raises.
    """
    block = asyncio.current_task()
    task = asyncio.get_running_loop().create_task(work)

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None and block is not None:
            block.cancel()

    task.add_done_callback(ended)
    try:
        yield
    finally:
        if task.done() and not task.cancelled() and task.exception() is not None and block is not None:
            block.uncancel()
        while not task.done():
            # Not once: client libraries lose cancellations, and the work would go on for ever.
            task.cancel()
            await asyncio.wait({task}, timeout=AGAIN_SECONDS)
        with suppress(asyncio.CancelledError):
            await task
