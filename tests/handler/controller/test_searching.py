"""A search for what is astray: no namespace, and no object, keeps it from the others."""

import asyncio

import pytest

from handler.controller.astray.treatment import searching, treat_found
from k8s.base import Unavailable
from tests.patience import PATIENCE


async def test_a_namespace_that_cannot_be_searched_keeps_nobody_from_the_others() -> None:
    searched, again = asyncio.Event(), asyncio.Event()
    refused = 0

    async def search(namespace: str) -> None:
        nonlocal refused
        if namespace == "open":
            searched.set()
            return
        refused += 1
        if refused == 2:
            again.set()
        raise Unavailable("may not be listed")

    task = asyncio.create_task(searching(search, ["closed", "open"]))
    async with asyncio.timeout(PATIENCE):
        await searched.wait()
        await again.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_object_that_cannot_be_written_is_told_of_and_does_not_end_the_search() -> None:
    async def treat() -> None:
        raise Unavailable("a webhook fails")

    async def nothing() -> None:
        pass

    assert isinstance(await treat_found(treat), Unavailable)
    assert await treat_found(nothing) is None
