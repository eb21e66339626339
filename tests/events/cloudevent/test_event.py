"""The strict codec: it refuses events that the SDK's decoder would accept or complete."""

import json
import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given, strategies as st

from events.cloudevent.attributes import MAX_MISTAKES, MAX_NAME, MAX_VALUE, REQUIRED, shown
from events.cloudevent.content import is_json
from events.cloudevent.event import (
    MAX_DEPTH,
    InvalidEvent,
    build,
    decode_structured,
    encode_structured,
    expired,
)
from events.cloudevent.values import data_bytes
from tests.events.samples import NOON, make_event

MINIMAL: dict[str, Any] = {"specversion": "1.0", "id": "e1", "source": "/tests", "type": "com.example.made"}


def decode(**members: object) -> Any:
    return decode_structured(json.dumps(MINIMAL | members).encode())


def refusal(body: bytes) -> InvalidEvent:
    with pytest.raises(InvalidEvent) as caught:
        decode_structured(body)
    return caught.value


def refusal_of(**members: object) -> InvalidEvent:
    return refusal(json.dumps(MINIMAL | members).encode())


def test_smallest_event_has_nothing_invented() -> None:
    event = decode()
    assert event.get_attributes() == MINIMAL
    assert event.get_data() is None


@pytest.mark.parametrize("name", [*REQUIRED, "specversion"])
def test_missing_required_attribute_is_refused_not_invented(name: str) -> None:
    without = {key: value for key, value in MINIMAL.items() if key != name}
    assert refusal(orjson.dumps(without)).reason == f"attribute {name} is missing"


@pytest.mark.parametrize("name", REQUIRED)
@pytest.mark.parametrize("value", ["", 5, True, None, ["x"], {"x": 1}, 1.5])
def test_required_attribute_must_be_text(name: str, value: object) -> None:
    assert name in refusal_of(**{name: value}).reason


def test_null_attributes_are_absent() -> None:
    event = decode(
        time=None, subject=None, datacontenttype=None, dataschema=None, myext=None, data=None, data_base64=None
    )
    assert event.get_attributes() == MINIMAL
    assert event.get_data() is None


@pytest.mark.parametrize("version", ["0.3", "1.1", "", 1, 1.0, True])
def test_unknown_specversion_is_refused(version: object) -> None:
    assert "specversion" in refusal_of(specversion=version).reason


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not UTF-8, but UTF-16"),
        (b'{"id":"\xff"}', "not UTF-8"),
        (b"\x1f\x8b\x08\x00", "compressed with gzip"),
        (b'{"id":"\\ud800"}', "not JSON"),
        (b"\xef\xbb\xbf{}", "begins with a byte order mark"),
        (b'{"specversion":"1.0","id":"e1","source":"/t","type":"t","data":NaN}', "not JSON"),
        (b'{"specversion":"1.0","id":"e1","source":"/t","type":"t","data":[1e999,NaN]}', "JSON cannot say"),
        (b'{"specversion":"1.0","id":"e1","source":"/t","type":"t","data":[1e999,"\\ud800"]}', "surrogate"),
        (b'{"specversion":"1.0","id":"e1","source":"/t","type":"t","data":[1e999' + b"[" * 99_999, "not JSON"),
        (b"null", "no object"),
        (b'"text"', "no object"),
        (b"7", "no object"),
        (b"[]", "batch"),
        (b'[{"specversion":"1.0"}]', "batch"),
    ],
)
def test_body_that_is_no_single_json_object_is_refused(body: bytes, reason: str) -> None:
    assert reason in refusal(body).reason


@pytest.mark.parametrize("name", ["myExt", "my-ext", "my_ext", "ext\n", "", "ä", "x" * (MAX_NAME + 1)])
def test_attribute_name_outside_a_to_z_and_digits_is_refused(name: str) -> None:
    error = refusal_of(**{name: "x"})
    assert "must have a name of a-z and 0-9" in error.reason
    assert [mistake.name for mistake in error.mistakes] == [shown(name)]


@pytest.mark.parametrize("name", ["myExt", "my-ext", "my_ext", "My.Ext"])
def test_a_name_that_could_be_meant_is_proposed(name: str) -> None:
    assert refusal_of(**{name: "x"}).reason.endswith(", such as myext")


def test_longest_attribute_name_is_accepted() -> None:
    assert decode(**{"x" * MAX_NAME: "y"}).get_extension("x" * MAX_NAME) == "y"


@pytest.mark.parametrize("value", ["x", "", "käse", True, False, 0, 2**31 - 1, -(2**31)])
def test_extension_keeps_its_type(value: object) -> None:
    found = decode(myext=value).get_extension("myext")
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("value", [1.0, 1.5, 2**31, -(2**31) - 1, 2**70, [], ["x"], {}, {"a": "b"}])
def test_extension_of_another_type_is_refused(value: object) -> None:
    assert "myext" in refusal_of(myext=value).reason


