"""Schema and handler agree on requests: on examples, and on each example with a single value replaced."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from events.cloudevent.event import build
from events.contract.schema import schema_of
from events.names import REQUESTED_TYPE
from events.problems import InvalidRequest
from events.request.request import parse_request
from tests.events.contract.samples import REQUESTS, example

VALIDATOR = Draft202012Validator(schema_of("request", data=True))
REPLACEMENTS: tuple[Any, ...] = (
    None,
    True,
    False,
    -1,
    0,
    1,
    2**40,
    1.5,
    "",
    "a",
    "A_b",
    "a/b",
    "/a",
    "../a",
    "a\x00",
    "a" * 300,
    [],
    ["a"],
    {},
)
FULL = {
    "id": "full",
    "tags": ["a"],
    "startTimeout": 5,
    "job": {
        "image": "a",
        "labels": {"example.com/a": "b"},
        "annotations": {"note": "c"},
        "imagePullPolicy": "Always",
        "imagePullSecrets": [{"name": "a"}],
        "workingDir": "/a",
        "volumes": [
            {"mountPath": "/a", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
            {"mountPath": "/b", "configMap": "b", "subPath": "c/d", "readOnly": True},
            {"mountPath": "/c", "ephemeral": {"storage": 1000, "accessModes": ["ReadWriteOnce"]}},
        ],
        "securityContext": {"runAsUser": 1000, "runAsNonRoot": True, "capabilities": {"drop": ["ALL"]}},
        "tolerations": [{"key": "a", "operator": "Equal", "value": "b", "effect": "NoExecute", "tolerationSeconds": 5}],
        "affinity": {
            "podAntiAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {
                        "weight": 5,
                        "podAffinityTerm": {"topologyKey": "a", "labelSelector": {"matchLabels": {"app": "a"}}},
                    }
                ]
            }
        },
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "a", "whenUnsatisfiable": "ScheduleAnyway"}],
        "completions": 5,
        "completionMode": "Indexed",
        "successPolicy": {"rules": [{"succeededIndexes": "0-2", "succeededCount": 2}]},
    },
}


def places(part: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    inner = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    for name, value in inner:
        yield from places(value, (*path, name))


def changed(data: Any, path: tuple[Any, ...], value: Any) -> Any:
    document = copy.deepcopy(data)
    holder = document
    for name in path[:-1]:
        holder = holder[name]
    holder[path[-1]] = value
    return document


def accepted(data: Any) -> bool:
    attributes = {"specversion": "1.0", "type": REQUESTED_TYPE, "source": "/a", "id": "a"}
    try:
        parse_request(build(attributes, data))
    except InvalidRequest:
        return False
    return True


@pytest.mark.parametrize("data", [FULL, *(example(name)["data"] for name in REQUESTS)], ids=["full", *REQUESTS])
def test_schema_accepts_all_that_the_handler_accepts_and_rejects_nearly_all_that_it_refuses(data: Any) -> None:
    assert accepted(data)
    assert VALIDATOR.is_valid(data)
    refused = missed = 0
    for path in places(data):
        for value in REPLACEMENTS:
            document = changed(data, path, value)
            valid, good = VALIDATOR.is_valid(document), accepted(document)
            assert valid or not good, (path, value)
            refused += not good
            missed += valid and not good
    # Rules about several fields together cannot be in the schema.
    assert refused > 50
    assert missed <= refused / 20
