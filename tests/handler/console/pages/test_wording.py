"""Claims about values as pages show them."""

import pytest

from handler.console.pages.wording import between, clock, hour


@pytest.mark.parametrize(
    ("moment", "shown"),
    [
        ("2026-11-29T10:02:11.987654321Z", "<time datetime=2026-11-29T10:02:11Z>2026-11-29 10:02:11</time>"),
        ("2026-11-29T10:02:11+02:00", "<time datetime=2026-11-29T08:02:11Z>2026-11-29 08:02:11</time>"),
        ("0001-01-01T00:00:00Z", "<time datetime=0001-01-01T00:00:00Z>0001-01-01 00:00:00</time>"),
        ("2026-11-29T24:00:00Z", ""),
        ("0001-01-01T00:00:00+01:00", ""),
        (None, ""),
    ],
)
def test_time_is_shown_in_utc_or_not_at_all(moment: str | None, shown: str) -> None:
    assert str(clock(moment)) == shown
    assert (str(hour(moment)) == "") == (shown == "")


def test_time_that_is_none_lasts_nothing() -> None:
    assert between("2026-11-29T24:00:00Z", "2026-11-30T00:00:01Z") == ""
    assert between("2026-11-29T23:59:59Z", "2026-11-30T00:00:01Z") == "2s"