@pytest.mark.parametrize("character", ["\x00", "\n", "\x1f", "\x7f", "\x85", "\ufffe", "\ufdd0", "\U0001ffff"])
@pytest.mark.parametrize("name", ["id", "subject", "myext"])
def test_forbidden_character_in_an_attribute_is_refused(name: str, character: str) -> None:
    assert name in refusal_of(**{name: f"a{character}b"}).reason


def test_attribute_longer_than_the_limit_is_refused() -> None:
    assert decode(subject="x" * MAX_VALUE).get_subject() == "x" * MAX_VALUE
    for text in ("x" * (MAX_VALUE + 1), "ä" * (MAX_VALUE // 2 + 1)):
        assert "longer than" in refusal_of(subject=text).reason


@pytest.mark.parametrize("source", ["/a b", "a\tb", "<x>", "a|b", "a\\b", "%zz", "%4", "a#b#c", "a^b", "`"])
def test_source_that_is_no_uri_reference_is_refused(source: str) -> None:
    assert "source" in refusal_of(source=source).reason


@pytest.mark.parametrize("source", ["/", "urn:x:y", "mailto:a@b.c", "https://a/b?c=d#e", "%20", "#x", "/käse", "a[1]"])
def test_source_may_be_any_uri_reference(source: str) -> None:
    assert decode(source=source).get_source() == source


@pytest.mark.parametrize("schema", ["#", "", "/relative", "no scheme:", "https://example.com/s"])
def test_dataschema_is_passed_on_as_it_came(schema: str) -> None:
    event = decode(dataschema=schema)
    assert event.get_dataschema() == schema
    assert orjson.loads(encode_structured(event))["dataschema"] == schema


@pytest.mark.parametrize("content_type", ["json", "a/", "/b", "a b/c", "application/json;\n", 5])
def test_datacontenttype_must_be_a_media_type(content_type: object) -> None:
    assert "datacontenttype" in refusal_of(datacontenttype=content_type).reason
    assert decode(datacontenttype="Application/JSON; charset=utf-8").get_datacontenttype()


def test_empty_subject_is_passed_on() -> None:
    assert decode(subject="").get_subject() == ""


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-21T12:00:00Z", datetime(2026, 11, 21, 12, tzinfo=UTC)),
        ("2026-11-21t12:00:00z", datetime(2026, 11, 21, 12, tzinfo=UTC)),
        ("2026-11-21T12:00:00.123456789Z", datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=UTC)),
        ("2026-11-21T12:00:00.5+01:30", datetime(2026, 11, 21, 10, 30, 0, 500000, tzinfo=UTC)),
        ("2016-12-31T23:59:60Z", datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_time_is_rfc_3339(text: str, moment: datetime) -> None:
    assert decode(time=text).get_time() == moment


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-11-21",
        "2026-11-21T12:00:00",
        "2026-11-21 12:00:00Z",
        "20261121T120000Z",
        "2026-W47-6T12:00:00Z",
        "2026-02-30T12:00:00Z",
        "2026-11-21T24:00:00Z",
        "2026-11-21T12:00Z",
        "2026-11-21T12:00:00.Z",
        "2026-11-21T12:00:00+24:00",
        "2026-11-21T12:00:00+0100",
        "٢٠٢٦-11-21T12:00:00Z",
        "0000-01-01T00:00:00Z",
        1795262400,
        True,
    ],
)
@pytest.mark.parametrize("name", ["time", "expirytime"])
def test_time_that_is_not_rfc_3339_is_refused(name: str, text: object) -> None:
    assert name in refusal_of(**{name: text}).reason


@pytest.mark.parametrize("data", [{"a": [1]}, [1, "a", None], "text", 5, 1.5, True, False, 0, "", {}, []])
def test_json_data_is_kept_as_it_is(data: object) -> None:
    found = decode(data=data).get_data()
    assert (found, type(found)) == (data, type(data))


def test_base64_data_becomes_bytes() -> None:
    assert decode(data_base64="AP+A").get_data() == b"\x00\xff\x80"
    assert decode(data_base64="").get_data() == b""


@pytest.mark.parametrize("encoded", ["###", "AP+", "AP+A\n", "AP-A", "ä", 5, ["AP+A"]])
def test_invalid_base64_is_refused(encoded: object) -> None:
    assert "data_base64" in refusal_of(data_base64=encoded).reason


def test_data_and_data_base64_together_are_refused() -> None:
    assert "both" in refusal_of(data=1, data_base64="AA==").reason


