"""Messages whose mode no header tells, that contradict themselves, or are no events. Each refusal says what to do."""

from typing import Any

import pytest
from cloudevents.core.v1.event import CloudEvent

from events.cloudevent.binding import from_amqp, from_nats
from events.cloudevent.event import STRUCTURED, InvalidEvent

ATTRIBUTES = {"specversion": "1.0", "id": "e1", "source": "/tests", "type": "com.example.made"}
BODY = b'{"specversion":"1.0","id":"e1","source":"/tests","type":"com.example.made","data":{"a":1}}'


def on_nats(headers: dict[str, str], content_type: str | None, body: bytes, coding: str | None = None) -> CloudEvent:
    more = {"Content-Type": content_type, "Content-Encoding": coding}
    return from_nats(headers | {name: value for name, value in more.items() if value is not None}, body)


def on_amqp(headers: dict[str, str], content_type: str | None, body: bytes, coding: str | None = None) -> CloudEvent:
    return from_amqp(headers, content_type, body, coding=coding)


both = pytest.mark.parametrize("read", [on_nats, on_amqp])


def headers(prefix: str = "ce-", **changed: str | None) -> dict[str, str]:
    return {prefix + name: value for name, value in {**ATTRIBUTES, **changed}.items() if value is not None}


def refused(read: Any, *arguments: Any) -> InvalidEvent:
    with pytest.raises(InvalidEvent) as caught:
        read(*arguments)
    return caught.value


@both
@pytest.mark.parametrize("content_type", [None, "text/plain", "application/json", "application/octet-stream", ""])
def test_json_with_a_specversion_and_no_attribute_in_headers_is_structured(read: Any, content_type: str | None) -> None:
    event = read({"x-other": "1"}, content_type, BODY)
    assert (event.get_id(), event.get_data()) == ("e1", {"a": 1})


@both
@pytest.mark.parametrize(
    ("content_type", "said"),
    [
        ("application/json", " (content type application/json)"),
        ("Application/JSON; charset=utf-8", " (content type application/json)"),
        (None, " (without a content type)"),
    ],
)
def test_json_without_a_specversion_is_no_event(read: Any, content_type: str | None, said: str) -> None:
    error = refused(read, {}, content_type, b'{"id":"1","credentials":{"password":"x"}}')
    assert error.reason == f"no specversion, and no ce- headers: this is no CloudEvent{said}"
    assert error.attributes == {"id": "1"}


@both
def test_an_event_that_lacks_more_than_its_specversion_is_told_all(read: Any) -> None:
    error = refused(read, {}, None, b'{"id":7,"source":"/tests","type":"t"}')
    assert "no specversion" in error.reason
    assert "attribute id must be text, not a number" in error.reason


@both
def test_what_is_not_json_is_no_event_either(read: Any) -> None:
    error = refused(read, {}, "text/plain", b"hello")
    assert error.reason.startswith("the body is not JSON: ")
    assert error.reason.endswith(", and no ce- headers: this is no CloudEvent (content type text/plain)")


@both
@pytest.mark.parametrize("body", [b"[]", b"[1]"])
def test_a_list_without_headers_is_a_batch(read: Any, body: bytes) -> None:
    assert "batch" in refused(read, {}, None, body).reason


@both
def test_a_header_that_repeats_an_attribute_must_say_the_same(read: Any) -> None:
    assert read(headers(time="2026-11-21T12:00:00Z"), STRUCTURED, BODY).get_id() == "e1"
    error = refused(read, headers(id="e2"), STRUCTURED, BODY)
    assert "attribute id in its header and in the body" in error.reason
    assert STRUCTURED in error.reason
    assert "id" not in error.attributes


@both
@pytest.mark.parametrize(("inside", "outside"), [("5", "5"), ("true", "true"), ('"2026-11-21T12:00:00Z"', None)])
def test_a_repeated_attribute_may_be_written_in_another_way(read: Any, inside: str, outside: str | None) -> None:
    name = "time" if outside is None else "myext"
    body = BODY[:-1] + f',"{name}":{inside}}}'.encode()
    assert read(headers(**{name: outside or "2026-11-21T13:00:00.0+01:00"}), STRUCTURED, body).get_id() == "e1"


@both
def test_one_attribute_in_headers_and_a_structured_body_contradict_each_other(read: Any) -> None:
    error = refused(read, {"ce-traceparent": "00-x"}, "application/json", BODY)
    assert "the headers (ce-traceparent) say that this is a binary event" in error.reason
    assert "its body is a structured event (content type application/json)" in error.reason


