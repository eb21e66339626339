"""Fixtures for tests of the development cluster: its store alone, or a client of a served cluster."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from k8s.devcluster.store.store import Store
from tests.k8s.devcluster.served import Client, served


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path)
    yield store
    store.close()


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async with served(tmp_path) as client:
        yield client
