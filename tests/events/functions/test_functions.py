"""What a functions file may contain, which events a function takes, and what its variables become."""

import tracemalloc
from typing import Any

import orjson
import pytest
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given, strategies as st

from events.cloudevent.event import build, decode_structured
from events.functions.file import MAX_FUNCTIONS, InvalidFunctions, parse_functions
from events.functions.functions import MAX_ENV, Call, Function, matching
from events.identity import Identity, job_name
from events.problems import FieldError, InvalidRequest
from events.request.rules import MAX_ECHO

JOB = {"apiVersion": "batch/v1", "kind": "Job", "spec": {}}


def make_event(data: object = None, **attributes: Any) -> CloudEvent:
    fixed = {"specversion": "1.0", "id": "e1", "source": "/cameras/7", "type": "com.example.image.uploaded"}
    return build(fixed | attributes, data)


def make_function(name: str = "thumbnail", **fields: Any) -> Function:
    (found,) = parse_functions({"functions": [{"name": name, "filters": [], "job": JOB, **fields}]})
    return found


def errors_of(document: object) -> dict[str, str]:
    with pytest.raises(InvalidFunctions) as caught:
        parse_functions(document)
    return {error.path: str(error) for error in caught.value.errors}


def takes(*filters: Any, **attributes: Any) -> bool:
    return make_function(filters=list(filters)).takes(make_event(**attributes))


UPLOADED = {"type": "com.example.image.uploaded"}


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ([], True),
        ([{"exact": UPLOADED}], True),
        ([{"exact": {"type": "com.example.image.Uploaded"}}], False),
        ([{"exact": {"type": "com.example.image"}}], False),
        ([{"exact": {**UPLOADED, "source": "/cameras/8"}}], False),
        ([{"exact": {**UPLOADED, "source": "/cameras/7"}}], True),
        ([{"prefix": {"source": "/cameras/"}}], True),
        ([{"prefix": {"source": "cameras"}}], False),
        ([{"suffix": {"type": ".uploaded"}}], True),
        ([{"suffix": {"type": ".deleted"}}], False),
        ([{"exact": UPLOADED}, {"prefix": {"source": "/doors/"}}], False),
        ([{"exact": {"tenant": "a"}}], True),
        ([{"exact": {"missing": "a"}}], False),
        ([{"not": {"exact": {"missing": "a"}}}], True),
        ([{"exact": {"count": "7"}}], True),
        ([{"exact": {"urgent": "true"}}], True),
        ([{"prefix": {"time": "2026-11-22T"}}], True),
        ([{"exact": {"specversion": "1.0"}}], True),
        ([{"all": [{"exact": UPLOADED}, {"suffix": {"source": "7"}}]}], True),
        ([{"all": [{"exact": UPLOADED}, {"suffix": {"source": "8"}}]}], False),
        ([{"any": [{"exact": {"type": "other"}}, {"suffix": {"source": "7"}}]}], True),
        ([{"any": [{"exact": {"type": "other"}}, {"suffix": {"source": "8"}}]}], False),
        ([{"not": {"any": [{"exact": {"type": "other"}}, {"not": {"exact": {"tenant": "a"}}}]}}], True),
    ],
)
def test_filters_are_those_of_cloudevents_subscriptions(filters: list[Any], expected: bool) -> None:
    event = {"tenant": "a", "count": 7, "urgent": True, "time": "2026-11-22T10:00:00+00:00"}
    assert takes(*filters, **event) is expected


_LEAVES = st.builds(
    lambda dialect, name, value: {dialect: {name: value}},
    st.sampled_from(["exact", "prefix", "suffix"]),
    st.sampled_from(["type", "source", "tenant"]),
    st.text("abc/", min_size=1, max_size=3),
)
_FILTERS = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        st.builds(lambda many, word: {word: many}, st.lists(inner, min_size=1), st.sampled_from(["all", "any"])),
        st.builds(lambda negated: {"not": negated}, inner),
    ),
    max_leaves=8,
)


@given(st.lists(_FILTERS, min_size=1, max_size=3), st.text("abc/", min_size=1, max_size=4))
def test_all_any_and_not_obey_the_laws_of_logic(filters: list[Any], tenant: str) -> None:
    event = {"tenant": tenant, "type": tenant}
    together = takes(*filters, **event)
    assert takes({"all": filters}, **event) is together
    assert takes({"not": {"any": [{"not": condition} for condition in filters]}}, **event) is together
    assert takes({"not": {"not": filters[0]}}, **event) is takes(filters[0], **event)