@both
def test_all_attributes_in_headers_around_another_event_are_a_binary_event(read: Any) -> None:
    event = read(headers(id="outer"), "application/json", BODY)
    assert (event.get_id(), event.get_data()["id"]) == ("outer", "e1")


@both
@pytest.mark.parametrize("coding", ["gzip", "GZIP", "deflate", "br"])
def test_a_coded_body_is_refused_by_the_name_of_its_coding(read: Any, coding: str) -> None:
    assert f"content_encoding {coding.lower()} is not supported" in refused(read, {}, None, BODY, coding).reason


@both
@pytest.mark.parametrize("coding", ["utf-8", "UTF-8", "identity", "binary", ""])
def test_a_coding_that_changes_nothing_is_no_reason(read: Any, coding: str) -> None:
    assert read({}, STRUCTURED, BODY, coding).get_id() == "e1"


@both
def test_other_codings_are_not_quoted(read: Any) -> None:
    assert "swordfish" not in refused(read, {}, None, BODY, "swordfish").reason


@both
def test_the_prefix_of_kafka_is_named(read: Any) -> None:
    error = refused(read, headers("Ce_"), "application/json", b"{}")
    assert "the prefix of 'ce_specversion', 'ce_id', 'ce_source' is Kafka's" in error.reason
    assert "the prefix ce-" in error.reason


def test_the_prefix_of_amqp_is_named_on_nats() -> None:
    assert "is AMQP's" in refused(on_nats, headers("cloudEvents:"), "application/json", b"{}").reason


@both
def test_json_data_in_another_charset_than_utf_8_are_refused(read: Any) -> None:
    body = '{"a":"ä"}'.encode("utf-16-le")
    assert "utf-16" in refused(read, headers(), "application/json; charset=utf-16", body).reason
    assert read(headers(), "application/json; charset=iso-8859-1", b'{"a":1}').get_data() == {"a": 1}


@both
def test_all_mistakes_of_headers_are_told_at_once(read: Any) -> None:
    error = refused(read, {**headers(id=None, specversion="2"), "ce-time": "now", "ce-My_Ext": "x"}, None, b"")
    assert [mistake.name for mistake in error.mistakes] == ["specversion", "time", "'my_ext'", "id"]


def test_all_mistakes_of_encoding_are_told_with_the_others() -> None:
    error = refused(on_nats, headers(id="\ufffdc1", subject="100%", type=None), None, b"")
    assert {mistake.name: mistake.message for mistake in error.mistakes} == {
        "id": "is not UTF-8 in its header: percent-encode it",
        "subject": "has a % that begins no escape in its header (a percent sign is written %25)",
        "type": "is missing",
    }
    assert error.attributes == {"source": "/tests"}


def test_a_replacement_character_that_was_sent_as_such_is_no_mistake() -> None:
    assert on_nats(headers(id="%EF%BF%BD"), None, b"").get_id() == "\ufffd"


@both
def test_attributes_in_headers_without_a_prefix_are_named(read: Any) -> None:
    error = refused(read, headers("", id="e1"), "application/json", b"{}")
    assert "the headers 'specversion', 'id', 'source' have no prefix" in error.reason


@both
def test_other_headers_of_such_names_are_not(read: Any) -> None:
    assert "prefix of" not in refused(read, {"id": "1", "type": "x"}, "application/json", b"{}").reason


def test_a_structured_event_may_be_declared_where_the_type_of_data_stands() -> None:
    event = on_amqp({"cloudEvents_datacontenttype": STRUCTURED}, "application/octet-stream", BODY)
    assert (event.get_id(), event.get_data()) == ("e1", {"a": 1})
    with pytest.raises(InvalidEvent):
        on_amqp({"ce-datacontenttype": STRUCTURED, "ce-id": "e1"}, None, BODY)


@both
def test_a_time_that_is_a_number_is_told_what_a_time_is(read: Any) -> None:
    error = refused(read, {}, None, BODY.replace(b'"data"', b'"time":1795262400000,"data"'))
    assert "must be an RFC 3339 timestamp such as 2026-01-31T12:00:00Z, not a number" in error.reason


def test_a_header_that_cannot_be_read_differs_from_the_body_of_a_structured_event() -> None:
    error = refused(on_nats, {"ce-subject": "%zz"}, STRUCTURED, BODY)
    assert "attribute subject in its header and in the body" in error.reason
