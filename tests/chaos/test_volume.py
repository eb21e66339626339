"""The history while somebody else fills the volume that its database is on."""

import asyncio
from pathlib import Path

import pytest

from adapters.connect import connect
from handler.history import retention
from handler.history.recording.recorder import Recorder
from handler.history.retention import Retention
from handler.history.sql.store import open_store
from handler.settings.settings import Settings
from handler.telemetry.metrics import Metrics
from k8s.background import beside
from tests.chaos.table import Rows
from tests.chaos.test_history import has_recorded, loaded
from tests.handler.history.recording.contents import event_ids
from tests.handler.history.stores import SQLITE
from tests.handler.history.volumes import fill, mounted
from tests.handler.samples import until

pytestmark = [pytest.mark.broker, pytest.mark.timeout(300)]


async def test_what_is_held_ready_helps_once_and_then_it_waits_for_room(
    tmp_path: Path, rows: Rows, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(retention, "LOOK_SECONDS", 0.1)
    metrics = Metrics()
    with mounted(tmp_path / "volume", mebibytes=64) as volume:
        database, ballast = f"sqlite://{volume}/history.db", volume / "history.db.ballast"
        async with (
            loaded(tmp_path) as (url, load),
            connect(url) as broker,
            open_store(database, migrate=True) as store,
        ):
            recorder = Recorder(broker, reader=store, metrics=metrics)

            async def caught_up() -> bool:
                return await has_recorded(recorder, store, load.last)

            async def waits() -> bool:
                await load.publish(20)
                return "full" in str(recorder.problem)

            keeping = Retention(Settings.model_validate({"history": database}), store, metrics)
            async with store.writing() as writer, beside(recorder.run(writer)), beside(keeping.run()):
                await until(lambda: asyncio.sleep(0, ballast.exists()))
                await load.publish(100)
                fill(volume / "others")
                await load.publish(1000)
                await until(caught_up)
                assert sorted(await event_ids(store)) == sorted(load.ids)
                assert not ballast.exists()
                assert "the volume of the history is full: what was held ready for that is given up" in caplog.messages
                fill(volume / "others")
                await until(waits)
                (volume / "others").unlink()
                await until(caught_up)
                await until(lambda: asyncio.sleep(0, ballast.exists()))
            found = await event_ids(store)
    assert len(set(found)) == len(found)
    assert set(load.ids[-20:]) <= set(found) <= set(load.ids)
    done = "twice by somebody else, under load"
    outcome = f"{len(load.ids)} events, none recorded twice; the oldest gave way to the newest"
    rows.add("the volume of the history is full", SQLITE, done=done, outcome=outcome)
