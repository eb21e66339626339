"""Schedules as Kubernetes reads them: which it accepts, when they are due, and what happens when clocks change."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from cronsim import CronSim
from hypothesis import given, strategies as st

from events.cron import Interval, InvalidSchedule, parse_schedule, zone

ETC = zone("Etc/UTC")
BERLIN = zone("Europe/Berlin")
SUNDAY = "2026-03-01T00:00:00+00:00"


def next_runs(schedule: str, after: str, count: int, place: str = "Etc/UTC") -> list[str]:
    """Runs after that moment, in the local time of `place`."""
    runs, moment = [], datetime.fromisoformat(after)
    for _ in range(count):
        following = parse_schedule(schedule).next_after(moment, zone(place))
        assert following is not None
        moment = following
        runs.append(moment.astimezone(zone(place)).isoformat())
    return runs


@pytest.mark.parametrize(
    ("schedule", "following"),
    [
        ("* * * * *", "2026-03-01T00:01"),
        ("*/15 * * * *", "2026-03-01T00:15"),
        ("5/20 * * * *", "2026-03-01T00:05"),
        ("50-58/4 * * * *", "2026-03-01T00:50"),
        ("30,10 * * * *", "2026-03-01T00:10"),
        ("+7 * * * *", "2026-03-01T00:07"),
        ("1,,2 * * * *", "2026-03-01T00:01"),
        (" 0  9 * * MON-fri ", "2026-03-02T09:00"),
        ("0 0 ? * sat", "2026-03-07T00:00"),
        ("0 9 1 jan,Jul *", "2026-07-01T09:00"),
        ("0 0 29 2 *", "2028-02-29T00:00"),
        ("59 23 31 12 *", "2026-12-31T23:59"),
        ("@hourly", "2026-03-01T01:00"),
        ("@daily", "2026-03-02T00:00"),
        ("@midnight", "2026-03-02T00:00"),
        ("@weekly", "2026-03-08T00:00"),
        ("@monthly", "2026-04-01T00:00"),
        ("@yearly", "2027-01-01T00:00"),
        ("@annually", "2027-01-01T00:00"),
    ],
)
def test_schedules_that_kubernetes_accepts(schedule: str, following: str) -> None:
    assert next_runs(schedule, SUNDAY, 1) == [f"{following}:00+00:00"]


@pytest.mark.parametrize(
    ("schedule", "seconds"),
    [
        ("@every 2s", 2), ("@every 1h30m", 5400), ("@every 1.5h", 5400), ("@every .5m", 30), ("@every +90s", 90),
        ("@every 1500ms", 1), ("@every 1µs", 1), ("@every 0", 1), ("@every -1h", 1),
    ],
)  # fmt: skip
def test_every_counts_whole_seconds_from_the_run_before(schedule: str, seconds: int) -> None:
    moment = datetime(2026, 3, 1, 12, 0, 5, 900_000, tzinfo=UTC)
    following = parse_schedule(schedule).next_after(moment, ETC)
    assert following == datetime(2026, 3, 1, 12, 0, 5, tzinfo=UTC) + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("schedule", "verbatim"),
    [
        ("", "empty spec string"),
        ("every day", "expected exactly 5 fields, found 2: [every day]"),
        ("* * * * * *", "expected exactly 5 fields, found 6: [* * * * * *]"),
        (" @hourly", "expected exactly 5 fields, found 1: [@hourly]"),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("* * * * 7", "end of range (7) above maximum (6): 7"),
        ("* * * * 5#2", 'failed to parse int from 5#2: strconv.Atoi: parsing "5#2": invalid syntax'),
        ("* * L * *", 'failed to parse int from L: strconv.Atoi: parsing "L": invalid syntax'),
        ("* 22-2 * * *", "beginning of range (22) beyond end of range (2): 22-2"),
        ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
        ("*/2/3 * * * *", "too many slashes: */2/3"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("*/-5 * * * *", "negative number (-5) not allowed: -5"),
        ("1_0 * * * *", 'failed to parse int from 1_0: strconv.Atoi: parsing "1_0": invalid syntax'),
        ("@reboot", "unrecognized descriptor: @reboot"),
        ("@every", "unrecognized descriptor: @every"),
        ("@every soon", 'failed to parse duration @every soon: time: invalid duration "soon"'),
        ("@every 5", 'failed to parse duration @every 5: time: missing unit in duration "5"'),
        ("@every 1d", 'failed to parse duration @every 1d: time: unknown unit "d" in duration "1d"'),
        ("@every 3000000h", 'failed to parse duration @every 3000000h: time: invalid duration "3000000h"'),
        ("TZ=Etc/UTC * * * * *", "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"),
        ("CRON_TZ=Etc/UTC * * * * *", "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"),
    ],
)
def test_refusals_have_the_words_of_kubernetes(schedule: str, verbatim: str) -> None:
    with pytest.raises(InvalidSchedule) as caught:
        parse_schedule(schedule)
    assert caught.value.verbatim == verbatim
    assert str(caught.value) == f"{caught.value.problem} (allowed: {caught.value.allowed})"


@given(st.text(min_size=1, max_size=30), st.sampled_from(["{} * * * *", "* * * {} *", "@{}", "@every {}", "x {}"]))
def test_any_text_is_a_schedule_or_is_refused_without_being_repeated(text: str, form: str) -> None:
    word = f"q{text}q"
    with pytest.raises(InvalidSchedule) as caught:
        parse_schedule(form.format(word))
    assert word not in str(caught.value)


@pytest.mark.parametrize(
    ("schedule", "days"),
    [
        ("0 0 13 * 5", ["03-06", "03-13", "03-20", "03-27", "04-03", "04-10", "04-13"]),  # either is enough
        ("0 0 * * 5", ["03-06", "03-13"]),
        ("0 0 13 * *", ["03-13", "04-13"]),
        ("0 0 13 * ?", ["03-13", "04-13"]),
        ("0 0 */1 * 5", ["03-06", "03-13"]),
        ("0 0 */10 * 5", ["03-06", "03-11", "03-13", "03-20", "03-21"]),  # a star with a step restricts the days
    ],
)
def test_days_of_the_month_and_of_the_week_combine_as_in_kubernetes(schedule: str, days: list[str]) -> None:
    assert [run[5:10] for run in next_runs(schedule, "2026-03-01T12:00:00+00:00", len(days))] == days


def test_a_run_in_the_hour_that_clocks_skip_is_left_out() -> None:
    assert next_runs("30 2 * * *", "2026-03-28T00:00:00+01:00", 2, "Europe/Berlin") == [
        "2026-03-28T02:30:00+01:00",
        "2026-03-30T02:30:00+02:00",
    ]
    assert next_runs("0 * * * *", "2026-03-29T01:00:00+01:00", 1, "Europe/Berlin") == ["2026-03-29T03:00:00+02:00"]


def test_a_run_in_the_hour_that_clocks_repeat_comes_twice() -> None:
    assert next_runs("30 2 * * *", "2026-10-24T12:00:00+02:00", 3, "Europe/Berlin") == [
        "2026-10-25T02:30:00+02:00",
        "2026-10-25T02:30:00+01:00",
        "2026-10-26T02:30:00+01:00",
    ]


def test_a_daily_run_keeps_its_hour_on_the_clocks() -> None:
    runs = next_runs("0 9 * * *", "2026-03-28T12:00:00+01:00", 2, "Europe/Berlin")
    assert runs == ["2026-03-29T09:00:00+02:00", "2026-03-30T09:00:00+02:00"]
    assert next_runs("0 0 * * *", "2018-11-03T12:00:00-03:00", 2, "America/Sao_Paulo") == [
        "2018-11-05T00:00:00-02:00",  # clocks went from 23:59 to 1:00
        "2018-11-06T00:00:00-02:00",
    ]


def test_every_ignores_clock_changes() -> None:
    assert next_runs("@every 24h", "2026-10-24T12:00:00+02:00", 1, "Europe/Berlin") == ["2026-10-25T11:00:00+01:00"]


@pytest.mark.parametrize("schedule", ["0 0 31 2 *", "0 0 30 feb ?", ", * * * *", "* , * * *", "* * , * *", "* * * , *"])
def test_a_schedule_that_is_never_due_is_well_formed(schedule: str) -> None:
    assert parse_schedule(schedule).next_after(datetime(2026, 3, 1, tzinfo=UTC), BERLIN) is None


def test_the_next_run_does_not_depend_on_how_the_moment_is_written() -> None:
    moment = datetime(2026, 3, 1, 23, 59, 59, 999_999, tzinfo=UTC)
    for written in (moment, moment.astimezone(BERLIN), moment.astimezone(timezone(timedelta(hours=-9)))):
        assert parse_schedule("0 0 * * *").next_after(written, ETC) == datetime(2026, 3, 2, tzinfo=UTC)


@pytest.mark.parametrize("name", ["Etc/UTC", "UTC", "Europe/Berlin", "America/Argentina/Ushuaia", "Etc/GMT+5"])
def test_iana_names_are_time_zones(name: str) -> None:
    assert zone(name).key == name


@pytest.mark.parametrize(
    ("name", "verbatim"),
    [
        ("", "timeZone must be nil or non-empty string"),
        ("Local", "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"),
        *((name, f"unknown time zone {name}") for name in ("Mars/Phobos", "Europe", "/etc/localtime", "a//b", "Ü")),
        *((name, f"unknown time zone {name}") for name in ("../zoneinfo/UTC", "-UTC", "zone.tab", "UTC\0", "x" * 300)),
    ],
)
def test_other_names_are_refused_in_the_words_of_kubernetes(name: str, verbatim: str) -> None:
    with pytest.raises(InvalidSchedule) as caught:
        zone(name)
    assert caught.value.verbatim == verbatim
    assert not name or name not in caught.value.problem


def fields(lowest: int, highest: int) -> st.SearchStrategy[str]:
    """Fields that cronsim reads as Kubernetes does: numbers, ranges with steps, lists, a star."""
    numbers = st.integers(lowest, highest)
    spans = st.lists(numbers, min_size=2, max_size=2, unique=True).map(lambda ends: f"{min(ends)}-{max(ends)}")
    stepped = st.tuples(spans, st.integers(1, 9)).map(lambda item: f"{item[0]}/{item[1]}")
    items = st.one_of(numbers.map(str), spans, stepped)
    return st.one_of(st.just("*"), st.lists(items, min_size=1, max_size=3).map(",".join))


@given(
    st.tuples(fields(0, 59), fields(0, 23), fields(1, 28), fields(1, 12), fields(0, 6)).map(" ".join),
    st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),
)
def test_cronsim_finds_the_same_times(schedule: str, moment: datetime) -> None:
    assert parse_schedule(schedule).next_after(moment, ETC) == next(CronSim(schedule, moment))


@pytest.mark.parametrize(
    "text",
    [
        f"@every {'1' * 1_000_000}s",
        f"@every {'9' * 400}h",
        f"@every 1.{'1' * 1_000_000}y",
        f"{'1' * 5000} * * * *",
        f"*/{'9' * 5000} * * * *",
        f"{'0' * 100_000}-{'1' * 100_000} * * * *",
    ],
    ids=["every", "hours", "fraction", "minute", "step", "range"],
)
def test_numbers_of_any_length_are_refused_without_reading_them(text: str) -> None:
    with pytest.raises(InvalidSchedule):
        parse_schedule(text)


def test_leading_zeros_and_many_decimals_are_what_they_are_in_go() -> None:
    assert parse_schedule(f"@every {'0' * 5000}90.{'5' * 5000}s") == Interval(seconds=90)
