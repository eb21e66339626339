"""Claims about our own headers and about topic keys: nothing that a client can publish breaks them."""

import time

from hypothesis import given, strategies as st

from adapters import headers as stamps
from adapters.base import Kind, Topic
from adapters.topics import refusal, selects
from tests.adapters.harness import make_event

NOW = 1_000_000.0


@given(st.text(), st.text())
def test_any_header_is_read_as_a_count_and_a_time_or_as_none(attempts: str, until: str) -> None:
    forged = {stamps.ATTEMPTS: attempts, stamps.NOT_BEFORE: until}
    assert 0 <= stamps.attempts_before(forged) < 10**7
    assert 0 <= stamps.rest(forged, now=time.time()) <= stamps.LONGEST_DELAY


def test_a_time_is_believed_as_far_as_we_would_write_it_also_by_a_clock_that_was_set_back() -> None:
    def rest(until: float, now: float) -> float:
        return stamps.rest(stamps.again({}, attempts=1, until=until, now=now), now=now)

    assert rest(1000 + stamps.LONGEST_DELAY, 1000) == stamps.LONGEST_DELAY
    assert rest(1001 + stamps.LONGEST_DELAY, 1000) == 0
    assert rest(2_000_000_030, 2_000_000_000) == 30
    assert rest(2_000_000_030, 1_999_000_000) == 0


@given(st.text(max_size=10_000))
def test_any_reason_fits_a_header_and_reads_back(reason: str) -> None:
    dead = stamps.dead({}, code="X", reason=reason, origin="S/1", attempts=1)
    value = dead[stamps.REASON]
    assert value.isascii()
    assert value.isprintable() or not value
    assert len(value) <= stamps.REASON_LIMIT
    read = stamps.reason_of(dead)
    if len(value) < stamps.REASON_LIMIT - 12:
        assert read == reason.strip(" ")


def test_copy_keeps_foreign_headers_but_none_that_the_broker_acts_on() -> None:
    original = {
        "Nats-Msg-Id": "1",
        "nats-rollup": "all",
        "NATS-EXPECTED-LAST-SEQUENCE": "1",
        "nAtS-sChEdUlE": "@every 1s",
        "Nats-TTL": "1s",
        "Status": "503",
        "(bad)": "name",
        "ce-id": "e1",
        stamps.NOT_BEFORE: "5",
    }
    copy = stamps.again(original, attempts=3, until=None, now=NOW)
    assert copy == {"ce-id": "e1", stamps.ATTEMPTS: "3", stamps.SINCE: "1000000000"}
    assert stamps.rest(stamps.again(original, attempts=3, until=1234.5, now=NOW), now=1230) == 4.5


def test_a_copy_says_since_when_the_message_waits() -> None:
    first = stamps.again({}, attempts=0, until=None, now=NOW)
    second = stamps.again(first, attempts=0, until=None, now=NOW + 7)
    assert (stamps.waited({}, NOW), stamps.waited(first, NOW), stamps.waited(second, NOW + 9)) == (0, 0, 9)
    replayed = stamps.replayed(stamps.dead(second, code="X", reason="", origin="S/1", attempts=1))
    assert stamps.waited(replayed, NOW + 9) == 0


@given(st.text() | st.integers().map(str))
def test_any_header_says_that_a_message_has_waited_or_not_and_never_makes_it_wait_for_ever(since: str) -> None:
    forged = {stamps.SINCE: since}
    assert stamps.waited(forged, NOW) >= 0
    copy = stamps.again(forged, attempts=0, until=None, now=NOW)
    assert stamps.waited(copy, NOW + 5) >= 5 - 0.001


def test_message_id_of_a_request_depends_on_its_source_and_that_of_a_lifecycle_event_is_its_id() -> None:
    first = make_event(id="b/c", source="/a")
    second = make_event(id="c", source="/ab/")
    assert stamps.message_id(Kind.REQUESTS, first) != stamps.message_id(Kind.REQUESTS, second)
    assert stamps.message_id(Kind.LIFECYCLE, first) == "b/c"


@given(st.text(), st.text())
def test_message_ids_that_differ_stay_different_and_can_be_sent(first: str, second: str) -> None:
    for message_id in (first, second):
        sent = stamps.sendable(message_id)
        assert sent == sent.strip()
        assert sent.isascii()
        assert len(sent) <= 256
    assert (stamps.sendable(first) == stamps.sendable(second)) == (first == second)


@given(st.text(max_size=40))
def test_accepted_key_is_a_single_word_on_the_wire(key: str) -> None:
    if refusal(Topic(Kind.REPLY, key)) is None:
        assert key.split() == [key]
        assert not set(key) & set("*>\r\n\t ")
        assert all(key.split("."))


@given(st.lists(st.sampled_from(["a", "b", "*", "#", "a*", "+"]), min_size=1, max_size=4))
def test_patterns_select_by_parts(parts: list[str]) -> None:
    test = selects(".".join(parts))
    assert test(".".join(part if part not in ("*", "#") else "x" for part in parts))
    assert not test(".".join(["z", *parts]) if parts[0] not in ("*", "#") else "")