def test_every_mistake_in_a_file_is_reported_at_once_with_its_place() -> None:
    found = errors_of(
        {
            "functions": [
                {"name": "Thumb_nail", "filter": [], "job": JOB},
                {"name": "a", "filters": [{"exakt": UPLOADED}, {"exact": UPLOADED, "prefix": {}}], "job": JOB},
                {"name": "a", "filters": [{"sql": "type = 'x'"}], "env": {"X": "{data.", "Y": "{Data}"}, "job": []},
                {"name": "b", "filters": [{"all": []}, {"exact": {"Type": "x"}}], "queue": {"prio": 5}, "job": JOB},
                {"name": "c", "filters": [], "queue": {"concurrency": {"key": "{data."}, "priority": 1001}, "job": JOB},
            ]
        }
    )
    bad, first, second = 'function "Thumb_nail"', 'function "a" (functions[1])', 'function "a" (functions[2])'
    assert "did you mean filters?" in found[f"{bad}: filter"]
    assert "is missing" in found[f"{bad}: filters"]
    assert "at most 32" in found[f"{bad}: name"]
    assert "did you mean exact?" in found[f"{first}: filters[0].exakt"]
    assert "exactly one dialect" in found[f"{first}: filters[1]"]
    assert "sql" in found[f"{second}: filters[0]"]
    assert "brace" in found[f"{second}: env.X"]
    assert "no reference" in found[f"{second}: env.Y"]
    assert "another function" in found[f"{second}: name"]
    assert "did you mean priority?" in found['function "b": queue.prio']
    assert "brace" in found['function "c": queue.concurrency.key']
    assert "at most 1000" in found['function "c": queue.priority']
    assert {f"{second}: job", 'function "b": filters[0].all'} <= set(found)
    assert any(path.startswith('function "b": filters[1].exact') for path in found)


def test_function_without_a_usable_name_is_named_by_its_place() -> None:
    functions = [{"filters": [], "job": JOB}, "x", {"name": 7, "filters": [], "job": JOB}, {"name": "", "job": JOB}]
    found = errors_of({"functions": [*functions, {"name": "x" * 5000, "filters": [], "job": JOB}], "more": 1})
    assert "is missing" in found["functions[0].name"]
    assert found["functions[1]"] == "functions[1] must be an object"
    assert {"functions[2].name", "functions[3].name", "functions[3].filters", "more"} <= set(found)
    (long,) = [path for path in found if path.startswith('function "xxx')]
    assert len(long) < 100


def test_fields_that_only_requests_cannot_have_are_plainly_unknown() -> None:
    found = errors_of({"functions": [{"name": "a", "filters": [], "job": JOB, "template": {}, "webhook": "x"}]})
    assert set(found) == {'function "a": template', 'function "a": webhook'}
    assert all(text.split(": ", 1)[1].split(" ", 1)[1].startswith("is unknown") for text in found.values())


def test_a_mistake_in_the_shape_hides_no_rule_about_fields_together() -> None:
    queue = {"prio": 1, "exclusive": True, "concurrency": {"limit": 3}, "onDependencyFailure": "run"}
    (one, two) = (
        {"name": "a", "filters": 7, "queue": queue, "job": JOB},
        {"name": "b", "filters": [], "env": {"A": 1}, "queueName": "q", "queue": {"exclusive": True}, "job": []},
    )
    found = errors_of({"functions": [one, two]})
    assert set(found) == {
        *(f'function "a": {path}' for path in ("filters", "queue.prio", "queue.concurrency.key")),
        *(f'function "a": {path}' for path in ("queue.concurrency.limit", "queue.onDependencyFailure")),
        *('function "b"', 'function "b": env.A', 'function "b": job'),
    }


def test_the_judge_of_manifests_is_heard_beside_all_other_errors() -> None:
    document = {"functions": [{"name": "a", "job": JOB}, {"name": "b", "filters": [], "job": JOB}]}
    with pytest.raises(InvalidFunctions) as caught:
        parse_functions(document, judge=lambda job: [FieldError("job.spec", "is odd")])
    assert [str(error) for error in caught.value.errors] == [
        'function "a": filters is missing',
        'function "a": job.spec is odd',
        'function "b": job.spec is odd',
    ]


