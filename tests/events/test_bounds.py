"""Everything that comes from outside has a bound, and what is beyond it costs no more than one mistake."""

import gc
import time
import tracemalloc
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from events.cloudevent.event import decode_structured
from events.contract.models import function_models, request_models
from events.functions.file import FunctionsFile
from events.functions.functions import Function
from events.jobs.annotation import MAX_STORED, read_stored
from events.names import REQUESTED_TYPE
from events.problems import MAX_ERRORS, FieldError, InvalidRequest, told
from events.request.request import JobRequest, Request
from events.request.values import MAX_VALUES, holds_more
from tests.events.samples import make_request_event
from tests.events.test_problems import mistakes
from tests.events.walking import Place, nested
from tests.patience import within

Schema = dict[str, Any]
BOUNDED_TOGETHER = {
    # By the 8 KiB of `tags` and `metadata`.
    "JobRequest.metadata{}",
    "Function.metadata{}",
    # By the bytes of the operator's file.
    "Function.job",
}
WORDS = {"string": "maxLength", "array": "maxItems", "object": "maxProperties"}


def parts(schema: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    """Every schema in this one, with its path; not those of other models."""
    yield path, schema
    for word in ("anyOf", "oneOf", "allOf"):
        for inner in schema.get(word, ()):
            yield from parts(inner, path)
    for name, inner in schema.get("properties", {}).items():
        yield from parts(inner, f"{path}.{name}")
    if "items" in schema:
        yield from parts(schema["items"], f"{path}[]")
    if "propertyNames" in schema:
        yield from parts({"type": "string", **schema["propertyNames"]}, f"{path}<key>")
    for inner in free(schema):
        yield from parts(inner, f"{path}{{}}")


def free(schema: Schema) -> list[Schema]:
    """The schemas of values whose keys are not known."""
    other = schema.get("additionalProperties")
    return [*schema.get("patternProperties", {}).values(), *([other] if isinstance(other, dict) else [])]


def unbounded(schema: Schema) -> bool:
    """Whether it says of a list, map, or string how large it may be."""
    if {"$ref", "enum", "const"} & set(schema):
        return False
    kinds = schema["type"] if isinstance(schema.get("type"), list) else [schema.get("type")]
    if "object" in kinds and "properties" in schema and schema.get("additionalProperties") is False:
        return False  # An object with these fields and no others.
    anything = not set(schema) - {"description", "default"}
    return anything or any(WORDS[kind] not in schema for kind in kinds if kind in WORDS)


def test_no_list_map_or_string_of_any_model_is_without_a_bound() -> None:
    found = {
        path
        for models in (request_models, function_models)
        for name, schema in models().items()
        for path, part in parts(schema, name)
        if unbounded(part) and not any(path.startswith(known) for known in BOUNDED_TOGETHER)
    }
    assert found == set()


def places(models: dict[str, Schema], name: str, at: Place = ()) -> Iterator[tuple[Place, Schema]]:
    """Where there are lists, maps and strings with a bound in data of this model, and what the schema says of them."""
    for place, schema in _within(models[name], at):
        model = schema.get("$ref", "").rpartition("/")[2]
        if model and model != name:
            yield from places(models, model, place)
        elif WORDS.get(str(schema.get("type"))) in schema:
            yield place, schema


def _within(schema: Schema, at: Place) -> Iterator[tuple[Place, Schema]]:
    yield at, schema
    for inner in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        yield from _within(inner, at)
    for name, inner in schema.get("properties", {}).items():
        yield from _within(inner, (*at, name))
    if "items" in schema:
        yield from _within(schema["items"], (*at, 0))
    for inner in free(schema):
        yield from _within(inner, (*at, "cpu" if at[-1] in ("limits", "requests") else "id"))


def beyond(schema: Schema) -> Any:
    """A value that is just too large."""
    match schema["type"]:
        case "string":
            return "1" * (schema["maxLength"] + 1)
        case "array":
            return [0] * (schema["maxItems"] + 1)
        case _:
            return {f"k{number}": 0 for number in range(schema["maxProperties"] + 1)}


@pytest.mark.parametrize(
    ("root", "place", "schema"),
    [
        pytest.param(root, place, schema, id=".".join(map(str, (root.__name__, *place))))
        for root, models in ((JobRequest, request_models()), (Function, function_models()))
        for place, schema in places(models, root.__name__)
    ],
)
def test_what_is_beyond_a_bound_is_one_mistake_whatever_is_in_it(root: Any, place: Any, schema: Schema) -> None:
    named = [one for one in mistakes(root, nested(place, beyond(schema))) if "is missing" not in one]
    assert len(named) <= 2, named
    assert any(word in one for one in named for word in ("at most", "is no", "is taken", "cannot")), named


def test_a_file_of_too_many_functions_is_refused() -> None:
    (limit,) = [part["maxItems"] for path, part in parts(function_models()["FunctionsFile"], "") if "maxItems" in part]
    assert mistakes(FunctionsFile, {"functions": [0] * (limit + 1)}) == [f"functions must have at most {limit}"]


def filled(before: bytes, item: bytes, after: bytes, *, size: int = 1 << 20) -> bytes:
    """A job request of about `size` bytes, whose data have this item as often as there is room."""
    head = b'{"specversion":"1.0","type":"%s","source":"/x","id":"1","data":' % REQUESTED_TYPE.encode()
    room = size - len(head) - len(before) - len(after) - 1
    return head + before + b",".join([item] * (room // (len(item) + 1))) + after + b"}"


WORST = {
    "env of numbers": filled(b'{"job":{"image":"a","env":[', b"0", b"]}}"),
    "env of empty objects": filled(b'{"job":{"image":"a","env":[', b"{}", b"]}}"),
    "env of unknown fields": filled(b'{"job":{"image":"a","env":[', b'{"a":0,"b":0,"c":0}', b"]}}"),
    "arguments": filled(b'{"job":{"image":"a","args":[', b'""', b"]}}"),
    "references": filled(b'{"job":{"image":"a","envRef":[', b"{}", b"]}}"),
    "failover": filled(b'{"job":{"image":"a"},"failover":{"job":{"image":"a","env":[', b"0", b"]}}}"),
    "decimals": filled(b'{"job":{"image":"a"},"metadata":{"a":[', b"1.50", b"]}}"),
    "volumes at one place": filled(b'{"job":{"image":"a","volumes":[', b'{"mountPath":"/a"}', b"]}}"),
    "just few enough": filled(b'{"job":{"image":"a","volumes":[', b'{"mountPath":"/a"}', b"]}}", size=90_000),
    "half of that": filled(b'{"job":{"image":"a","volumes":[', b'{"a":0,"b":0}', b"]}}", size=90_000),
}
SLOWEST = 0.1
"""Seconds that one message may keep a process from everything else."""
LARGEST = 40 << 20
"""Bytes that reading one message may take for as long as it lasts."""


@pytest.mark.parametrize("body", WORST.values(), ids=WORST)
def test_the_worst_requests_are_refused_fast_and_in_little_memory(body: bytes) -> None:
    gc.collect()
    begun = time.perf_counter()
    assert len(refusal(body).errors) <= MAX_ERRORS + 1
    taken = time.perf_counter() - begun
    assert taken <= within(SLOWEST)
    tracemalloc.start()
    try:
        refusal(body)
        assert tracemalloc.get_traced_memory()[1] <= LARGEST
    finally:
        tracemalloc.stop()


def refusal(body: bytes) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        Request.of(decode_structured(body))
    return caught.value


def test_values_are_counted_at_all_depths_and_not_beyond_the_bound() -> None:
    assert not holds_more({"a": [1, 2, {"b": 3}]}, 5)
    assert holds_more({"a": [1, 2, {"b": 3}]}, 4)
    assert not holds_more({"a": "x" * MAX_VALUES}, 1)
    ids = {"job": {"image": "a", "args": ["x"] * 4096, "command": ["x"] * 4096}, "metadata": {"a": list(range(1000))}}
    assert Request.of(make_request_event(ids)).request.job.args == ["x"] * 4096
    error = refusal(orjson.dumps(dict(make_request_event().get_attributes()) | {"data": [], "time": None}))
    assert [one.message for one in error.errors] == ["must be an object"]


@pytest.mark.parametrize(("count", "said"), [(50, None), (51, "and 1 more error"), (79_230, "and 79180 more errors")])
def test_errors_are_told_up_to_a_number_wherever_they_come_from(count: int, said: str | None) -> None:
    errors = told([FieldError(f"a{number}", "is wrong") for number in range(count)])
    assert [one.path for one in errors[:MAX_ERRORS]] == [f"a{number}" for number in range(MAX_ERRORS)]
    assert [str(one) for one in errors[MAX_ERRORS:]] == ([said] if said else [])
    assert told([*errors, *errors]) == told(errors, further=min(count, MAX_ERRORS) + count - MAX_ERRORS)
    assert InvalidRequest(errors).errors == errors


def test_an_annotation_that_is_too_long_to_be_ours_is_not_read() -> None:
    assert read_stored('["a"]', list[str]) == ["a"]
    assert read_stored('["' + "a" * MAX_STORED + '"]', list[str]) is None
