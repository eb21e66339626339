"""What the page reads from, with a history of our own. Support for tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from cloudevents.core.v1.event import CloudEvent

from handler.console.backend import Backend
from handler.history.base import Entry, Writer
from handler.history.recording.facts import read
from handler.history.sql.store import SqlStore, open_store
from handler.settings.settings import Settings
from handler.telemetry.metrics import Metrics
from k8s.api.cluster import Cluster
from tests.handler.history.recording.records import record_of
from tests.handler.history.sql.entries import BROKER, batch


@asynccontextmanager
async def seeing(
    cluster: Cluster, *events: CloudEvent, url: str | None = None, **settings: Any
) -> AsyncIterator[tuple[Backend, Writer]]:
    """What the page reads from, once these events are recorded, by default in memory; and the writer of its history."""
    async with open_store(url, migrate=url is not None) as store, store.writing() as writer:
        assert isinstance(store, SqlStore)
        await writer.add(batch(1, *(_entry(event) for event in events)), broker=BROKER, after=None)
        chosen = Settings(role="console", **settings)
        backend = Backend(chosen, cluster=cluster, brokers={}, metrics=Metrics(role="console"))
        backend.opened(store, None)
        yield backend, writer


def _entry(event: CloudEvent) -> Entry:
    found = read(record_of(event))
    assert isinstance(found, Entry)
    return found
