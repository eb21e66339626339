"""The NATS binding: which mode a message is in, and what its headers say."""

import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, strategies as st

from events.cloudevent.binding import from_nats, to_nats
from events.cloudevent.event import STRUCTURED, InvalidEvent, encode_structured
from tests.events.samples import make_event

BINARY = {"ce-specversion": "1.0", "ce-id": "e1", "ce-source": "/tests", "ce-type": "com.example.made"}
BODY = encode_structured(make_event({"a": 1}))


def refusal(headers: dict[str, str] | None, body: bytes = b"") -> InvalidEvent:
    with pytest.raises(InvalidEvent) as caught:
        from_nats(headers, body)
    return caught.value


@pytest.mark.parametrize(
    "content_type",
    [
        STRUCTURED,
        "Application/CloudEvents+JSON",
        f"{STRUCTURED}; charset=utf-8",
        f'{STRUCTURED};charset="UTF-8"',
        "application/cloudevents",
    ],
)
@pytest.mark.parametrize("header", ["Content-Type", "content-type", "CONTENT-TYPE"])
def test_content_type_of_cloudevents_makes_a_message_structured(header: str, content_type: str) -> None:
    event = from_nats({header: content_type, "ce-id": "e1", "Nats-Msg-Id": "m1"}, BODY)
    assert event.get_id() == "e1"
    assert event.get_data() == {"a": 1}


@pytest.mark.parametrize("headers", [None, {}, {"Nats-Msg-Id": "m1"}])
def test_message_without_content_type_and_attributes_is_structured(headers: dict[str, str] | None) -> None:
    assert from_nats(headers, BODY).get_id() == "e1"


@pytest.mark.parametrize("content_type", ["application/cloudevents-batch+json", "application/cloudevents-batch"])
def test_batch_is_refused_with_a_message_that_says_so(content_type: str) -> None:
    assert "batch" in refusal({"Content-Type": content_type}, b"[]").reason


def test_array_in_structured_mode_is_refused_as_a_batch() -> None:
    assert "batch" in refusal({"Content-Type": STRUCTURED}, b"[" + BODY + b"]").reason


@pytest.mark.parametrize("content_type", ["application/cloudevents+avro", "application/cloudevents+xml"])
def test_formats_other_than_json_are_refused_by_name(content_type: str) -> None:
    assert content_type in refusal({"Content-Type": content_type}, BODY).reason


def test_charset_other_than_utf_8_is_refused() -> None:
    assert "latin1" in refusal({"Content-Type": f"{STRUCTURED}; charset=latin1"}, BODY).reason


@pytest.mark.parametrize("prefix", ["ce-", "CE-", "Ce-"])
def test_attributes_are_headers_in_any_case(prefix: str) -> None:
    headers = {prefix + name.removeprefix("ce-").title(): value for name, value in BINARY.items()}
    event = from_nats(headers, b"")
    assert event.get_attributes() == {"specversion": "1.0", "id": "e1", "source": "/tests", "type": "com.example.made"}
    assert event.get_data() is None


@pytest.mark.parametrize("name", list(BINARY))
def test_missing_attribute_is_refused_in_binary_mode_too(name: str) -> None:
    without = {key: value for key, value in BINARY.items() if key != name}
    assert name.removeprefix("ce-") in refusal(without).reason


def test_attribute_given_twice_is_refused() -> None:
    assert "twice" in refusal(BINARY | {"CE-ID": "other"}).reason
    assert "twice" in refusal({"Content-Type": STRUCTURED, "content-type": "text/plain"}, BODY).reason


def test_header_that_is_no_attribute_may_come_in_two_cases() -> None:
    assert from_nats(BINARY | {"X-A": "1", "x-a": "2"}, b"").get_id() == "e1"


def test_values_are_percent_decoded() -> None:
    event = from_nats(BINARY | {"ce-subject": "a%20b%22%25%C3%BC", "ce-myext": "ü%2B+"}, b"")
    assert event.get_subject() == 'a b"%ü'
    assert event.get_extension("myext") == "ü++"


@pytest.mark.parametrize("value", ["100%", "%zz", "%4", "%C3", "%FF", "%00", "a%0Ab", "\ud800"])
def test_value_that_does_not_decode_is_refused(value: str) -> None:
    assert "subject" in refusal(BINARY | {"ce-subject": value}).reason


def test_value_of_which_the_client_has_replaced_bytes_is_refused() -> None:
    assert "attribute subject is not UTF-8" in refusal(BINARY | {"ce-subject": "a\ufffd"}).reason


def test_refusal_of_a_header_keeps_the_attributes_that_identify_the_event() -> None:
    assert refusal(BINARY | {"ce-subject": "100%"}).attributes["id"] == "e1"


@pytest.mark.parametrize("name", ["ce-my_ext", "ce-", "ce-data", "ce-data_base64"])
def test_header_that_names_no_attribute_is_refused(name: str) -> None:
    assert refusal(BINARY | {name: "x"}).attributes["id"] == "e1"


def test_time_is_checked_in_binary_mode() -> None:
    assert "time" in refusal(BINARY | {"ce-time": "yesterday"}).reason


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=utf-8", "application/x+json"])
def test_json_body_is_parsed(content_type: str) -> None:
    event = from_nats(BINARY | {"ce-datacontenttype": quote(content_type)}, b'{"a": [1]}')
    assert event.get_data() == {"a": [1]}
    assert event.get_datacontenttype() == content_type


@pytest.mark.parametrize("body", [b"{", b"text", b"\xff", b"NaN", b"[" * 200 + b"]" * 200])
def test_json_body_that_does_not_parse_is_refused(body: bytes) -> None:
    error = refusal(BINARY | {"ce-datacontenttype": "application/json"}, body)
    assert error.attributes["id"] == "e1"


@pytest.mark.parametrize("content_type", ["application/octet-stream", "text/plain", None])
def test_body_that_is_not_json_stays_bytes(content_type: str | None) -> None:
    headers = BINARY | ({"ce-datacontenttype": content_type} if content_type else {})
    assert from_nats(headers, b'{"a":1}').get_data() == b'{"a":1}'


def test_content_type_header_replaces_a_missing_datacontenttype() -> None:
    event = from_nats(BINARY | {"Content-Type": "application/json"}, b'{"a":1}')
    assert event.get_data() == {"a": 1}
    both = BINARY | {"Content-Type": "application/json", "ce-datacontenttype": "text/plain"}
    assert from_nats(both, b"1").get_data() == b"1"


def test_encoded_event_decodes_to_the_same_event() -> None:
    event = make_event({"a": [1]}, subject="ü", time="2026-11-21T12:00:00Z", myext=5)
    headers, body = to_nats(event)
    again = from_nats(headers, body)
    assert headers == {"Content-Type": STRUCTURED}
    assert again.get_attributes() == event.get_attributes()
    assert again.get_data() == event.get_data()


header_names = st.sampled_from([*BINARY, "ce-time", "Content-Type", "ce-datacontenttype", "CE-ID"]) | st.text(
    max_size=5
)
values = st.sampled_from([*BINARY.values(), "application/json", STRUCTURED]) | st.text(max_size=10)


@given(st.dictionaries(header_names, values), st.binary(max_size=20) | st.just(BODY))
def test_any_headers_and_body_decode_or_are_refused(headers: dict[str, str], body: bytes) -> None:
    event: Any
    try:
        event = from_nats(headers, body)
    except InvalidEvent as error:
        event = error
    assert event.reason if isinstance(event, InvalidEvent) else json.loads(encode_structured(event))