@pytest.mark.parametrize("depth", [MAX_DEPTH, 200, 500, 1000, 100_000])
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_deep_nesting_is_refused_wherever_it_is(depth: int, opening: bytes, closing: bytes) -> None:
    deep = opening * depth + b"1" + closing * depth
    assert refusal(orjson.dumps(MINIMAL)[:-1] + b',"data":' + deep + b"}").reason
    assert refusal(orjson.dumps(MINIMAL)[:-1] + b',"myext":' + deep + b"}").reason
    assert refusal(deep).reason


def test_deepest_data_that_is_accepted_can_be_encoded_again() -> None:
    deep = b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1)
    event = decode_structured(orjson.dumps(MINIMAL)[:-1] + b',"data":' + deep + b"}")
    assert deep in encode_structured(event)


def test_many_brackets_are_not_mistaken_for_depth() -> None:
    assert decode(data=["[{"] * 500, myext="x").get_data() == ["[{"] * 500


def test_last_of_duplicate_keys_counts() -> None:
    body = b'{"specversion":"1.0","id":"first","source":"/t","type":"t","id":"last"}'
    assert decode_structured(body).get_id() == "last"


def test_refusal_carries_what_identifies_the_event() -> None:
    error = refusal_of(subject="s", time="yesterday")
    assert error.attributes == {"id": "e1", "source": "/tests", "type": "com.example.made", "subject": "s"}


def test_refusal_carries_only_attributes_that_are_valid() -> None:
    error = refusal(orjson.dumps({"id": "a\nb", "source": "/a b", "type": "t", "subject": ["x"]}))
    assert error.attributes == {"type": "t"}


def test_refusal_of_data_still_identifies_the_event() -> None:
    assert refusal_of(data_base64="###").attributes["id"] == "e1"
    assert refusal_of(data=json.loads("[" * 150 + "]" * 150)).attributes["id"] == "e1"


def test_all_mistakes_are_told_at_once() -> None:
    error = refusal_of(specversion=1.0, id=17, source="/a b", type="", time="2026-11-21T12:00:00", credentials={"a": 1})
    assert {mistake.name: mistake.message for mistake in error.mistakes} == {
        "specversion": 'must be the text "1.0", not a number',
        "id": "must be text, not a number",
        "source": "is no URI reference: it holds a character that has to be escaped (a space is written %20)",
        "type": "must not be empty",
        "time": "is not an RFC 3339 timestamp such as 2026-01-31T12:00:00Z: its offset from UTC is missing",
        "credentials": "must be text, a boolean or an integer of 32 bits, not an object",
    }
    assert error.reason == "; ".join(map(str, error.mistakes))


def test_many_mistakes_are_cut() -> None:
    error = refusal_of(**{f"X-{number}": "" for number in range(MAX_MISTAKES + 5)})
    assert len(error.mistakes) == MAX_MISTAKES
    assert error.reason.endswith("; and 5 more")


SECRET = "correct horse"


@pytest.mark.parametrize("name", [*MINIMAL, "subject", "time", "expirytime", "datacontenttype", "myext", "X-Ext"])
@pytest.mark.parametrize(
    "value", [SECRET, f"\x00{SECRET}", [SECRET], {"password": SECRET}, f"{SECRET}; charset={SECRET}"]
)
def test_no_value_is_quoted(name: str, value: object) -> None:
    lacking = "type" if name == "id" else "id"
    error = refusal_of(**{name: value, lacking: None})
    assert SECRET not in error.reason
    assert SECRET not in str(error.mistakes)


def test_build_does_not_modify_its_arguments() -> None:
    attributes = dict(MINIMAL)
    event = build(attributes, {"a": 1})
    assert attributes == MINIMAL == event.get_attributes()
    assert event.get_attributes() is not attributes


@pytest.mark.parametrize("name", [*REQUIRED, "specversion"])
def test_build_invents_nothing(name: str) -> None:
    with pytest.raises(InvalidEvent, match=name):
        build({key: value for key, value in MINIMAL.items() if key != name})


@pytest.mark.parametrize("name", ["data", "Data", "data_base64"])
def test_data_is_no_attribute(name: str) -> None:
    with pytest.raises(InvalidEvent):
        build(MINIMAL | {name: "x"})


@pytest.mark.parametrize(
    "data",
    [math.nan, math.inf, {"a": [math.nan]}, {1: 2}, {"a": {"b"}}, object(), "\ud800", {"\ud800": 1}, 2**64, [b""]],
)
def test_build_refuses_data_that_json_cannot_represent(data: object) -> None:
    with pytest.raises(InvalidEvent, match="data"):
        build(MINIMAL, data)


def test_build_refuses_cyclic_data() -> None:
    cyclic: list[object] = []
    cyclic.append(cyclic)
    with pytest.raises(InvalidEvent, match="nested"):
        build(MINIMAL, cyclic)


