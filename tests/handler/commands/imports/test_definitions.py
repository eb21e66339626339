"""The file of `jobrelay import`: how it is read, and how its mistakes are reported."""

import json
from typing import Any

import pytest

from handler.commands.imports.definitions import DefinitionSet, InvalidDefinitions, default_source, read_definitions
from tests.paths import EXAMPLES

GOOD = "{id: a, schedule: '@daily', job: {image: busybox}}"
JSON_ONLY = "cannot be written as JSON (allowed: keys of text, numbers of 64 bits, at most 100 levels)"


def read(text: str, **options: Any) -> DefinitionSet:
    return read_definitions(text, **{"source": None, "fallback": "/fallback", "judge": True} | options)


def mistakes(text: str, **options: Any) -> list[str]:
    with pytest.raises(InvalidDefinitions) as refused:
        read(text, **options)
    return list(refused.value.mistakes)


def test_the_example_is_a_set_of_three() -> None:
    found = read((EXAMPLES / "jobs.yaml").read_text())
    assert found.source == "/jobs/reports"
    assert [definition.id for definition in found.definitions] == [
        "nightly-report",
        "exchange-rates",
        "migration-check",
    ]


def test_json_is_read_as_well() -> None:
    data = {"id": "a", "schedule": "@daily", "job": {"image": "busybox", "namespace": "team"}}
    found = read(json.dumps({"source": "/set", "jobs": [data]}))
    assert found.source == "/set"
    (definition,) = found.definitions
    assert (definition.id, definition.data, definition.namespace) == ("a", data, "team")


@pytest.mark.parametrize(
    ("options", "source"),
    [({}, "/fallback"), ({"source": "/given"}, "/given"), ({"source": "/given", "fallback": None}, "/given")],
)
def test_a_file_without_a_source_gets_the_given_source_else_its_own(options: dict[str, Any], source: str) -> None:
    assert read(f"jobs: [{GOOD}]", **options).source == source


def test_a_given_source_may_equal_the_source_in_the_file() -> None:
    assert read("{source: /set, jobs: []}", source="/set", fallback=None).source == "/set"


@pytest.mark.parametrize("file", ["jobs.yaml", "/some where/jobs.json", "../jobs"])
def test_the_default_source_depends_only_on_the_name_of_the_file(file: str) -> None:
    assert default_source(file) == "/jobrelay/import/jobs"


def test_each_event_of_a_definition_has_an_id_of_its_own() -> None:
    (definition,) = read(f"jobs: [{GOOD}]").definitions
    first, second = definition.event("/set"), definition.event("/set")
    assert first.get_id() != second.get_id()
    assert first.get_id().startswith("a/")
    assert first.get_data() == second.get_data() == definition.data


def test_an_id_that_is_far_too_long_is_a_mistake_like_any_other() -> None:
    (found,) = mistakes(f"jobs: [{{id: {'x' * 10_000}, schedule: '@daily', job: {{image: busybox}}}}]")
    assert found.startswith("jobs[0].id is no identifier")


def test_every_mistake_is_reported_with_its_place() -> None:
    text = """
    source: /set
    jobs:
    - {id: a, schedule: 0 25 * * *, job: {image: busybox, comand: [x]}, retries: -1}
    - {schedule: '@daily', timeZone: Nowhere/Nothing}
    - {id: a, job: {image: busybox}, maxRuns: 3}
    - 7
    - {id: b, schedule: '@daily', job: {image: busybox}, metadata: {1: x}}
    """
    found = mistakes(text)
    starts = [
        *("jobs[0].schedule is wrong in its hour", "jobs[0].job.comand is unknown, did you mean command?"),
        *("jobs[0].retries must be at least 0", "jobs[1].id is missing", "jobs[1].job is missing"),
        *("jobs[1].timeZone ", "jobs[2].schedule is missing", "jobs[2].maxRuns needs schedule"),
        *("jobs[2].id is that of jobs[0] too", "jobs[3] must be an object", f"jobs[4].metadata {JSON_ONLY}"),
    ]
    assert [start for start in starts if not any(line.startswith(start) for line in found)] == []
    assert len(found) == len(starts), found


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("", "it holds no documents"),
        ("jobs: []\n---\njobs: []", "it holds 2 documents"),
        (f"[{GOOD}]", "it is no mapping"),
        ("1: x", "it is no mapping"),
        ("source: /set", "jobs is missing"),
        ("jobs:", "jobs must be a list"),
        ("{jobs: [], source: 3}", "source must be text"),
        ("{jobs: [], source: ''}", "source is no URI reference"),
        ("{jobs: [], source: 'a b'}", "source is no URI reference"),
        (f"{{jobs: [], job: {GOOD}}}", "job is unknown, did you mean jobs?"),
        ("jobs: [{id: 7, schedule: '@daily', job: {image: a}}]", "jobs[0].id must be text"),
        ("jobs: [{1: 7, id: a, schedule: '@daily', job: {image: a}}]", f"jobs[0].'1' {JSON_ONLY}"),
        ("jobs: [{id: a, schedule: '@daily', job: &job {image: *job}}]", f"jobs[0].job {JSON_ONLY}"),
        ("jobs: [}", "it is neither YAML nor JSON: "),
        ("jobs: \x00", "it is neither YAML nor JSON: unacceptable character"),
        ("jobs: []\njobs: []", "it is neither YAML nor JSON: found the key jobs again in line 2, column 1"),
    ],
)
def test_each_mistake_has_its_message(text: str, mistake: str) -> None:
    (found,) = mistakes(text)
    assert found.startswith(mistake)


def test_a_given_source_that_differs_from_that_in_the_file_is_a_mistake() -> None:
    (found,) = mistakes("{source: /set, jobs: []}", source="/other")
    assert found.startswith("source differs from --source")


def test_a_set_without_a_name_is_a_mistake() -> None:
    (found,) = mistakes("jobs: []", fallback=None)
    assert found.startswith("source is missing")


@pytest.mark.parametrize(
    "text", ["jobs: [{id: a, token: hunter2, env: hunter2}]", "jobs: ['hunter2'", "{a: b, hunter2"]
)
def test_no_mistake_reveals_a_value(text: str) -> None:
    assert "hunter2" not in " ".join(mistakes(text))


def test_a_key_may_override_a_merged_key() -> None:
    text = f"jobs: [{{<<: {GOOD}, id: b}}]"
    assert [definition.id for definition in read(text).definitions] == ["b"]


def test_without_judging_only_what_import_itself_needs_is_checked() -> None:
    (found,) = read("jobs: [{id: a, schedule: never, nonsense: true}]", judge=False).definitions
    assert found.data["nonsense"] is True
    assert len(mistakes("jobs: [{nonsense: true}]", judge=False)) == 2
