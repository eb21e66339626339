"""A record in memory, and its writer."""

from collections.abc import AsyncIterator

import pytest

from handler.history.base import Store, Writer
from tests.handler.history.stores import MEMORY, opened


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    async with opened(MEMORY) as store:
        yield store


@pytest.fixture
async def writer(store: Store) -> AsyncIterator[Writer]:
    async with store.writing() as writer:
        yield writer
