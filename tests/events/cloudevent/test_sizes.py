"""Messages that are larger than any event: nothing of them is read but who sent them."""

import tracemalloc
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from cloudevents.core.v1.event import CloudEvent

from events.cloudevent.attributes import MAX_VALUE
from events.cloudevent.binding import MAX_HEADERS, from_amqp, from_nats
from events.cloudevent.event import (
    MAX_ATTRIBUTES,
    MAX_DEPTH,
    MAX_KEPT,
    Arrived,
    InvalidEvent,
    TooLarge,
    decode_structured,
    encode_structured,
)
from events.cloudevent.glance import LOOKED_AT, names_in
from events.cloudevent.values import data_as_written, data_bytes


@pytest.mark.parametrize("prefix", ["{}", "X-{}"])
@pytest.mark.parametrize("mode", ["structured", "nats", "amqp"])
def test_an_event_of_too_many_attributes_is_refused_without_looking_at_each(mode: str, prefix: str) -> None:
    names = {"specversion": "1.0", "type": "a", "source": "/x", "id": "1"}
    many = names | {prefix.format(f"k{number}"): "1" for number in range(MAX_ATTRIBUTES)}
    with pytest.raises(InvalidEvent, match=f"more than {MAX_ATTRIBUTES} attributes") as caught:
        read(mode, many)
    assert caught.value.attributes == {"id": "1", "source": "/x", "type": "a"}
    assert caught.value.mistakes == ()


def read(mode: str, attributes: Mapping[str, str]) -> None:
    headers = {f"ce-{name}": value for name, value in attributes.items()}
    match mode:
        case "structured":
            decode_structured(orjson.dumps(attributes))
        case "nats":
            from_nats(headers, b"")
        case _:
            from_amqp(headers, None, b"")


def test_a_message_of_too_many_headers_is_refused() -> None:
    headers = {f"x{number}": "" for number in range(MAX_HEADERS + 1)}
    with pytest.raises(InvalidEvent, match="more than 1000 headers"):
        from_nats(headers, b"")
    with pytest.raises(InvalidEvent, match="more than 1000 headers"):
        from_amqp(headers, None, b"")


DATA = b'{"id":"r1","service":7,"more":[1]}'
BROKEN = b'{"specversion":"1.0","id":"e\\u0031","source":"/x","type":"dev.t","time":1,"data":' + DATA + b"}"
NAMED = {"id": "e1", "source": "/x", "type": "dev.t"}


def test_a_message_that_is_too_large_is_not_read_but_tells_who_it_is() -> None:
    with pytest.raises(TooLarge) as caught:
        from_nats({}, BROKEN, most=len(BROKEN) - 1)
    assert (caught.value.attributes, caught.value.structured, caught.value.size) == (NAMED, True, len(BROKEN))
    assert names_in(BROKEN, structured=True) == {"id": "r1"}
    with pytest.raises(TooLarge) as caught:
        from_amqp({f"ce-{name}": value for name, value in NAMED.items()}, "application/json", b"[" * 99, most=98)
    assert (caught.value.attributes, caught.value.structured) == (NAMED, False)
    assert names_in(b'{"id":"r1","service":"s"}', structured=False) == {"id": "r1", "service": "s"}
    with pytest.raises(InvalidEvent, match="must be"):
        from_nats({}, BROKEN, most=len(BROKEN))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[1]",
        b"[" * 200_000,
        b'{"data":' * 200_000,
        b'{"id":1,"source":null,"data":[]}',
        b'{"id":"' + b"x" * (MAX_VALUE + 1) + b'"}',
        b'{"id":"\\ud800"}',
        b'{"id":"\xff"}',
        b'{"id":"a"}' + b" " * LOOKED_AT,
    ],
    ids=range(9),
)
def test_a_message_that_is_too_large_may_be_anything(body: bytes) -> None:
    with pytest.raises(TooLarge) as caught:
        from_nats({}, body + b" ", most=len(body))
    assert caught.value.attributes == {}
    assert names_in(body, structured=True) == names_in(body, structured=False) == {}


def event(data: bytes) -> bytes:
    return b'{"specversion":"1.0","type":"a","source":"/x","id":"1","data":' + data + b"}"


@pytest.mark.parametrize(
    ("opening", "closing", "each"), [(b"[", b"]", 1), (b'{"a":[', b"]}", 2), (b'[{},[],{"a":', b"}]", 2)]
)
def test_depth_counts_objects_and_lists(opening: bytes, closing: bytes, each: int) -> None:
    for levels, deep in ((98 // each, False), (102 // each, True)):
        body = event(opening * levels + b"1" + closing * levels)
        if deep:
            with pytest.raises(InvalidEvent, match=f"nested deeper than {MAX_DEPTH} levels"):
                decode_structured(body)
        else:
            decode_structured(body)


def test_brackets_in_text_are_no_depth() -> None:
    assert decode_structured(event(b'"' + b"[" * 1000 + b'"')).get_data() == "[" * 1000
    with pytest.raises(InvalidEvent, match="no object"):
        decode_structured(b'"' + b"[" * 1000 + b'"')


LISTS = b"[" + b",".join([b"{}"] * 30_000) + b"]"


HEADERS = {"ce-specversion": "1.0", "ce-type": "a", "ce-source": "/x", "ce-id": "1"}


def waiting(body: bytes) -> Arrived:
    event = decode_structured(body)
    assert isinstance(event, Arrived)
    event.let_go()
    return event


def held(events: list[CloudEvent]) -> int:
    """Bytes that the events take beside the messages they came in."""
    copies = [encode_structured(one) for one in events]
    tracemalloc.start()
    try:
        kept = [waiting(copy) for copy in copies]
        return tracemalloc.get_traced_memory()[0] if kept else 0
    finally:
        tracemalloc.stop()


def test_a_large_event_takes_little_more_than_its_bytes_while_it_waits() -> None:
    assert len(LISTS) > MAX_KEPT
    large: Any = waiting(event(LISTS))
    assert held([large] * 5) < 5 * 20_000
    assert large.get_data() == [{}] * 30_000
    assert large.get_data() is not large.get_data()
    assert encode_structured(large) == event(LISTS)


@pytest.mark.parametrize("data", [LISTS[:-1] + b",1e400]", LISTS[:-1] + b",0.10]", b'{"a":' + LISTS + b"}"])
def test_large_data_are_read_again_as_they_were(data: bytes) -> None:
    structured = waiting(event(data))
    binary = from_nats(HEADERS | {"Content-Type": "application/json"}, data)
    assert isinstance(binary, Arrived)
    binary.let_go()
    assert orjson.dumps(structured.get_data()) == orjson.dumps(binary.get_data())
    assert orjson.dumps(data_as_written(binary)) == data
    assert data_bytes(binary) == data_bytes(structured)


def test_large_bytes_and_texts_are_kept_as_they_are() -> None:
    raw = b"x" * (MAX_KEPT + 1)
    document = {"specversion": "1.0", "type": "a", "source": "/x", "id": "1", "data_base64": b64encode(raw).decode()}
    assert waiting(orjson.dumps(document)).get_data() == raw
    assert from_nats(HEADERS, raw).get_data() == raw
    text = b'"' + raw + b'"'
    assert from_nats(HEADERS | {"Content-Type": "application/json"}, text).get_data() == raw.decode()
