"""What was sent stays as it was sent: the document, the data's numbers, the time's digits."""

import base64
import json
from typing import Any

import orjson
import pytest
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given, strategies as st

from events.cloudevent.binding import from_amqp, from_nats
from events.cloudevent.event import decode_structured, encode_structured
from events.cloudevent.timestamp import in_utc, parse_time
from events.cloudevent.values import UnreadableData, attribute_text, data_as_written, data_bytes
from events.jobs.context import in_trace
from tests.events.samples import make_event

BINARY = {"ce-specversion": "1.0", "ce-id": "e1", "ce-source": "/tests", "ce-type": "com.example.made"}
HEAD = b'{ "specversion":"1.0","id":"e1","source":"/tests","type":"com.example.made"'


def structured(rest: bytes) -> CloudEvent:
    return decode_structured(HEAD + rest + b"}")


def binary(body: bytes, content_type: str | None = None, **attributes: str) -> CloudEvent:
    more = {f"ce-{name}": value for name, value in attributes.items()}
    return from_nats(BINARY | more | ({"Content-Type": content_type} if content_type else {}), body)


@pytest.mark.parametrize(
    "rest",
    [
        b',"time":"2026-11-21T12:00:31.3062901Z"',
        b',\n  "data" : {"b": 1.10, "a": 123456789012345678901234567890}\n',
        b',"myext":null,"data":null',
        b',"data":"\\u00e4\\/"',
        b',"data":1,"data":2',
    ],
)
def test_structured_event_is_the_bytes_that_were_sent(rest: bytes) -> None:
    assert encode_structured(structured(rest)) == HEAD + rest + b"}"


def test_binary_event_has_its_data_as_they_were_sent_and_its_attributes_too() -> None:
    body = b' {"b": 1.10,\n"a": 18446744073709551616, "text": "\\u00e4"} '
    event = binary(body, "application/json", time="2026-11-21T13:00:31.3062901%2B01:00")
    document = encode_structured(event)
    assert document.endswith(b',"data":' + body + b"}")
    assert json.loads(document)["time"] == "2026-11-21T13:00:31.3062901+01:00"
    assert json.loads(document)["datacontenttype"] == "application/json"


def test_typed_attributes_of_amqp_keep_their_types() -> None:
    headers = {**BINARY, "ce-flag": True, "ce-number": 5, "ce-none": None}
    document = json.loads(encode_structured(from_amqp(headers, None, b"")))
    assert (document["flag"], document["number"]) == (True, 5)
    assert not {"none", "data"} & set(document)


def test_body_that_is_not_json_is_base64_in_the_document() -> None:
    document = json.loads(encode_structured(binary(b"\x00\xff", "application/avro")))
    assert base64.b64decode(document["data_base64"]) == b"\x00\xff"
    assert "data" not in document


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(json_values, st.sampled_from([None, 2]), st.booleans())
def test_any_json_data_are_the_bytes_that_were_sent(data: object, indent: int | None, escaped: bool) -> None:
    try:
        body = json.dumps(data, indent=indent, ensure_ascii=escaped).encode()
        orjson.loads(body)
    except (UnicodeEncodeError, orjson.JSONDecodeError):
        return  # A lone surrogate, or an integer that no double comes near to.
    assert encode_structured(binary(body, "application/json")).endswith(b'"data":' + body + b"}")
    assert encode_structured(structured(b',"data":' + body)) == HEAD + b',"data":' + body + b"}"


@pytest.mark.parametrize("number", [b"1e400", b"-1E+999", b"1" + b"0" * 400])
def test_a_number_beyond_doubles_is_a_number(number: bytes) -> None:
    for event in (binary(b"[" + number + b"]", "application/json"), structured(b',"data":[' + number + b"]")):
        assert b'"data":[' + number + b"]" in encode_structured(event)
        assert orjson.dumps(data_as_written(event)) == data_bytes(event) == b"[" + number + b"]"


def test_data_are_read_with_their_numbers_as_written() -> None:
    body = b'{"a":[1.10,18446744073709551616],"b":"x"}'
    for event in (binary(body, "application/json"), structured(b',"data":' + body), encoded(body)):
        assert orjson.dumps(data_as_written(event)) == body


