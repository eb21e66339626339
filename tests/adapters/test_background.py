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
