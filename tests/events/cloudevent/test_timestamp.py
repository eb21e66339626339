"""What is a time: the same on every Python, whose own readers of ISO 8601 take ever more."""

import re
from datetime import UTC, datetime

import pytest

from events.cloudevent.timestamp import EXAMPLE, in_utc, parse_epoch, parse_time
from handler.operations.times import read_moment
from k8s.devcluster.times import parse_time as devcluster_time

TAKEN = {
    "2026-01-31T12:00:00Z": "2026-01-31T12:00:00Z",
    "2026-01-31t12:00:00z": "2026-01-31T12:00:00Z",
    "2026-01-31T12:00:00-00:00": "2026-01-31T12:00:00Z",
    "2026-01-31T12:00:00+23:59": "2026-01-30T12:01:00Z",
    "2026-01-31T12:00:00-23:59": "2026-02-01T11:59:00Z",
    "2026-01-31T12:00:00.1Z": "2026-01-31T12:00:00.1Z",
    "2026-01-31T12:00:00.1234567890123Z": "2026-01-31T12:00:00.1234567890123Z",
    "2016-12-31T23:59:60Z": "2016-12-31T23:59:59Z",
    "2017-01-01T01:59:60.9+02:00": "2016-12-31T23:59:59.9Z",
    "2024-02-29T00:00:00Z": "2024-02-29T00:00:00Z",
    "0001-01-01T00:00:00Z": "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999999Z": "9999-12-31T23:59:59.999999999Z",
}
SMALL_OR_LEAP = [text for text in TAKEN if "t" in text or ":60" in text]

REFUSED = [
    "2026-01-31T24:00:00Z",
    "2026-01-31T24:00:00.000+00:00",
    "2026-12-31T24:00:00Z",
    "2026-01-31T24:00:01Z",
    "2026-01-31T25:00:00Z",
    "2026-01-31T12:60:00Z",
    "2026-01-31T12:00:61Z",
    "2026-01-31T12:00:00+24:00",
    "2026-01-31T12:00:00-24:00",
    "2026-01-31T12:00:00+01:60",
    "2026-01-31T12:00:00+01",
    "2026-01-31T12:00:00+0100",
    "2026-01-31T12:00:00+01:00:00",
    "2026-01-31T12:00:00+01:00:00.000001",
    "2026-01-31T12:00:00 Z",
    "2026-01-31T12:00:00UTC",
    "2026-01-31T12:00:00,5Z",
    "2026-01-31T12:00:00.Z",
    "2026-01-31T12:00Z",
    "2026-01-31T12Z",
    "2026-01-31TZ",
    "2026-01-31",
    "2026-01-31 12:00:00Z",
    "2026-01-31_12:00:00Z",
    "20260131T120000Z",
    "2026-01-31T120000Z",
    "20260131T12:00:00Z",
    "2026-W05-6T12:00:00Z",
    "2026-W05T12:00:00Z",
    "2026-031T12:00:00Z",
    "+2026-01-31T12:00:00Z",
    "02026-01-31T12:00:00Z",
    "2026-1-31T12:00:00Z",
    "2026-01-31T12:00:00Zx",
    "2026-01-31T12:00:00Z\n",
    " 2026-01-31T12:00:00Z",
    "2026-01-31T12:00:00\N{MINUS SIGN}01:00",
    "2026-01-31T1\N{ARABIC-INDIC DIGIT TWO}:00:00Z",
    "",
]
ABSENT = ["2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-01-00T00:00:00Z", "2026-04-31T00:00:00Z"]
BEYOND = ["0000-01-01T00:00:00Z", "0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01"]


@pytest.mark.parametrize(("text", "shown"), TAKEN.items())
def test_rfc_3339_is_taken(text: str, shown: str) -> None:
    assert in_utc(text) == shown
    moment = parse_time(text)
    assert moment.utcoffset() is not None
    assert moment.astimezone(UTC).isoformat()[:19] == shown[:19]
    assert parse_epoch(text) == moment.timestamp()


@pytest.mark.parametrize("text", REFUSED)
def test_everything_else_of_iso_8601_is_refused_in_the_same_words(text: str) -> None:
    with pytest.raises(ValueError, match=f"^not {re.escape(EXAMPLE)}$"):
        parse_time(text)


@pytest.mark.parametrize("text", ABSENT + BEYOND)
def test_times_that_do_not_exist_are_refused_in_the_same_words(text: str) -> None:
    with pytest.raises(ValueError, match=r"^no time that exists in the years 1 to 9999 of UTC$"):
        parse_time(text)


@pytest.mark.parametrize("text", [text for text in [*REFUSED, *ABSENT] if text != "2026-01-31"])
def test_neither_people_nor_the_development_cluster_get_further(text: str) -> None:
    with pytest.raises(ValueError, match="no time: 90s, 15m, 1h30m or 7d ago"):
        read_moment(text, now=datetime(2026, 1, 31, tzinfo=UTC))
    with pytest.raises(ValueError, match=r"^parsing time "):
        devcluster_time(text)


@pytest.mark.parametrize("text", SMALL_OR_LEAP)
def test_the_development_cluster_refuses_what_go_does(text: str) -> None:
    assert read_moment(text, now=datetime(2026, 1, 31, tzinfo=UTC)) == parse_time(text)
    with pytest.raises(ValueError, match=r"^parsing time "):
        devcluster_time(text)
