"""When runs are due, computed as in Kubernetes, and the clock that can run faster."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from events.cron import parse_schedule, zone
from k8s.devcluster.controllers.crontimes import Clock, NeverDue, Timetable


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-03-{text}+00:00")


def times(schedule: str, since: datetime) -> Timetable:
    return Timetable(schedule=parse_schedule(schedule), zone=zone("Etc/UTC"), since=since)


@pytest.mark.parametrize(
    ("schedule", "since", "now", "found", "count", "upcoming"),
    [
        ("0 * * * *", "02T10:05", "02T10:59:59", None, 0, "02T11:00"),
        ("0 * * * *", "02T10:00", "02T11:00", "02T11:00", 1, "02T12:00"),
        ("0 * * * *", "02T10:05", "02T13:30", "02T13:00", 3, "02T14:00"),
        ("* * * * *", "02T10:00", "02T12:00", "02T12:00", 120, "02T12:01"),
        ("@every 7s", "02T10:00:03", "02T10:01", "02T10:00:59", 8, "02T10:01:06"),
        # Where distances differ, Kubernetes guesses the count from the first distance, and may find no time.
        ("30 6-16/4 * * *", "02T06:30", "02T15:00", "02T14:30", 2, "03T06:30"),
        ("0 9-17 * * 1-5", "06T12:00", "07T12:00", None, 24, "09T09:00"),
    ],
)
def test_latest_and_upcoming_time_and_the_count_of_times_that_have_come(
    schedule: str, since: str, now: str, found: str | None, count: int, upcoming: str
) -> None:
    table = times(schedule, at(since))
    assert table.latest(at(now)) == (None if found is None else at(found), count)
    assert table.upcoming(at(now)) == at(upcoming)


def test_times_older_than_the_deadline_do_not_count() -> None:
    table = times("0 * * * *", at("02T00:00"))
    assert table.latest(at("02T13:30"), within=1800) == (None, 0)
    assert table.latest(at("02T13:30"), within=1801) == (at("02T13:00"), 1)
    assert table.latest(at("02T13:30"), within=2**62) == (at("02T13:00"), 13)


@pytest.mark.parametrize("schedule", ["0 0 31 2 *", ", * * * *"])
def test_a_schedule_that_is_never_due_is_an_error(schedule: str) -> None:
    with pytest.raises(NeverDue, match="time difference between two schedules is less than 1 second"):
        times(schedule, at("02T00:00")).latest(at("03T00:00"))
    with pytest.raises(NeverDue):
        times(schedule, at("02T00:00")).upcoming(at("03T00:00"))


def test_a_schedule_without_a_further_time_is_an_error() -> None:
    table = times("0 0 29 2 *", datetime(2088, 1, 1, tzinfo=UTC))
    assert table.latest(datetime(2097, 1, 1, tzinfo=UTC))[0] == datetime(2096, 2, 29, tzinfo=UTC)
    with pytest.raises(NeverDue, match="no further time"):  # 2100 is no leap year
        table.upcoming(datetime(2097, 1, 1, tzinfo=UTC))


def test_a_clock_shows_real_time_unless_asked_to_run_faster() -> None:
    before = time.time()
    shown = Clock(origin=0.0).now().timestamp()
    assert before - 0.001 <= shown <= time.time() + 0.001
    fast = Clock(origin=1000.0, minute=2.0)
    assert fast.read(1000.0) == datetime.fromtimestamp(1000, UTC)
    assert fast.read(1002.0) == datetime.fromtimestamp(1060, UTC)


def test_a_fast_clock_knows_the_real_time_to_wait() -> None:
    fast = Clock(origin=time.time(), minute=2.0)
    assert fast.wait(fast.now() + timedelta(minutes=3)) == pytest.approx(6.0, abs=0.2)
    assert fast.wait(fast.now() - timedelta(minutes=3)) == 0.0
