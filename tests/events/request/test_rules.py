"""Rules that are skipped because none of their fields is there would have found nothing."""

from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from events.request.job import JobSpec
from events.request.request import JobRequest
from events.request.rules import OF_JOB, OF_REQUEST, across
from tests.long import examples

LONG = "é" * 70_000
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, 5, "Indexed", "TerminatingOrFailed", "text", [], {}),
    {"limit": 3, "mountPath": "/a", "rules": [{"action": "FailIndex", "succeededCount": 9}], "text": LONG},
    [{"mountPath": "/a", "name": "A", "value": LONG}, {"mountPath": "/a"}],
    [LONG, "text"],
)
"""What breaks some rule, if it is the value of the right field."""


def _fields(model: type[JobRequest] | type[JobSpec]) -> list[str]:
    return [str(field.alias) for field in model.model_fields.values()]


OF_THE_JOB, OF_THE_REQUEST = _fields(JobSpec), [name for name in _fields(JobRequest) if name not in ("job", "failover")]


def _objects(names: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(names), st.sampled_from(VALUES), max_size=5)


@given(_objects(OF_THE_REQUEST), _objects(OF_THE_JOB))
@settings(max_examples=examples(400), deadline=None)
def test_no_rule_that_is_skipped_has_anything_to_say(data: dict[str, Any], job: dict[str, Any]) -> None:
    whole = {**data, "job": job}
    everything = [error for rule in OF_REQUEST for error in rule.broken(whole)]
    everything += [error for rule in OF_JOB for error in rule.broken(job)]
    assert across(whole) == everything


BROKEN: dict[str, dict[str, Any]] = {
    "retries": {"retries": 1, "job": {"backoffLimit": 2}},
    "retryDelay": {"retryDelay": 5},
    "exclusive": {"exclusive": True},
    "dependencies": {"dependencies": ["a"], "id": "a"},
    "onDependencyFailure": {"onDependencyFailure": "run"},
    "dependencyTimeout": {"dependencyTimeout": 5},
    "schedule": {"schedule": "@daily", "payload": "secret"},
    "timeZone": {"timeZone": "Etc/UTC"},
    "maxRuns": {"maxRuns": 1},
    "concurrencyPolicy": {"concurrencyPolicy": "Allow"},
    "tags": {"tags": [LONG]},
    "metadata": {"metadata": {"a": LONG}},
    "completionMode": {"job": {"completionMode": "Indexed"}},
    "backoffLimitPerIndex": {"job": {"backoffLimitPerIndex": 1}},
    "maxFailedIndexes": {"job": {"maxFailedIndexes": 1}},
    "successPolicy": {"job": {"successPolicy": {}}},
    "podFailurePolicy": {"job": {"podFailurePolicy": {"rules": [{"action": "FailIndex"}]}}},
    "gpuNumber": {"job": {"gpuNumber": 1}},
    "volumes": {"job": {"volumes": [{"mountPath": "/a"}, {"mountPath": "/a"}]}},
    "annotations": {"job": {"annotations": {"a": LONG}}},
    "command": {"job": {"command": [LONG]}},
    "args": {"job": {"args": [LONG]}},
    "env": {"job": {"env": [{"name": "A", "value": LONG}]}},
}
"""Of each field that a rule needs: what breaks that rule with no other such field."""


@pytest.mark.parametrize("name", BROKEN)
def test_each_field_that_a_rule_needs_is_enough(name: str) -> None:
    assert across(BROKEN[name])


def test_every_field_that_a_rule_needs_is_tried_and_is_a_field() -> None:
    of_request, of_job = (frozenset[str]().union(*(rule.needs for rule in rules)) for rules in (OF_REQUEST, OF_JOB))
    assert of_request | of_job == BROKEN.keys()
    assert of_request < set(OF_THE_REQUEST)
    assert of_job < set(OF_THE_JOB)
