"""Recording, keeping logs and deleting the same requests at the same time: nobody fails, and the index of tags fits."""

import asyncio
import random
import time

import pytest
from sqlalchemy import text

from events.phases import Phase
from handler.history.base import Batch, KeptLog, LogState, PodRun, Store, Writer
from handler.history.sql.store import SqlStore
from tests.handler.history.sql.entries import BROKER, batch, entry
from tests.handler.history.stores import KINDS, opened

SECONDS = 8.0
REQUESTS = 200
PHASES = (Phase.CREATED, Phase.STARTED, Phase.SUCCEEDED, Phase.FAILED)


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
async def test_all_at_the_same_time(kind: str) -> None:
    async with opened(kind) as store, store.writing() as writer:
        until = time.monotonic() + SECONDS
        recorded, pruned, _, _ = await asyncio.gather(
            _record(writer, until), _prune(store, until), _prune(store, until), _keep(writer, until)
        )
        assert recorded > 0
        assert pruned > 0
        assert isinstance(store, SqlStore)
        async with store._database.reading() as connection:
            requests = await connection.scalar(text("SELECT count(*) FROM request"))
            tags = await connection.scalar(text("SELECT count(*) FROM tag"))
            fitting = await connection.scalar(
                text(
                    "SELECT count(*) FROM tag t JOIN request r "
                    "ON r.pk = t.request AND r.phase = t.phase AND r.updated = t.updated"
                )
            )
        assert tags == fitting == 2 * requests


async def _record(writer: Writer, until: float) -> int:
    """Requests that come again and again, each time with another Job."""
    chance, new, sequence = random.Random(1), 0, 0
    after = None
    while time.monotonic() < until:
        sequence += 1
        now = _some(chance, sequence)
        new += await writer.add(now, broker=BROKER, after=after)
        after = now.cursor
    return new


def _some(chance: random.Random, sequence: int) -> Batch:
    entries = []
    for number in chance.choices(range(REQUESTS), k=60):
        pod = PodRun(uid=f"pod-{number}", name="x", namespace="y")
        changes = {"job_uid": f"{sequence}-{number}"}
        phase = chance.choice(PHASES)
        name = f"{sequence}-{number}/{phase}"
        entries.append(entry(number, phase, time=float(sequence), tags=("a", "b"), pod=pod, changes=changes, name=name))
    return batch(sequence, *entries)


async def _prune(store: Store, until: float) -> int:
    number = 0
    while time.monotonic() < until:
        number += (await store.prune(requests_before=1e9, logs_before=1e9, limit=50)).requests
        await asyncio.sleep(0)
    return number


async def _keep(writer: Writer, until: float) -> None:
    chance = random.Random(2)
    while time.monotonic() < until:
        pod = f"pod-{chance.randrange(REQUESTS)}"
        log = KeptLog(pod=pod, container="main", state=LogState.WHOLE, bytes=3, chunks=(0,), read=1.0)
        await writer.keep_log(log, put={0: b"abc"})
        await asyncio.sleep(0.005)
