"""Claims about recording the log of lifecycle events, on every broker."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from adapters.base import Broker, Cursor, Kind, Topic
from handler.history.base import Store
from handler.history.recording.recorder import Recorder
from handler.telemetry.metrics import Metrics
from k8s.background import beside
from tests.adapters.harness import Harness
from tests.handler.history.recording.contents import contents, event_ids
from tests.handler.history.recording.records import a_life, key_of
from tests.handler.history.stores import MEMORY, opened
from tests.patience import PATIENCE

ANEW = "was made anew: recording it from its first record"


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    async with opened(MEMORY) as found:
        yield found


@asynccontextmanager
async def recording(broker: Broker, store: Store, metrics: Metrics) -> AsyncIterator[None]:
    async with store.writing() as writer, beside(Recorder(broker, reader=store, metrics=metrics).run(writer)):
        yield


async def tell(harness: Harness, *names: str) -> list[str]:
    """The lives of these requests; returns the ids of their events."""
    events: list[Any] = [event for name in names for event in a_life(name)]
    for event in events:
        await harness.broker.publish(Topic(Kind.LIFECYCLE, key_of(event)), event)
    return [event.get_id() for event in events]


async def recorded(store: Store, ids: list[str]) -> None:
    """Wait until these are recorded, in their order, and nothing else."""
    async with asyncio.timeout(PATIENCE):
        while len(found := await event_ids(store)) < len(ids):
            await asyncio.sleep(0.01)
    assert found == ids


async def test_each_event_is_recorded_once_from_member_to_member(harness: Harness, store: Store) -> None:
    metrics = Metrics()
    ids = await tell(harness, "r-1")
    for name in ("r-2", "r-3"):
        async with harness.member() as broker, recording(broker, store, metrics):
            await recorded(store, ids)
            ids += await tell(harness, name)
            await recorded(store, ids)
        ids += await tell(harness, f"{name}-later")
    await store.settle_position(harness.broker.name, None)
    async with harness.member() as broker, recording(broker, store, metrics):
        await recorded(store, ids)
        ids += await tell(harness, "r-4")
        await recorded(store, ids)
    name = harness.broker.name
    assert metrics.history_events.labels(name)._value.get() == len(ids)
    assert metrics.history_gap.labels(name)._value.get() == 0


@pytest.mark.parametrize("follows", [True, False])
async def test_a_log_made_anew_is_told_and_recorded(
    follows: bool, harness: Harness, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = Metrics()
    ids = await tell(harness, "r-1", "r-2")
    async with recording(harness.broker, store, metrics):
        await recorded(store, ids)
        if follows:
            await harness.remake()
            ids += await tell(harness, "r-3")
            await recorded(store, ids)
    if not follows:
        await harness.remake()
        ids += await tell(harness, "r-3")
        async with recording(harness.broker, store, metrics):
            await recorded(store, ids)
    assert sum(message.endswith(ANEW) for message in caplog.messages) == 1
    assert metrics.history_gap.labels(harness.broker.name)._value.get() == 0


@pytest.mark.parametrize(
    "place",
    [
        Cursor("", 10**15, "?"),
        pytest.param(Cursor("x" * 100, -5, ""), marks=pytest.mark.long),
        pytest.param(Cursor("", 2, "0" * 32), marks=pytest.mark.long),
    ],
)
async def test_a_tampered_position_doubles_nothing_and_loses_nothing(
    place: Cursor, harness: Harness, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = Metrics()
    ids = await tell(harness, "r-1", "r-2")
    async with recording(harness.broker, store, metrics):
        await recorded(store, ids)
    before = await contents(store)
    await store.settle_position(harness.broker.name, place)
    async with recording(harness.broker, store, metrics):
        async with asyncio.timeout(PATIENCE):
            while not any(message.endswith(ANEW) for message in caplog.messages):
                await asyncio.sleep(0.01)
        assert await contents(store) == before
        await recorded(store, ids + await tell(harness, "r-3"))