def test_build_accepts_times_as_datetime_and_as_text() -> None:
    moment = datetime(2026, 11, 21, 13, tzinfo=timezone(timedelta(hours=1)))
    event = build(MINIMAL | {"time": moment, "expirytime": moment})
    assert event.get_time() == moment
    assert event.get_extension("expirytime") == "2026-11-21T13:00:00+01:00"
    assert build(MINIMAL | {"time": "2026-11-21T13:00:00+01:00"}).get_time() == moment


def test_build_refuses_a_time_without_offset() -> None:
    with pytest.raises(InvalidEvent, match="offset"):
        build(MINIMAL | {"time": datetime(2026, 11, 21)})


def test_event_is_expired_from_its_expirytime_on() -> None:
    event = make_event(expirytime="2026-11-21T13:00:00+01:00")
    assert not expired(event, NOON - 1)
    assert expired(event, NOON)
    assert not expired(make_event(), NOON)


def test_sdk_reads_an_encoded_event() -> None:
    event = make_event({"a": [1, None]}, time="2026-11-21T12:00:00.5Z", subject="s", datacontenttype="application/json")
    read = JSONFormat().read(None, encode_structured(event))
    assert read.get_attributes() == event.get_attributes()
    assert read.get_data() == {"a": [1, None]}


def test_bytes_are_encoded_as_base64_and_absent_data_stays_absent() -> None:
    assert orjson.loads(encode_structured(make_event(b"\x00")))["data_base64"] == "AA=="
    assert orjson.loads(encode_structured(make_event())) == MINIMAL


def test_data_bytes_are_the_same_for_the_same_data() -> None:
    assert data_bytes(make_event({"b": 1, "a": {"d": 2, "c": 3}})) == b'{"a":{"c":3,"d":2},"b":1}'
    assert data_bytes(make_event(b"\x00\xff")) == b"\x00\xff"
    assert data_bytes(make_event()) == b""
    assert data_bytes(make_event("text")) == b'"text"'
    assert data_bytes(make_event("text", datacontenttype="text/plain")) == b"text"


@pytest.mark.parametrize(
    ("content_type", "json_data"),
    [
        (None, True),
        ("application/json", True),
        ("Application/JSON ; charset=utf-8", True),
        ("text/json", True),
        ("application/vnd.x+json", True),
        ("text/plain", False),
        ("application/jsonlines", False),
        ("json", False),
    ],
)
def test_json_media_types(content_type: str | None, json_data: bool) -> None:
    assert is_json(content_type) is json_data


texts = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn"]), min_size=1, max_size=20)
names = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=20).map(lambda name: f"x{name}")
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=3)
    ),
    max_leaves=8,
)
events = st.builds(
    build,
    st.fixed_dictionaries(
        {
            "specversion": st.just("1.0"),
            "id": texts,
            "source": st.from_regex(r"[a-z/:.-]+", fullmatch=True),
            "type": texts,
        },
        optional={"subject": texts, "time": st.datetimes(timezones=st.just(UTC))},
    ).flatmap(
        lambda fixed: st.dictionaries(names, texts | st.booleans() | st.integers(-5, 5), max_size=3).map(
            lambda more: more | fixed
        )
    ),
    json_values | st.binary(max_size=20),
)


def decoded(body: bytes) -> CloudEvent | InvalidEvent:
    """The event or its refusal; any other exception fails the test."""
    try:
        return decode_structured(body)
    except InvalidEvent as error:
        return error


@given(st.binary(max_size=200))
def test_any_bytes_decode_or_are_refused(body: bytes) -> None:
    event = decoded(body)
    assert event.reason if isinstance(event, InvalidEvent) else event.get_id()


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.dictionaries(
        st.sampled_from(
            [*MINIMAL, "subject", "time", "datacontenttype", "dataschema", "data", "data_base64", "expirytime"]
        )
        | st.text(max_size=5),
        anything | st.just("1.0"),
    )
)
def test_any_object_decodes_to_an_event_that_can_be_encoded_or_is_refused(document: dict[str, Any]) -> None:
    body = json.dumps(MINIMAL | document).encode()
    event = decoded(body)
    if isinstance(event, InvalidEvent):
        assert set(event.attributes) <= {"id", "source", "type", "subject"}
    else:
        assert decode_structured(encode_structured(event)).get_attributes() == event.get_attributes()


@given(events)
def test_encoded_and_decoded_event_is_the_same(event: Any) -> None:
    again = decode_structured(encode_structured(event))
    assert again.get_attributes() == event.get_attributes()
    assert again.get_data() == event.get_data()
    assert data_bytes(again) == data_bytes(event)
