"""Decoding lists and watches: whatever comes is an object, or one of two errors."""

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st
from msgspec import Raw

from k8s.api.wire import decode_event, decode_page, meta_or_empty
from k8s.base import Expired, Malformed
from k8s.reading.metadata import number
from tests.paths import TRACES

TRACE = TRACES / "watch-resume-and-expire.json"
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["metadata", "code", "kind", "labels"]), inner),
)


def test_recorded_watches_can_be_read_and_the_expired_one_is_expired() -> None:
    steps: list[Any] = json.loads(TRACE.read_text())["steps"]
    expired = 0
    for step in steps:
        if "watch=1" not in step["request"]["path"]:
            continue
        for event in step["response"]["body"] or []:
            line = json.dumps(event).encode()
            if event["type"] == "ERROR":
                expired += 1
                with pytest.raises(Expired):
                    decode_event(line)
            else:
                decoded = decode_event(line)
                assert decoded.type == event["type"]
                assert number(meta_or_empty(decoded.object).resource_version) > 0
    assert expired == 1


@given(st.binary())
def test_arbitrary_bytes_are_no_event_and_no_list(line: bytes) -> None:
    with pytest.raises(Malformed):
        decode_event(line)
    with pytest.raises(Malformed):
        decode_page(line)
    assert meta_or_empty(Raw(line)).name == ""


@given(json_values)
def test_error_event_with_anything_in_it_is_expired_or_malformed(status: object) -> None:
    line = json.dumps({"type": "ERROR", "object": status}).encode()
    code = status.get("code") if isinstance(status, dict) else None
    with pytest.raises(Expired if code == 410 else Malformed):
        decode_event(line)


def test_empty_list_may_have_null_items() -> None:
    page = decode_page(b'{"metadata": {"resourceVersion": "7"}, "items": null}')
    assert (page.metadata.resource_version, page.metadata.continue_, page.items) == ("7", "", None)
