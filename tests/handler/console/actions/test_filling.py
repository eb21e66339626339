"""Inputs and data say the same: what the form was filled with comes back from it, and nothing is lost on the way."""

from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from events.contract.schema import schema_of
from handler.console.actions.fields import fields, groups
from handler.console.actions.filling import FURTHER, document_of, values_of
from handler.console.actions.judging import Faulty, read_document

_TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=12)
_JOBS = st.fixed_dictionaries(
    {"image": _TEXTS},
    optional={
        "command": st.lists(_TEXTS, max_size=3),
        "env": st.lists(st.fixed_dictionaries({"name": _TEXTS, "value": _TEXTS}), max_size=3),
        "resources": st.fixed_dictionaries({}, optional={"limits": st.dictionaries(_TEXTS | st.just("cpu"), _TEXTS)}),
        "gpuEnable": st.booleans(),
        "gpuNumber": st.integers(0, 9) | _TEXTS,
        "volumes": st.just([{"mountPath": "/x", "emptyDir": {}}]),
    },
)
_DATA = st.fixed_dictionaries(
    {"job": _JOBS | st.none()},
    optional={"id": _TEXTS, "tags": st.lists(_TEXTS, max_size=2), "retries": st.integers(-(2**59), 2**59)},
)


@settings(max_examples=60)
@given(_DATA)
def test_what_a_form_is_filled_with_comes_back(data: dict[str, Any]) -> None:
    found, faults = document_of(values_of(data))
    assert faults == []
    assert found == data


def test_every_field_is_described_by_the_published_schema() -> None:
    properties = schema_of("request", data=True)["properties"]
    for field in fields():
        assert field.help
        assert field.name.split(".")[0] in properties
    assert [field.name for field in fields() if field.required] == ["job.image"]
    assert [group.open for group in groups()].count(True) == 1


def test_what_is_given_twice_and_what_cannot_be_read_is_told_by_its_input() -> None:
    written = {"job.image": "a", "job.env": "A", "job.args": "'", FURTHER: "job: {image: b, gpuEnable: false}"}
    document, faults = document_of(written | {"job.gpuNumber": "2"})
    assert document["job"]["image"] == "a"
    assert [fault.path for fault in faults] == ["job.args", "job.env", "job.image", "job.gpuEnable"]
    assert not any("'" in fault.message for fault in faults[:1])


@pytest.mark.parametrize(
    "text",
    [
        "a: &x [1]\nb: *x",
        "[1]",
        "a: 1\n---\nb: 2",
        "a: [",
        "\ud800",
        "{" * 20_000,
        "- " * 15_000,
        "x" * 70_000,
        '{"a":' * 900 + "1" + "}" * 900,
    ],
)
def test_a_text_that_is_no_document_is_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(Faulty) as raised:
        read_document(text)
    assert len(str(raised.value)) < 200
