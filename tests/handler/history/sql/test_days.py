"""Sums by the day, the same on every database."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from events.phases import Phase
from handler.history.base import Day, Entry, Store
from handler.history.spreads import bucket_of
from handler.history.sql.schema import move
from handler.history.sql.store import SqlStore, open_store
from tests.handler.history.sql.entries import BROKER, batch, entry
from tests.handler.history.stores import KINDS, POSTGRESQL, SQLITE, opened, url_of

DAY = 86_400
FOREVER = float(2**40)


@pytest.fixture(params=KINDS)
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    async with opened(str(request.param)) as made:
        yield made


def life(number: int, at: float, *, waits: float, runs: float, end: Phase = Phase.SUCCEEDED) -> list[Entry]:
    started = at + waits
    return [
        entry(number, Phase.CREATED, time=at),
        entry(number, Phase.STARTED, time=started, changes={"started": started, "peak_cpu": 0.5}),
        entry(number, end, time=started + runs, run=runs),
    ]


LIVES = [
    *life(1, 10.0, waits=4.0, runs=60.0),
    *life(2, 20.0, waits=4.0, runs=30.0, end=Phase.FAILED),
    *life(3, DAY + 5.0, waits=0.0, runs=8.0),
    entry(4, Phase.CREATED, time=DAY + 6.0, changes={"service": "mail"}),
    entry(4, Phase.CANCELLED, time=DAY + 7.0, changes={"service": "mail"}),
]
FIRST = Day(
    day=0,
    service="billing",
    created=2,
    succeeded=1,
    failed=1,
    wait=8.0,
    run=90.0,
    cpu=45.0,
    waits={bucket_of(4.0): 2},
    runs={bucket_of(30.0): 1, bucket_of(60.0): 1},
)
SECOND = Day(
    day=DAY,
    service="billing",
    created=1,
    succeeded=1,
    run=8.0,
    cpu=4.0,
    waits={bucket_of(0.0): 1},
    runs={bucket_of(8.0): 1},
)
# It never started: nobody knows how long it would have waited.
MAIL = Day(day=DAY, service="mail", created=1, cancelled=1)


@pytest.mark.parametrize("size", [1, 3, 100])
async def test_sums_by_the_day_are_of_all_requests_once(store: Store, size: int) -> None:
    after = None
    async with store.writing() as writer:
        for begin in range(0, len(LIVES), size):
            part = batch(begin + 1, *LIVES[begin : begin + size])
            await writer.add(part, broker=BROKER, after=after)
            after = part.cursor
        again = batch(100, *LIVES)
        assert await writer.add(again, broker=BROKER, after=after) == 0
    assert await store.days(newer=0.0, older=FOREVER) == [SECOND, MAIL, FIRST]
    assert await store.days(newer=1.0, older=FOREVER, service="mail") == [MAIL]
    assert await store.days(newer=0.0, older=float(DAY)) == [FIRST]
    assert await store.days(newer=0.0, older=FOREVER, service="no\0such") == []


async def test_sums_by_the_day_go_with_the_hours_of_that_day(store: Store) -> None:
    async with store.writing() as writer:
        await writer.add(batch(9, *LIVES), broker=BROKER, after=None)
    await store.prune(requests_before=DAY - 1.0, logs_before=None)
    assert len(await store.days(newer=0.0, older=FOREVER)) == 3
    while (await store.prune(requests_before=float(DAY), logs_before=None, limit=1)).more:
        pass
    assert await store.days(newer=0.0, older=FOREVER) == [SECOND, MAIL]


@pytest.mark.parametrize("kind", [SQLITE, POSTGRESQL])
async def test_what_was_recorded_before_there_were_days_is_summed(kind: str) -> None:
    async with url_of(kind) as url:
        async with open_store(url, migrate=True) as store, store.writing() as writer:
            await writer.add(batch(9, *LIVES), broker=BROKER, after=None)
        async with open_store(url) as store:
            assert isinstance(store, SqlStore)
            async with store._database.changing() as connection:
                await connection.run_sync(move, "1")
                assert await connection.scalar(text("SELECT COUNT(*) FROM stat")) == 7
        async with open_store(url, migrate=True) as store:
            found = await store.days(newer=0.0, older=FOREVER)
            assert found == [_without_spreads(day) for day in (SECOND, MAIL, FIRST)]


def _without_spreads(day: Day) -> Day:
    return Day(**{name: getattr(day, name) for name in Day.__struct_fields__ if name not in ("waits", "runs")})
