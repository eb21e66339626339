"""What services came to: by the day with percentiles, by the hour, over the whole time."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from events.phases import Phase
from handler.console.backend import Backend
from handler.console.http.problems import Problem
from handler.console.views.stats import StatsQuery, stats_view
from handler.history.base import Entry, Key
from handler.history.sql.writing import SqlWriter
from k8s.api.cluster import Cluster
from tests.handler.console.views.seen import seeing
from tests.handler.history.sql.entries import BROKER, batch

DAY, HOUR = 86_400, 3600
NOW = 100 * DAY + 5 * HOUR + 10.0


def life(name: str, service: str, at: float, *, waits: float, runs: float, end: Phase = Phase.SUCCEEDED) -> list[Entry]:
    key = Key(id=name, cause=name, source="/shop")
    known: dict[str, Any] = {"service": service, "job_uid": name}
    parts = [
        (Phase.CREATED, at, {}, None),
        (Phase.STARTED, at + waits, {"started": at + waits, "peak_cpu": 2.0}, None),
        (end, at + waits + runs, {}, runs),
    ]
    return [
        Entry(id=f"{name}/{phase}", key=key, phase=phase, time=time, changes=known | more, body=b"{}", run=run)
        for phase, time, more, run in parts
    ]


@pytest.fixture
async def backend(cluster: Cluster) -> AsyncIterator[Backend]:
    entries = [
        entry
        for number in range(100)
        for entry in life(f"b{number}", "billing", NOW - 2 * HOUR, waits=number + 1.0, runs=10.0)
    ]
    for number in range(4):
        entries += life(f"m{number}", "mail", NOW - 3 * DAY, waits=1.0, runs=1800.0, end=Phase.FAILED)
    entries += life("old", "billing", NOW - 50 * DAY, waits=1.0, runs=1.0)
    async with seeing(cluster) as (found, writer):
        assert isinstance(writer, SqlWriter)
        before = await found.reader.position(BROKER)
        await writer.add(batch(9, *entries), broker=BROKER, after=before)
        yield found


async def test_each_service_and_day_has_its_sums_and_percentiles(backend: Backend) -> None:
    stats = await stats_view(backend, StatsQuery(), now=NOW)
    assert [(one.service, one.created, one.succeeded, one.failed) for one in stats.sums] == [
        ("billing", 100, 100, 0),
        ("mail", 4, 0, 4),
    ]
    billing, mail = stats.sums
    assert billing.wait.p50 == pytest.approx(50, rel=0.1)
    assert billing.wait.p95 == pytest.approx(95, rel=0.1)
    assert billing.wait.mean == pytest.approx(50.5)
    assert (billing.failed_share, mail.failed_share) == (0.0, 1.0)
    assert mail.cpu_hours == pytest.approx(4 * 2 * 0.5)
    assert [one.service for one in stats.services] == ["billing", "mail"]
    assert [(one.service, one.created) for one in stats.steps] == [("", 100), ("", 4)]
    assert stats.totals == {"created": 104, "rejected": 0, "succeeded": 100, "failed": 4, "cancelled": 0}
    assert not stats.more


async def test_a_bound_leaves_the_totals_whole(backend: Backend) -> None:
    stats = await stats_view(backend, StatsQuery(limit=1, since="90d"), now=NOW)
    assert [(one.service, len(stats.services)) for one in stats.sums] == [("billing", 1)]
    assert stats.totals["created"] == 105
    assert stats.services[0].created == 101
    assert stats.more


async def test_a_service_and_the_hours_of_a_day(backend: Backend) -> None:
    stats = await stats_view(backend, StatsQuery(step="hour", service="billing"), now=NOW)
    assert sum(one.created for one in stats.sums) == 100
    assert all(one.wait.p50 is None for one in stats.sums)
    assert {one.service for one in stats.sums} == {"billing"}
    assert (await stats_view(backend, StatsQuery(service="nobody"), now=NOW)).sums == []


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"step": "hour", "since": "30d"}, "INVALID_PARAMETERS"),
        ({"since": "1970-01-02", "until": "1970-01-01"}, "EMPTY_RANGE"),
    ],
)
async def test_what_cannot_be_summed_is_a_problem(backend: Backend, asked: dict[str, Any], code: str) -> None:
    with pytest.raises(Problem) as caught:
        await stats_view(backend, StatsQuery(**asked), now=NOW)
    assert (caught.value.status, caught.value.code) == (400, code)
