"""How dead letters are described and chosen, whatever their bytes are."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from adapters.base import Kind, Record, Topic
from adapters.headers import dead
from events.cloudevent.binding import from_nats
from handler.cli.options import duration
from handler.operations.letters import Choice, body_of, summary

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def make_letter(body: bytes, *, reason: str = "because", **headers: str) -> Record:
    stamped = dead(headers, code="INVALID_EVENT", reason=reason, origin="JOBRELAY_REQUESTS/7", attempts=2)
    return make_record(stamped, body, topic=Topic(Kind.DEAD, "requests.high"), sequence=3)


def make_record(headers: dict[str, str], body: bytes, *, topic: Topic, sequence: int) -> Record:
    decode = partial(from_nats, headers, body)
    return Record(topic=topic, sequence=sequence, time=NOW, headers=headers, body=body, decode=decode)


def test_a_letter_says_what_it_was_and_why_it_is_dead() -> None:
    body = b'{"specversion":"1.0","id":"i","source":"/s","type":"t"}'
    letter = make_letter(body, reason="100 % wrong: ä", **{"Content-Type": "application/cloudevents+json"})
    assert summary(letter) == {
        "number": 3,
        "time": "2026-01-02T03:04:05+00:00",
        "topic": "requests.high",
        "code": "INVALID_EVENT",
        "reason": "100 % wrong: ä",
        "origin": "JOBRELAY_REQUESTS/7",
        "attempts": "2",
        "replays": 0,
        "id": "i",
        "source": "/s",
        "type": "t",
    }


@pytest.mark.parametrize("body", [b"", b"\xff\xfe\x00", b"{", b"[]", b'{"specversion":"9"}'])
def test_a_letter_that_is_no_event_has_no_attributes(body: bytes) -> None:
    found = summary(make_letter(body))
    assert (found["id"], found["source"], found["type"]) == (None, None, None)
    assert found["reason"] == "because"


def test_a_foreign_letter_is_described_without_a_reason() -> None:
    letter = make_record({}, b"", topic=Topic(Kind.DEAD, "x"), sequence=1)
    assert summary(letter)["code"] == ""


def test_a_body_that_is_no_text_is_shown_as_base64() -> None:
    assert body_of(b"\xff\x00") == {"body_base64": "/wA="}
    assert body_of("ä".encode()) == {"body": "ä"}


EVENT = b'{"specversion":"1.0","id":"i","source":"/s","type":"com.example.made"}'
STRUCTURED = {"Content-Type": "application/cloudevents+json"}
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("chosen", "fits"),
    [
        ({}, True),
        ({"numbers": frozenset({3, 4})}, True),
        ({"numbers": frozenset({4})}, False),
        ({"codes": ("X", "INVALID_*")}, True),
        ({"codes": ("INVALID",)}, False),
        ({"types": ("com.example.*",)}, True),
        ({"types": ("com.example",)}, False),
        ({"older": timedelta(minutes=59)}, True),
        ({"older": timedelta(minutes=61)}, False),
        ({"newer": timedelta(minutes=61)}, True),
        ({"newer": timedelta(minutes=59)}, False),
        ({"older": timedelta(0), "newer": 2 * HOUR, "codes": ("*",), "numbers": frozenset({3})}, True),
        ({"older": timedelta(0), "newer": 2 * HOUR, "codes": ("*",), "numbers": frozenset({4})}, False),
    ],
)
def test_a_letter_is_chosen_when_all_given_conditions_fit(chosen: dict[str, Any], fits: bool) -> None:
    choice = Choice(**chosen)
    assert choice.fits(make_letter(EVENT, **STRUCTURED), NOW + HOUR) is fits
    assert choice.chooses is bool(chosen)


def test_a_letter_that_is_no_event_has_no_type_to_choose_it_by() -> None:
    assert not Choice(types=("com.*",)).fits(make_letter(b"{"), NOW)
    assert Choice(codes=("INVALID_EVENT",)).fits(make_letter(b"{"), NOW)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("0", 0), ("90s", 90), ("15m", 900), ("1h30m", 5400), ("7d", 604800)]
)
def test_durations_are_read_as_people_write_them(text: str, seconds: int) -> None:
    assert duration(text).total_seconds() == seconds
