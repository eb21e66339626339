"""Work that runs beside a block, or in a task of its own, for as long as its caller. Restarts nothing."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run `work` until the block ends, then cancel it.

    If `work` raises, the block is cancelled and that exception is raised. Exceptions of the block pass unchanged.
    A bare TaskGroup would wrap either in a group.
    """
    raised: Exception | None = None
    try:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(work)
            try:
                yield
            except Exception as error:  # noqa: BLE001 - raised again below, outside the group
                raised = error
            finally:
                task.cancel()
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from raised
    if raised is not None:
        raise raised


async def as_task(work: Coroutine[Any, Any, None]) -> None:
    """Run `work` as a task of its own, which is cancelled with the caller.

    A task group whose task fails in the same moment raises that error and forgets that it was cancelled.
    """
    task = asyncio.create_task(work)
    try:
        await asyncio.wait({task})
    finally:
        task.cancel()
        # Unlike `wait`, this retrieves its exception: whoever was cancelled does not await it below.
        await asyncio.gather(task, return_exceptions=True)
    await task
