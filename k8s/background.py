"""Work that runs beside a block, for as long as the block lasts. Restarts nothing."""

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