def test_function_in_a_kueue_queue_cannot_ask_for_what_kueue_decides() -> None:
    suspended = {**JOB, "spec": {"suspend": True}}
    found = errors_of(
        {
            "functions": [
                {"name": "a", "filters": [], "queueName": "Team_A", "job": JOB},
                {"name": "b", "filters": [], "queueName": "a", "queue": {"exclusive": True, "priority": 5}, "job": JOB},
                {"name": "c", "filters": [], "queueName": "a", "job": suspended},
            ]
        }
    )
    assert set(found) == {'function "a": queueName', 'function "b"', 'function "c"'}
    assert "a-z" in found['function "a": queueName']
    assert "queue.exclusive beside queueName: Kueue decides" in found['function "b"']
    assert "job.spec.suspend" in found['function "c"']


def test_a_function_may_name_a_kueue_queue_and_a_priority_in_it() -> None:
    assert make_function(queueName="team.a", queue={"priority": 5}).queue_name == "team.a"


@pytest.mark.parametrize("document", [None, [], "functions", {"functions": {}}, {}, {1: 2}, {"functions": [], "x": 1}])
def test_a_document_that_is_no_functions_file_is_refused(document: object) -> None:
    assert errors_of(document)


def test_a_file_without_functions_is_fine() -> None:
    assert parse_functions({"functions": []}) == ()


def test_filters_nested_too_deep_are_refused() -> None:
    nested: dict[str, Any] = {"exact": UPLOADED}
    for _ in range(30):
        nested = {"not": nested}
    assert (
        "too deep"
        in errors_of({"functions": [{"name": "a", "filters": [nested], "job": JOB}]})['function "a": filters']
    )


DATA = {"url": "s3://x", "size": 7, "ok": True, "none": None, "items": [{"id": "first"}], "n": {"a.b": 1, "": 2}}


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("{data.url}", "s3://x"),
        ("{data.size} and {data.ok}", "7 and true"),
        ("{data.items.0.id}", "first"),
        ("{data.items}", '[{"id":"first"}]'),
        ("{type}/{id}", "com.example.image.uploaded/e1"),
        ("{subject:-nobody}", "nobody"),
        ("{data.none:-}", ""),
        ("{data.items.1.id:-none}", "none"),
        ("{data.items.x:-none}", "none"),
        ("{data.url.deeper:-none}", "none"),
        ("{{data.url}}", "{data.url}"),
        ("{{{data.size}}}", "{7}"),
        ("$(HOME)", "$(HOME)"),
        ("", ""),
    ],
)
def test_a_variable_has_the_value_that_its_template_refers_to(template: str, value: str) -> None:
    call = Call.of(make_function(env={"X": template}), make_event(DATA))
    assert call.env == {"X": value}


def test_values_from_an_event_are_not_expanded_by_kubernetes() -> None:
    call = Call.of(make_function(env={"X": "$(HOME){data}"}), make_event("$(SECRET)", datacontenttype="text/plain"))
    assert call.env == {"X": "$(HOME)$$(SECRET)"}


def test_paths_reach_into_json_that_came_as_bytes() -> None:
    event = make_event(b'{"a": 1}', datacontenttype="application/json")
    assert Call.of(make_function(env={"A": "{data.a}"}), event).env == {"A": "1"}


@pytest.mark.parametrize(
    ("content_type", "body", "template", "value"),
    [
        ("text/plain", "käse".encode(), "{data}", "käse"),
        ("text/plain; charset=iso-8859-1", "käse".encode("latin-1"), "{data:-none}", "käse"),
        ("application/xml", b"<a/>", "{data}", "<a/>"),
        (None, b"words", "{data:-none}", "words"),
        ("text/plain", b"words", "{data.size:-small}", "small"),
        ("application/json", b'{"n": 18446744073709551616}', "{data.n}", "18446744073709551616"),
        ("application/json", b'{"n": [1.10, 3.14159265358979323846]}', "{data.n}", "[1.10,3.14159265358979323846]"),
        ("application/json", b'{"n": 1E3}', "{data}", '{"n":1E3}'),
    ],
)
def test_data_that_came_as_bytes_are_text_with_numbers_as_written(
    content_type: str | None, body: bytes, template: str, value: str
) -> None:
    event = make_event(body, datacontenttype=content_type)
    assert Call.of(make_function(env={"X": template}), event).env == {"X": value}


