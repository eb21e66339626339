"""The AMQP 0.9.1 binding: the prefixes that clients use, values of several types, a content type beside the headers."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, strategies as st

from events.cloudevent.binding import from_amqp, to_amqp
from events.cloudevent.event import STRUCTURED, InvalidEvent, encode_structured
from tests.events.samples import make_event

ATTRIBUTES = {"specversion": "1.0", "id": "e1", "source": "/tests", "type": "com.example.made"}
BODY = encode_structured(make_event({"a": 1}))
PREFIXES = ["ce-", "cloudEvents:", "cloudEvents_", "CE-", "CLOUDEVENTS:", "cloudevents_"]


def binary(prefix: str = "ce-", **more: object) -> dict[str, object]:
    return {prefix + name: value for name, value in {**ATTRIBUTES, **more}.items()}


def refusal(headers: dict[str, object], content_type: str | None = None, body: bytes = b"") -> InvalidEvent:
    with pytest.raises(InvalidEvent) as caught:
        from_amqp(headers, content_type, body)
    return caught.value


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("case", [str, str.title])
def test_attributes_are_headers_with_any_prefix_in_any_case(prefix: str, case: Any) -> None:
    headers = {prefix + case(name): value for name, value in ATTRIBUTES.items()}
    assert from_amqp(headers, None, b"").get_attributes() == ATTRIBUTES


@pytest.mark.parametrize("content_type", [STRUCTURED, "Application/CloudEvents+JSON; charset=utf-8"])
def test_content_type_of_cloudevents_makes_a_message_structured(content_type: str) -> None:
    event = from_amqp(binary(myext="of the header alone"), content_type, BODY)
    assert (event.get_id(), event.get_data()) == ("e1", {"a": 1})


@pytest.mark.parametrize("headers", [None, {}, {"other": 1}, {"content-type": STRUCTURED}, {"Content-Type": ""}])
def test_without_content_type_or_with_it_in_a_header_a_message_is_structured(headers: dict[str, object] | None) -> None:
    assert from_amqp(headers, None, BODY).get_id() == "e1"


def test_batch_and_other_formats_are_refused() -> None:
    assert "batch" in refusal({}, "application/cloudevents-batch+json", b"[]").reason
    assert "avro" in refusal({}, "application/cloudevents+avro", BODY).reason


def test_content_type_of_the_data_replaces_a_missing_datacontenttype() -> None:
    event = from_amqp(binary(), "application/json", b'{"a":1}')
    assert (event.get_data(), event.get_datacontenttype()) == ({"a": 1}, "application/json")
    assert from_amqp(binary(), "text/plain", b"1").get_data() == b"1"
    assert from_amqp(binary(datacontenttype="text/plain"), "application/json", b"1").get_data() == b"1"


def test_refusal_of_json_that_does_not_parse_keeps_the_attributes_that_identify_the_event() -> None:
    assert refusal(binary(), "application/json", b"{").attributes["id"] == "e1"


def test_values_are_not_percent_decoded() -> None:
    assert from_amqp(binary(subject="50%25 ü"), None, b"").get_subject() == "50%25 ü"


def test_values_keep_their_types_and_null_means_absent() -> None:
    noon = datetime(2026, 11, 21, 12, tzinfo=UTC)
    headers = binary(time=noon, flag=True, number=5, expirytime=noon, subject=None, text=bytearray("ü".encode()))
    event = from_amqp(headers, None, b"")
    assert event.get_time() == noon
    assert (event.get_extension("flag"), event.get_extension("number")) == (True, 5)
    assert (event.get_extension("expirytime"), event.get_extension("text")) == ("2026-11-21T12:00:00Z", "ü")
    assert event.get_subject() is None


@pytest.mark.parametrize("value", [1 << 40, 1.5, [1], {"a": 1}, bytearray(b"\xff"), "a\nb"])
def test_value_that_no_attribute_can_have_is_refused(value: object) -> None:
    assert "myext" in refusal(binary(myext=value)).reason


@pytest.mark.parametrize("name", list(ATTRIBUTES))
def test_missing_attribute_is_refused(name: str) -> None:
    headers = {key: value for key, value in binary().items() if key != f"ce-{name}"}
    assert name in refusal(headers).reason


def test_attribute_under_two_prefixes_must_have_equal_values() -> None:
    assert from_amqp(binary() | binary("cloudEvents:"), None, b"").get_id() == "e1"
    error = refusal(binary() | {"cloudEvents_id": "other"})
    assert "twice" in error.reason
    assert error.attributes["source"] == "/tests"


def test_encoded_event_decodes_to_the_same_event() -> None:
    event = make_event({"a": [1]}, subject="ü", time="2026-11-21T12:00:00Z", myext=5)
    content_type, body = to_amqp(event)
    again = from_amqp({}, content_type, body)
    assert content_type == STRUCTURED
    assert again.get_attributes() == event.get_attributes()
    assert again.get_data() == event.get_data()


names = st.sampled_from([*binary(), "cloudEvents:time", "ce-datacontenttype", "CE_ID"]) | st.text(max_size=5)
values = (
    st.sampled_from([*ATTRIBUTES.values(), "application/json", STRUCTURED])
    | st.text(max_size=10)
    | st.booleans()
    | st.integers()
    | st.none()
    | st.datetimes()
    | st.binary(max_size=5)
)


@given(st.dictionaries(names, values), st.none() | st.text(max_size=30), st.binary(max_size=20) | st.just(BODY))
def test_any_headers_and_body_decode_or_are_refused(
    headers: dict[str, object], content_type: str | None, body: bytes
) -> None:
    event: Any
    try:
        event = from_amqp(headers, content_type, body)
    except InvalidEvent as error:
        event = error
    assert event.reason if isinstance(event, InvalidEvent) else json.loads(encode_structured(event))
