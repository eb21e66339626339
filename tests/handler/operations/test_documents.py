"""What `submit` makes of documents and options, before it connects to anything."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from events.cloudevent.event import encode_structured
from events.names import REQUESTED_TYPE
from events.request.request import parse_request
from handler.commands.errors import Misuse
from handler.commands.submit import load, prepare
from handler.operations.documents import (
    Changes,
    Document,
    apply,
    default_source,
    from_options,
    make_event,
    problems,
    read_documents,
)
from tests.paths import DEMO

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
STRUCTURED: Document = {
    "specversion": "1.0",
    "type": REQUESTED_TYPE,
    "source": "/orders",
    "id": "o-1",
    "data": {"job": {"image": "busybox"}},
}


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("job: {image: a}", 1),
        ('{"job": {"image": "a"}}', 1),
        ("job: {image: a}\n---\njob: {image: b}\n---\n", 2),
        ('[{"job": {"image": "a"}}, {"job": {"image": "b"}}]', 2),
        ("- job: {image: a}\n- job: {image: b}\n---\njob: {image: c}", 3),
    ],
)
def test_yaml_and_json_hold_one_or_many_requests(text: str, count: int) -> None:
    assert len(read_documents(text)) == count


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "nothing in it"),
        ("---\n---\n", "nothing in it"),
        ("just text", "document 1 is no mapping"),
        ("job: {image: a}\n---\n3", "document 2 is no mapping"),
        ("1: x", "document 1 is no mapping"),
        ("{job: [", "neither YAML nor JSON"),
        ("job: !!python/object/apply:os.system [id]", "neither YAML nor JSON"),
    ],
)
def test_a_document_that_is_no_request_is_refused_with_a_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_documents(text)


def test_words_with_a_special_meaning_in_old_yaml_stay_text() -> None:
    text = "a: yes\nb: 12:30\nc: 2026-01-02\nd: 0777\ne: off\nf: 2026-01-02T03:04:05Z"
    assert read_documents(text) == [
        {"a": "yes", "b": "12:30", "c": "2026-01-02", "d": "0777", "e": "off", "f": "2026-01-02T03:04:05Z"}
    ]


def test_scalars_have_the_types_of_json() -> None:
    assert read_documents("a: true\nb: -3\nc: 1.5\nd: null\ne: ~\nf:\ng: '1'") == [
        {"a": True, "b": -3, "c": 1.5, "d": None, "e": None, "f": None, "g": "1"}
    ]


def test_merge_keys_work() -> None:
    documents = read_documents("- &base {image: a, command: [x]}\n- {<<: *base, image: b}")
    assert documents[1] == {"image": "b", "command": ["x"]}


def test_data_becomes_an_event_of_this_user_with_a_new_id() -> None:
    first = make_event({"job": {"image": "busybox"}}, Changes(), now=NOW)
    second = make_event({"job": {"image": "busybox"}}, Changes(), now=NOW)
    assert first.get_id() != second.get_id()
    assert first.get_type() == REQUESTED_TYPE
    assert first.get_source() == default_source()
    assert first.get_source().startswith("/jobrelay/cli/")
    assert first.get_time() == NOW
    assert parse_request(first).job.image == "busybox"


def test_the_id_in_the_data_is_the_id_of_the_event_too() -> None:
    assert make_event({"id": "o-1", "job": {"image": "a"}}, Changes()).get_id() == "o-1"


def test_the_id_option_takes_precedence_over_the_id_in_the_data() -> None:
    event = make_event({"id": "o-1", "job": {"image": "a"}}, Changes(id="o-2"))
    assert event.get_id() == "o-2"
    assert parse_request(event).id == "o-2"


def test_a_structured_event_is_published_as_it_is() -> None:
    event = make_event(STRUCTURED, Changes())
    assert (event.get_id(), event.get_source(), event.get_data()) == ("o-1", "/orders", STRUCTURED["data"])
    assert event.get_time() is None


def test_options_change_a_structured_event() -> None:
    changes = Changes(
        sets=("image=alpine",), fields={"retries": 2}, id="o-9", source="/elsewhere", reply_to="replies.here"
    )
    event = make_event(STRUCTURED, changes)
    assert (event.get_id(), event.get_source(), event.get_extension("replyto")) == ("o-9", "/elsewhere", "replies.here")
    assert event.get_data() == {"job": {"image": "alpine"}, "retries": 2}
    assert STRUCTURED["data"] == {"job": {"image": "busybox"}}


def test_an_event_without_object_data_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="no JSON object"):
        make_event({**STRUCTURED, "data": "text"}, Changes(sets=("image=alpine",)))


@pytest.mark.parametrize(
    ("path", "job"),
    [
        ("image=alpine:3", {"image": "alpine:3"}),
        ("parallelism=3", {"parallelism": 3}),
        ("args=[a, 1]", {"args": ["a", 1]}),
        ("workingDir=", {"workingDir": ""}),
        ("env.NAME=1", {"env": [{"name": "NAME", "value": "1"}]}),
        ("env.A.B=x=y", {"env": [{"name": "A.B", "value": "x=y"}]}),
        ("resources.limits.cpu=2", {"resources": {"limits": {"cpu": "2"}}}),
        ("resources.limits.example.com/gpu=1", {"resources": {"limits": {"example.com/gpu": "1"}}}),
    ],
)
def test_set_reaches_every_field_of_job(path: str, job: Document) -> None:
    assert apply({}, Changes(sets=(path,))) == {"job": job}


def test_a_set_variable_replaces_a_variable_of_that_name() -> None:
    data = {"job": {"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}}
    assert apply(data, Changes(sets=("env.A=3",)))["job"]["env"] == [
        {"name": "B", "value": "2"},
        {"name": "A", "value": "3"},
    ]


@pytest.mark.parametrize("path", ["image", "=x", "a..b=1", "image.tag=1", "env.A=1", "args=[", "job.x.y=1"])
def test_a_set_option_that_cannot_be_applied_is_refused_by_name(path: str) -> None:
    data = {"job": {"image": "busybox", "env": "none", "job": "text"}}
    with pytest.raises(ValueError, match="--set"):
        apply(data, Changes(sets=(path,)))


def test_options_make_a_complete_request() -> None:
    document = from_options("busybox", ["echo", "hi"], ["A=1", "B=x=y"])
    request = parse_request(make_event(document, Changes()))
    assert request.job.command == ["echo", "hi"]
    assert [(variable.name, variable.value) for variable in request.job.env] == [("A", "1"), ("B", "x=y")]


def test_an_env_option_without_a_value_is_refused() -> None:
    with pytest.raises(ValueError, match="--env A"):
        from_options("busybox", [], ["A"])


def test_all_mistakes_of_all_requests_are_reported_at_once() -> None:
    documents: list[Document] = [
        {"job": {"image": "busybox", "comand": ["x"]}, "retries": -1},
        {"job": {"image": "busybox"}},
        {**STRUCTURED, "specversion": "0.3"},
    ]
    with pytest.raises(Misuse) as caught:
        prepare(documents, Changes(), judge=True)
    lines = caught.value.message.splitlines()
    assert len(lines) == 4
    assert "request 1: job.comand" in caught.value.message
    assert "request 1: retries" in caught.value.message
    assert "request 3: specversion" in caught.value.message


def test_without_judging_an_invalid_request_still_becomes_an_event() -> None:
    (event,) = prepare([{"job": {"comand": ["x"]}}], Changes(), judge=False)
    assert problems(event)


def test_one_id_for_several_requests_is_refused() -> None:
    with pytest.raises(Misuse, match="--id"):
        prepare([{"job": {}}, {"job": {}}], Changes(id="x"), judge=False)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(Misuse, match=r"nothing\.yaml: No such file"):
        load([str(tmp_path / "nothing.yaml")])


@pytest.mark.parametrize("file", sorted(DEMO.glob("*.yaml")), ids=lambda file: file.stem)
def test_every_example_is_valid_except_the_typo(file: Path) -> None:
    (document,) = load([str(file)])
    event = make_event(document, Changes())
    assert bool(problems(event)) == (file.stem == "typo")
    assert event.get_id() == file.stem


@pytest.mark.parametrize("data", ["123456789012345678901234567890", "3.14159265358979323846", "1.10", "-0", "1E3", "7"])
@pytest.mark.parametrize(
    "document", ["job: {{image: x}}\nmetadata: {{n: {}}}", '{{"job": {{"image": "x"}}, "metadata": {{"n": {}}}}}']
)
def test_numbers_are_published_as_they_were_written(document: str, data: str) -> None:
    (read,) = read_documents(document.format(data))
    for event in (
        make_event(read, Changes(id="i", sets=("args=[a]",))),
        make_event(STRUCTURED | {"data": read}, Changes()),
    ):
        assert f'"metadata":{{"n":{data}}}'.encode() in encode_structured(event)
        assert problems(event) == []


@pytest.mark.parametrize("value", ["!!binary aGk=", "!!set {a}", "+123456789012345678901234567890"])
def test_what_json_cannot_say_is_a_mistake_of_the_document(value: str) -> None:
    (read,) = read_documents(f"job: {{image: x}}\nmetadata: {{n: {value}}}")
    with pytest.raises(ValueError, match="JSON cannot say"):
        make_event(read, Changes())
