"""`jobrelay history stats`: sums by service and day."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from events.phases import Phase
from handler.history.base import Reader, Stat
from handler.operations.stats import DAY, HOUR, by_day, summed
from tests.handler.commandline import Done, call, make_environ
from tests.handler.commands.history.records import fill, life, told, url_of

Asked = Callable[..., Done]
DAYS = ("--newer", "2026-03-01", "--older", "2026-03-03")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("history")
    entries = [
        *life("a", service="billing", peak_cpu=2.0),
        *life("b", Phase.FAILED, at=3600, service="billing"),
        *life("c", Phase.CANCELLED, at=3700, service="billing"),
        told("d", Phase.REJECTED, job_uid=None),
        *life("e", at=DAY, service="billing"),
        told("f", Phase.CREATED, at=DAY, service="\x1b[1mwide 漢字"),
    ]
    asyncio.run(fill(url_of(directory), entries))
    return directory


@pytest.fixture
def asked(directory: Path, tmp_path: Path) -> Asked:
    environ = make_environ(tmp_path, JOBRELAY_HISTORY=url_of(directory))
    return lambda *options: call("history", "stats", *options, environ=environ)


def test_a_line_for_each_day_and_service(asked: Asked) -> None:
    done = asked(*DAYS)
    assert (done.returncode, done.stderr) == (0, "")
    head, *lines = done.stdout.splitlines()
    assert head.split("  ")[0] == "SINCE"
    assert [line.split() for line in lines] == [
        ["2026-03-01T00:00:00Z", "0", "1", "0", "0", "0", "0.00"],
        ["2026-03-01T00:00:00Z", "billing", "3", "0", "1", "1", "1", "33.3", "4s", "12s", "0.01"],
        ["2026-03-02T00:00:00Z", "[1mwide", "漢字", "1", "0", "0", "0", "0", "0.00"],
        ["2026-03-02T00:00:00Z", "billing", "1", "0", "1", "0", "0", "0.0", "4s", "12s", "0.00"],
    ]


def test_by_the_hour_and_of_a_service_as_documents(asked: Asked) -> None:
    done = asked(*DAYS, "--hourly", "--service", "billing", "-o", "json")
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(one["since"], one["created"], one["failed"]) for one in found] == [
        ("2026-03-01T10:00:00Z", 1, 0),
        ("2026-03-01T11:00:00Z", 2, 1),
        ("2026-03-02T10:00:00Z", 1, 0),
    ]
    assert found[0]["seconds"] == HOUR
    assert (found[0]["meanWait"], found[0]["meanRun"], found[0]["failedShare"]) == (4.0, 12.0, 0.0)
    assert found[0]["cpuHours"] == pytest.approx(24 / HOUR)
    assert found[1]["failedShare"] == 0.5


def test_where_there_is_nothing_it_says_so(asked: Asked) -> None:
    done = asked("--newer", "1d")
    assert (done.returncode, done.stderr) == (0, "no requests in this time\n")
    assert asked("--newer", "1d", "-o", "json").stdout == ""
    assert asked("--newer", "2026-03-02", "--older", "2026-03-01").returncode == 2


def test_a_stretch_without_end_is_as_long_as_anything_is_kept(asked: Asked) -> None:
    found = asked("--newer", "0001-01-01", "--older", "9999-12-31", "-o", "json").stdout.splitlines()
    assert sum(json.loads(line)["created"] for line in found) == 5


async def test_days_are_those_of_utc_and_empty_ones_are_crossed_in_leaps() -> None:
    asked: list[tuple[float, float]] = []

    class Sums:
        async def stats(self, *, newer: float, older: float) -> list[Stat]:
            asked.append((newer / DAY, older / DAY))
            hours = (12 * HOUR, 13 * HOUR, 40 * DAY, 41 * DAY + HOUR)
            return [Stat(hour=hour, service="a", phase=Phase.CREATED, n=1) for hour in hours if newer <= hour < older]

    days = [[stat.hour for stat in found] async for found in by_day(cast("Reader", Sums()), 13 * HOUR + 9, 42.0 * DAY)]
    assert days == [[13 * HOUR], [40 * DAY], [41 * DAY + HOUR]]
    assert asked[:4] == [(13 / 24, 1), (1, 2), (2, 4), (4, 8)]
    assert asked[-1] == (42, 42 + 1 / 24)
    assert len(asked) < 20


def test_what_did_not_end_has_no_means() -> None:
    sums = summed([Stat(hour=0, service="a", phase=Phase.CREATED, n=2)], DAY)[0, "a"]
    assert (sums.ended, sums.failed, sums.mean_wait, sums.mean_run) == (0, None, None, None)
