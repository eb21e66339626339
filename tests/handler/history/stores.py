"""Stores of each kind for tests: empty, and gone afterwards."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from tempfile import TemporaryDirectory

from handler.history.base import Store
from handler.history.sql.store import KEEP, open_store
from tests.postgres import database

MEMORY, SQLITE, POSTGRESQL = KINDS = ("memory", "sqlite", "postgresql")


@asynccontextmanager
async def opened(kind: str, *, keep: int = KEEP) -> AsyncIterator[Store]:
    """A store of this kind with a database of its own."""
    async with url_of(kind) as url, open_store(url, keep=keep, migrate=True) as store:
        yield store


@asynccontextmanager
async def url_of(kind: str) -> AsyncIterator[str | None]:
    """The URL of a database of its own, without tables; None for memory."""
    if kind == MEMORY:
        yield None
    elif kind == SQLITE:
        with TemporaryDirectory() as directory:
            yield f"sqlite://{directory}/history.db"
    else:
        async with database() as url:
            yield url
