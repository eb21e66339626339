"""What the page reads from, with a history of our own. Support for tests."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from events.phases import Phase
from handler.console.backend import Backend
from handler.history.base import Entry, Key, Store, Writer
from handler.history.sql.store import open_store
from handler.settings.settings import Settings
from handler.telemetry.metrics import Metrics
from k8s.api.cluster import Cluster
from tests.handler.history.sql.entries import BROKER, batch
from tests.handler.history.sql.events import body

NOW = 1_800_000_000.0


@asynccontextmanager
async def backend_of(cluster: Cluster, *entries: Entry, **settings: Any) -> AsyncIterator["Backend"]:
    """A backend whose history, in memory, holds these."""
    async with open_store(None) as store, store.writing() as writer:
        await recorded(writer, entries)
        made = Backend(
            Settings(role="console", **settings), cluster=cluster, brokers={}, metrics=Metrics(role="console")
        )
        made.opened(store, None)
        yield made
