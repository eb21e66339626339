"""Times as people write them."""

from datetime import UTC, datetime, timedelta

import pytest

from handler.operations.times import is_ago, read_duration, read_moment

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90", NOW - timedelta(seconds=90)),
        ("1h30m", NOW - timedelta(minutes=90)),
        ("7d", NOW - timedelta(days=7)),
        ("2026-01-30", datetime(2026, 1, 30, tzinfo=UTC)),
        ("2026-01-30T01:00:00+01:00", datetime(2026, 1, 30, tzinfo=UTC)),
    ],
)
def test_reads_a_moment(text: str, moment: datetime) -> None:
    assert read_moment(text, now=NOW) == moment
    assert is_ago(text) == (text[-1] in "0mhd" and "-" not in text)


@pytest.mark.parametrize("text", ["", "soon", "7w", "2026-02-30", "2026-01-30T01:00:00", "999999d", "٣h"])
def test_says_what_is_no_moment(text: str) -> None:
    with pytest.raises(ValueError, match="no time: 90s, 15m, 1h30m or 7d ago"):
        read_moment(text, now=NOW)


def test_says_what_is_no_duration() -> None:
    with pytest.raises(ValueError, match="no duration"):
        read_duration("2026-01-30")
