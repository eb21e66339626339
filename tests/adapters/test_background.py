"""Claims about what runs in the background of a block."""

import asyncio

import pytest

from adapters.background import running
from tests.patience import PATIENCE


async def test_block_ends_with_the_error_of_its_background_task() -> None:
    async def fail() -> None:
        raise KeyError("broken")

    with pytest.raises(KeyError, match="broken"):
        async with asyncio.timeout(PATIENCE), running(fail()):
            await asyncio.Event().wait()
    # The cancellation was for that block only.
    await asyncio.sleep(0)


async def test_work_that_loses_its_cancellation_ends_with_the_block() -> None:
    lost = asyncio.Event()

    async def losing() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            lost.set()
        await asyncio.Event().wait()

    async with asyncio.timeout(PATIENCE), running(losing()):
        await asyncio.sleep(0)
    assert lost.is_set()
