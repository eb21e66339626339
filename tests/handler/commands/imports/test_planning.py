"""The plan of `jobrelay import`: what differs between a file and the cluster."""

from typing import Any

import pytest

from events.names import Annotation
from events.request.request import Request
from handler.commands.imports.definitions import Definition, DefinitionSet
from handler.commands.imports.planning import Action, Existing, difference, existing_by_id, plan
from k8s.base import Manifest
from k8s.manifests.options import ManifestOptions
from k8s.manifests.schedule import render_schedule

SOURCE = "/set"
OPTIONS = ManifestOptions(namespace="default", broker="memory")


def define(name: str, **data: Any) -> Definition:
    job = {"image": "busybox", **data.pop("job", {})}
    return Definition(id=name, data={"id": name, "schedule": "@daily", "job": job, **data})


def cron_job(definition: Definition, *, source: str = SOURCE, deleting: bool = False) -> Manifest:
    """The CronJob of this definition as the cluster has it. `deleting`: it is on its way out."""
    made = render_schedule(Request.of(definition.event(source)), options=OPTIONS).job
    made["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:00Z"} if deleting else {}
    return made


def planned(
    wanted: list[Definition], found: list[Manifest], *, prune: bool = False
) -> list[tuple[str, str, list[str]]]:
    steps = plan(DefinitionSet(source=SOURCE, definitions=wanted), existing_by_id(found, SOURCE), prune=prune)
    return [(step.action, step.id, list(step.changed)) for step in steps]


def test_definitions_that_the_cluster_does_not_have_are_created() -> None:
    assert planned([define("b"), define("a")], []) == [("create", "b", []), ("create", "a", [])]


def test_an_equal_definition_is_unchanged() -> None:
    assert planned([define("a")], [cron_job(define("a"))]) == [("unchanged", "a", [])]


def test_the_order_of_fields_makes_no_difference() -> None:
    turned = Definition(id="a", data=dict(reversed(define("a").data.items())))
    assert planned([turned], [cron_job(define("a"))]) == [("unchanged", "a", [])]


def test_a_different_definition_is_updated_and_the_differences_are_named_by_path() -> None:
    before = define("a", retries=1, job={"command": ["sh", "-c", "one"]})
    after = define("a", schedule="@hourly", timeout=60, job={"command": ["sh", "-c", "two"]})
    changed = ["schedule", "job.command[2]", "retries", "timeout"]
    assert planned([after], [cron_job(before)]) == [("update", "a", changed)]


def test_definitions_not_in_the_file_are_kept_or_removed_in_the_order_of_ids() -> None:
    found = [cron_job(define(name)) for name in ("z", "b", "a")]
    assert planned([define("b")], found) == [("unchanged", "b", []), ("keep", "a", []), ("keep", "z", [])]
    assert planned([], found, prune=True) == [("remove", "a", []), ("remove", "b", []), ("remove", "z", [])]


def test_definitions_of_another_source_do_not_count() -> None:
    found = [cron_job(define("a"), source="/other")]
    assert planned([define("a")], found, prune=True) == [("create", "a", [])]


def test_a_definition_that_is_being_deleted_counts_as_gone() -> None:
    found = [cron_job(define(name), deleting=True) for name in ("a", "b")]
    assert planned([define("a")], found, prune=True) == [("create", "a", [])]


def test_a_definition_that_moves_to_another_namespace_is_updated() -> None:
    moved = define("a", job={"namespace": "team"})
    assert planned([moved], [cron_job(define("a"))]) == [("update", "a", ["job.namespace"])]


def test_a_definition_in_two_namespaces_is_brought_together() -> None:
    found = [cron_job(define("a")), cron_job(define("a", job={"namespace": "team"}))]
    assert planned([define("a")], found) == [("update", "a", ["job.namespace"])]


def test_the_hash_decides_if_the_event_cannot_be_read() -> None:
    same, other = cron_job(define("a")), cron_job(define("b"))
    for manifest in (same, other):
        manifest["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["annotations"][Annotation.EVENT] = "no event"
    wanted = [define("a"), define("b", retries=1)]
    assert planned(wanted, [same, other]) == [("unchanged", "a", []), ("update", "b", ["data"])]


def test_cron_jobs_without_our_annotations_are_left_out() -> None:
    manifest = cron_job(define("a"))
    del manifest["metadata"]["annotations"]
    assert existing_by_id([manifest], SOURCE) == {}


def test_a_step_knows_when_its_definition_runs() -> None:
    existing = existing_by_id([cron_job(define("old", timeZone="Europe/Berlin")), cron_job(define("a"))], SOURCE)
    wanted = DefinitionSet(source=SOURCE, definitions=[define("a", schedule="@hourly")])
    update, keep = plan(wanted, existing, prune=False)
    assert update.recurs["schedule"] == "@hourly"
    assert (keep.recurs["schedule"], keep.recurs["timeZone"]) == ("@daily", "Europe/Berlin")
    (found,) = existing["old"]
    assert found.name.startswith("default/")


def test_it_is_unknown_when_an_unreadable_definition_runs() -> None:
    unreadable = Existing(id="a", name="default/a", deleting=False, sha=None, data=None)
    (step,) = plan(DefinitionSet(source=SOURCE, definitions=[]), {"a": [unreadable]}, prune=True)
    assert (step.action, step.recurs) == (Action.REMOVE, {})


@pytest.mark.parametrize(
    ("old", "new", "paths"),
    [
        ({}, {}, []),
        ({"a": 1}, {"a": 1, "b": None}, []),
        ({"a": 1}, {"a": True}, ["a"]),
        ({"a": 1}, {"a": 1.0}, ["a"]),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}, ["a.c"]),
        ({"a": {"b": 1}}, {"a": [1]}, ["a"]),
        ({"a": {"b": 1}}, {}, ["a"]),
        ({"a": [1, 2]}, {"a": [1, 3]}, ["a[1]"]),
        ({"a": [1, 2]}, {"a": [1]}, ["a"]),
        ({"a": [{"b": 1}]}, {"a": [{"b": 2}]}, ["a[0].b"]),
        ({"a.b": 1}, {"a.b": 2}, ["'a.b'"]),
        ({"tags": []}, {}, ["tags"]),
    ],
)
def test_differences_are_named_by_path(old: Any, new: Any, paths: list[str]) -> None:
    assert difference(old, new) == paths
    assert sorted(difference(new, old)) == sorted(paths)


@pytest.mark.parametrize(
    ("old", "new", "paths"),
    [
        ({"A": "1", "B": "2"}, {"A": "1", "B": "3"}, ["env.B"]),
        ({"A": "1", "B": "2"}, {"B": "2"}, ["env.A"]),
        ({"B": "2"}, {"B": "2", "C": "4"}, ["env.C"]),
        ({"A": "1", "B": "2"}, {"B": "2", "A": "1"}, ["env"]),
    ],
)
def test_differences_of_variables_have_their_names_but_not_their_values(
    old: dict[str, str], new: dict[str, str], paths: list[str]
) -> None:
    before, after = ({"env": [{"name": name, "value": value} for name, value in env.items()]} for env in (old, new))
    assert difference(before, after) == paths


def test_differences_of_variables_with_the_same_name_have_their_index() -> None:
    before = {"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}
    after = {"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "3"}]}
    assert difference(before, after) == ["env[1].value"]