def encoded(body: bytes) -> CloudEvent:
    return structured(b',"data_base64":"' + base64.b64encode(body) + b'"')


def test_canonical_data_tell_numbers_apart_that_a_double_cannot() -> None:
    one, two = (structured(b',"data":{"n":%d}' % number) for number in (2**70, 2**70 + 1))
    assert data_bytes(one) != data_bytes(two)
    assert data_bytes(in_trace(one, {"traceparent": "00-1"})) == data_bytes(one)
    same = binary(b'{"n": 1180591620717411303424}', "application/json")
    assert data_bytes(same) == data_bytes(one)


def test_canonical_data_are_the_same_however_a_number_is_written() -> None:
    forms = (b"1.5", b"1.50", b"15e-1")
    assert len({data_bytes(structured(b',"data":{"n":' + form + b"}")) for form in forms}) == 1


@pytest.mark.parametrize(
    ("content_type", "body", "text"),
    [
        ("text/plain", "käse".encode(), "käse"),
        ("text/plain; charset=iso-8859-1", "käse".encode("latin-1"), "käse"),
        ("application/xml", b"<a/>", "<a/>"),
        ("image/svg+xml", b"<svg/>", "<svg/>"),
        (None, b"plain words", "plain words"),
        (None, b'{"a":1}', {"a": 1}),
        (None, b"\xc3\xa4", "ä"),
        ("application/json", b'"words"', "words"),
        ("text/plain", b'{"a":1}', '{"a":1}'),
    ],
)
def test_text_that_came_as_bytes_is_text(content_type: str | None, body: bytes, text: object) -> None:
    assert data_as_written(binary(body, content_type)) == text
    said = b"" if content_type is None else b',"datacontenttype":"%s"' % content_type.encode()
    assert data_as_written(structured(said + b',"data_base64":"' + base64.b64encode(body) + b'"')) == text


@pytest.mark.parametrize(
    ("content_type", "body", "reason"),
    [
        ("application/avro", b"123456789012", "12 bytes of application/avro"),
        ("Application/Octet-Stream; x=y", b"1", "1 bytes of application/octet-stream"),
        ("text/plain", b"\xff", "1 bytes of text/plain, not UTF-8"),
        ("text/plain; charset=rot13", b"x", "1 bytes of text/plain, in a charset that is not known"),
        (None, b"\xff\xfe", "2 bytes of unknown type, not UTF-8"),
    ],
)
def test_what_is_no_text_is_named(content_type: str | None, body: bytes, reason: str) -> None:
    with pytest.raises(UnreadableData, match=f"^{reason}$"):
        data_as_written(binary(body, content_type))


def test_bytes_that_are_said_to_be_json_and_are_not_are_named() -> None:
    event: Any = structured(b',"datacontenttype":"application/json","data_base64":"' + base64.b64encode(b"{") + b'"')
    with pytest.raises(UnreadableData, match="1 bytes of application/json that are not JSON"):
        data_as_written(event)


@pytest.mark.parametrize(
    ("sent", "utc"),
    [
        ("2026-11-22T10:00:00Z", "2026-11-22T10:00:00Z"),
        ("2026-11-22T11:30:00+01:30", "2026-11-22T10:00:00Z"),
        ("2026-11-22t10:00:00.000z", "2026-11-22T10:00:00Z"),
        ("2026-01-01T00:30:31.3062901+01:00", "2025-12-31T23:30:31.3062901Z"),
        ("2026-11-22T10:00:00-00:00", "2026-11-22T10:00:00Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
    ],
)
def test_time_is_in_utc_whatever_offset_it_came_with(sent: str, utc: str) -> None:
    assert in_utc(sent) == utc
    assert attribute_text(structured(b',"time":"%s"' % sent.encode()), "time") == utc
    assert attribute_text(make_event(time=parse_time("2026-11-22T11:30:00+01:30")), "time") == "2026-11-22T10:00:00Z"


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00", "2026-11-21T24:00:00Z"])
def test_a_time_that_utc_does_not_have_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no"):
        parse_time(text)
