"""Patches, applied to what is stored: the cases of RFC 7386 and RFC 6902, and Kubernetes' own merge."""

from copy import deepcopy
from typing import Any

import pytest

from k8s.devcluster.api.patch import apply_patch, json_patch, merge_patch, strategic_patch
from k8s.devcluster.errors import ApiError


@pytest.mark.parametrize(
    ("target", "patch", "expected"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patches_follow_the_rfc(target: Any, patch: Any, expected: Any) -> None:
    before = deepcopy(target)
    assert merge_patch(target, patch) == expected
    assert target == before


ENV = [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]


@pytest.mark.parametrize(
    ("target", "patch", "expected"),
    [
        ({"env": ENV}, {"env": [{"name": "B", "value": "3"}]}, {"env": [ENV[0], {"name": "B", "value": "3"}]}),
        ({"env": ENV}, {"env": [{"name": "C"}]}, {"env": [*ENV, {"name": "C"}]}),
        ({"env": ENV}, {"env": [{"name": "A", "$patch": "delete"}]}, {"env": [ENV[1]]}),
        ({"env": ENV}, {"env": [{"name": "Z", "$patch": "delete"}]}, {"env": ENV}),
        ({"env": ENV}, {"env": [{"$patch": "replace"}, {"name": "C"}]}, {"env": [{"name": "C"}]}),
        ({"env": ENV}, {"env": None}, {}),
        ({}, {"env": [{"name": "A"}, {"name": "B", "$patch": "delete"}]}, {"env": [{"name": "A"}]}),
        ({"args": ["a", "b"]}, {"args": ["c"]}, {"args": ["c"]}),
        ({"tolerations": [{"key": "a"}]}, {"tolerations": [{"key": "b"}]}, {"tolerations": [{"key": "b"}]}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"$patch": "replace", "d": 3}}, {"a": {"d": 3}}),
        ({"a": {"b": 1}}, {"a": {"$patch": "delete"}}, {"a": {}}),
        ({"v": {"x": 1, "y": 2}}, {"v": {"$retainKeys": ["y"], "y": 3}}, {"v": {"y": 3}}),
        ({"finalizers": ["a", "b"]}, {"finalizers": ["b", "c"]}, {"finalizers": ["a", "b", "c"]}),
        ({"finalizers": ["a", "b"]}, {"$deleteFromPrimitiveList/finalizers": ["a"]}, {"finalizers": ["b"]}),
        ({"a": 1}, {"$setElementOrder/env": ["x"], "b": 2}, {"a": 1, "b": 2}),
        (
            {"ownerReferences": [{"uid": "1", "name": "x"}]},
            {"ownerReferences": [{"uid": "1", "controller": True}]},
            {"ownerReferences": [{"uid": "1", "name": "x", "controller": True}]},
        ),
    ],
)
def test_strategic_patches_merge_lists_by_their_keys(target: Any, patch: Any, expected: Any) -> None:
    before = deepcopy(target)
    assert strategic_patch(target, patch) == expected
    assert target == before


def test_an_item_without_its_merge_key_is_refused() -> None:
    with pytest.raises(ApiError, match="does not contain declared merge key: name"):
        strategic_patch({"env": ENV}, {"env": [{"value": "x"}]})


@pytest.mark.parametrize(
    ("operations", "expected"),
    [
        ([{"op": "add", "path": "/list/1", "value": "x"}], {"list": ["a", "x", "b"], "map": {"k": "v"}}),
        ([{"op": "add", "path": "/list/-", "value": "x"}], {"list": ["a", "b", "x"], "map": {"k": "v"}}),
        ([{"op": "add", "path": "/map/a~1b~0c", "value": 1}], {"list": ["a", "b"], "map": {"k": "v", "a/b~c": 1}}),
        ([{"op": "remove", "path": "/list/0"}, {"op": "remove", "path": "/map"}], {"list": ["b"]}),
        ([{"op": "replace", "path": "/map/k", "value": 2}], {"list": ["a", "b"], "map": {"k": 2}}),
        ([{"op": "move", "from": "/map/k", "path": "/list/0"}], {"list": ["v", "a", "b"], "map": {}}),
        ([{"op": "copy", "from": "/map", "path": "/x"}], {"list": ["a", "b"], "map": {"k": "v"}, "x": {"k": "v"}}),
        ([{"op": "test", "path": "/list", "value": ["a", "b"]}], {"list": ["a", "b"], "map": {"k": "v"}}),
    ],
)
def test_json_patches_follow_the_rfc(operations: Any, expected: Any) -> None:
    assert json_patch({"list": ["a", "b"], "map": {"k": "v"}}, operations) == expected


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/map/k", "value": "other"},
        {"op": "remove", "path": "/absent"},
        {"op": "replace", "path": "/absent", "value": 1},
        {"op": "add", "path": "/list/7", "value": 1},
        {"op": "add", "path": "/absent/deep", "value": 1},
        {"op": "add", "path": "/list/x", "value": 1},
        {"op": "add", "path": "map", "value": 1},
        {"op": "replace", "path": "/list/-", "value": 1},
        {"op": "add", "path": "/map/x"},
        {"op": "bend", "path": "/map"},
        {"path": "/map"},
    ],
)
def test_json_patches_that_do_not_fit_are_invalid(operation: Any) -> None:
    with pytest.raises(ApiError) as caught:
        json_patch({"list": ["a", "b"], "map": {"k": "v"}}, [operation])
    assert (caught.value.code, caught.value.reason) == (422, "Invalid")


def test_a_copied_value_is_no_alias() -> None:
    steps = [
        {"op": "copy", "from": "/map", "path": "/other"},
        {"op": "replace", "path": "/other/k", "value": "changed"},
    ]
    assert json_patch({"map": {"k": "v"}}, steps) == {"map": {"k": "v"}, "other": {"k": "changed"}}


def test_only_the_three_kinds_of_patches_are_known() -> None:
    with pytest.raises(ApiError) as caught:
        apply_patch("application/apply-patch+yaml", {}, {})
    assert caught.value.code == 415