@pytest.mark.parametrize("template", ["{data}", "{data:-default}", "{data.size:-small}"])
def test_no_default_replaces_data_that_are_there_and_cannot_be_read(template: str) -> None:
    event = make_event(b"\x00" * 12, datacontenttype="application/avro")
    with pytest.raises(InvalidRequest, match="data is 12 bytes of application/avro, which a variable cannot hold"):
        Call.of(make_function(env={"X": template}), event)


def test_time_is_in_utc_in_filters_and_variables() -> None:
    sent = {"time": "2026-11-22T00:30:31.3062901+01:30"}
    assert takes({"prefix": {"time": "2026-11-21T23:00:31"}}, **sent)
    assert Call.of(
        make_function(env={"X": "{time}"}),
        decode_structured(orjson.dumps({"specversion": "1.0", "id": "e1", "source": "/tests", "type": "t", **sent})),
    ).env == {"X": "2026-11-21T23:00:31.3062901Z"}


@pytest.mark.parametrize("data", [None, b"\x00\xff", "text", 7, {"other": 1}])
def test_refusal_names_everything_that_a_variable_needs_and_the_event_lacks(data: object) -> None:
    event = make_event(data, datacontenttype="application/octet-stream" if isinstance(data, bytes) else None)
    with pytest.raises(InvalidRequest) as caught:
        Call.of(make_function(env={"A": "{data.a.b}", "S": "{subject}", "T": "{type}"}), event)
    missing = "data" if isinstance(data, bytes) else "data.a.b"
    assert [error.path for error in caught.value.errors] == [missing, "subject"]
    assert "variable A of function thumbnail" in str(caught.value)


def test_variables_have_a_size_limit_and_no_nul() -> None:
    function = make_function(env={"A": "{data.a}"})
    with pytest.raises(InvalidRequest) as caught:
        Call.of(function, make_event({"a": "x" * MAX_ENV}))
    assert caught.value.code == "TOO_LARGE"
    with pytest.raises(InvalidRequest, match="NUL"):
        Call.of(function, make_event({"a": "x\x00"}))


def test_templates_are_not_filled_in_beyond_what_they_may_ever_make() -> None:
    function = make_function(env={f"V{number}": "{data}" for number in range(1000)})
    tracemalloc.start()
    try:
        with pytest.raises(InvalidRequest, match="makes variable V2 of function thumbnail too long") as caught:
            Call.of(function, make_event({"a": "x" * 500_000}))
        assert caught.value.code == "TOO_LARGE"
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()


def test_a_file_of_too_many_functions_is_refused_without_looking_at_them() -> None:
    with pytest.raises(InvalidFunctions, match=f"functions must have at most {MAX_FUNCTIONS}") as caught:
        parse_functions({"functions": [{}] * (MAX_FUNCTIONS + 1)})
    assert len(caught.value.errors) == 1


@given(st.recursive(st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5), st.lists, max_leaves=5))
def test_no_value_makes_a_template_fail_in_any_other_way(value: Any) -> None:
    try:
        env = Call.of(make_function(env={"A": "{data.a.0}{data.a:-d}"}), make_event({"a": value})).env
    except InvalidRequest:
        return
    assert isinstance(env["A"], str)


def test_tags_and_metadata_are_made_from_the_event() -> None:
    function = make_function(
        tags=["image", "{data.tenant}"],
        metadata={"who": "{subject:-nobody}", "more": {"list": ["{data.size}", 7, None, True], "{key}": "{{}}"}},
    )
    call = Call.of(function, make_event({"tenant": "a$(b)", "size": 3}))
    assert call.tags == ["image", "a$(b)"]
    assert call.metadata == {"who": "nobody", "more": {"list": ["3", 7, None, True], "{key}": "{}"}}


def test_tags_and_metadata_that_cannot_be_made_refuse_the_event() -> None:
    function = make_function(tags=["{data.a}"], metadata={"x": {"y": ["{data.b}", "{data.nul}"]}})
    with pytest.raises(InvalidRequest) as caught:
        Call.of(function, make_event({"nul": "\x00"}))
    assert [error.path for error in caught.value.errors] == ["data.a", "data.b", "data"]
    assert "tags of function thumbnail" in str(caught.value)
    assert "NUL" in str(caught.value)


@pytest.mark.parametrize(("size", "code"), [(MAX_ECHO - len('["a",""],{"m":1}'), None), (MAX_ECHO, "TOO_LARGE")])
def test_tags_and_metadata_have_the_size_limit_of_a_request(size: int, code: str | None) -> None:
    function = make_function(tags=["a", "{data.t}"], metadata={"m": 1})
    event = make_event({"t": "x" * size})
    if code is None:
        assert Call.of(function, event).tags == ["a", "x" * size]
        return
    with pytest.raises(InvalidRequest, match="makes tags and metadata of") as caught:
        Call.of(function, event)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("fields", "path", "said"),
    [
        ({"startTimeout": 0}, "startTimeout", "at least 1"),
        ({"startTimeout": 604_801}, "startTimeout", "at most 604800"),
        ({"startTimeout": "5"}, "startTimeout", "must be an integer"),
        ({"timeout": 31_536_001}, "timeout", "at most 31536000"),
        ({"timeout": True}, "timeout", "must be an integer"),
        ({"tags": "a"}, "tags", "must be a list"),
        ({"tags": ["a", 1]}, "tags[1]", "must be text"),
        ({"tags": ["{data."]}, "tags[0]", "brace"),
        ({"metadata": []}, "metadata", "must be an object"),
        ({"metadata": {"a": {"b": ["x", "{Y}"]}}}, "metadata.a.b[1]", "no reference"),
        ({"metadata": {"a": {"b": {1: "x"}}}}, "metadata.a.b.'1'", "quotes"),
        ({"metadata": {"a": b"x"}}, "metadata.a", "nothing that JSON can say"),
        ({"metadata": {"a": 2**70}}, "metadata.a", "nothing that JSON can say"),
        ({"metadata": {"a": "\x00"}}, "metadata.a", "NUL"),
        ({"tags": ["x" * MAX_ECHO]}, "metadata", "8192 bytes"),
        ({"metadata": {"a": "{data.b}" + "x" * MAX_ECHO}}, "metadata", "8192 bytes"),
        ({"env": {"A": "{data.b}" + "x" * MAX_ENV}}, "env", "32768 bytes"),
    ],
)
def test_fields_that_requests_have_too_are_bounded_in_the_file(fields: dict[str, Any], path: str, said: str) -> None:
    found = errors_of({"functions": [{"name": "a", "filters": [], "job": JOB, **fields}]})
    assert list(found) == [f'function "a": {path}']
    assert said in found[f'function "a": {path}']


def test_metadata_that_holds_itself_is_refused() -> None:
    metadata: dict[str, Any] = {}
    metadata["again"] = metadata
    found = errors_of({"functions": [{"name": "a", "filters": [], "metadata": metadata, "job": JOB}]})
    (error,) = found.values()
    assert "nested too deep" in error


def test_an_event_becomes_a_request_for_each_function_that_takes_it() -> None:
    document: dict[str, Any] = {"functions": [{"name": name, "filters": [], "job": JOB} for name in ("a", "b")]}
    functions = (*parse_functions(document), make_function("no", filters=[{"exact": {"type": "x"}}]))
    event = make_event({"id": "of the data"})
    calls = [Call.of(function, event) for function in matching(functions, event)]
    assert [call.id for call in calls] == ["a/e1", "b/e1"]
    assert [call.service for call in calls] == ["a", "b"]
    assert [call.identity for call in calls] == [Identity("/cameras/7", "e1", "a"), Identity("/cameras/7", "e1", "b")]
    assert calls[0].job_name == job_name("a", Identity("/cameras/7", "e1", "a"))
    assert calls[0].job_name.startswith("a-")


def test_the_service_is_the_label_that_the_operator_gave() -> None:
    job = {**JOB, "metadata": {"labels": {"app.kubernetes.io/name": "images"}}}
    assert Call.of(make_function(job=job), make_event()).service == "images"


def test_an_event_id_that_cannot_be_a_request_id_is_refused() -> None:
    with pytest.raises(InvalidRequest) as caught:
        Call.of(make_function(), make_event(id="x" * 257))
    assert [error.path for error in caught.value.errors] == ["id"]
