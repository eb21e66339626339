"""Label and field selectors select what they select in Kubernetes."""

import pytest

from k8s.devcluster.api.selectors import compile_selector
from k8s.devcluster.errors import ApiError
from k8s.devcluster.resources import RESOURCES
from k8s.devcluster.store.history import Version

JOBS, PODS = RESOURCES["jobs"], RESOURCES["pods"]


def make_version(labels: dict[str, str]) -> Version:
    return Version(data=b"", key=("ns", "name"), number=1, labels=labels, fields={"status.phase": "Running"})


@pytest.mark.parametrize(
    ("selector", "labels", "selected"),
    [
        ("a=b", {"a": "b"}, True),
        ("a==b", {"a": "c"}, False),
        ("a=", {"a": ""}, True),
        ("a=", {}, False),
        ("a!=b", {}, True),
        ("a!=b", {"a": "b"}, False),
        ("a", {"a": ""}, True),
        ("a", {}, False),
        ("!a", {}, True),
        (" ! a ", {"a": "b"}, False),
        ("a in (b, c)", {"a": "c"}, True),
        ("a in (b,c)", {}, False),
        ("a in ()", {"a": ""}, True),
        ("a in (b,)", {"a": ""}, True),
        ("a notin (b)", {}, True),
        ("a notin (b,c)", {"a": "c"}, False),
        ("in in (in)", {"in": "in"}, True),
        ("a>1", {"a": "2"}, True),
        ("a>1", {"a": "x"}, False),
        ("a<1", {}, False),
        ("a<3,a>1", {"a": "2"}, True),
        ("a=b,c=d", {"a": "b"}, False),
        ("example.com/a=b,c", {"example.com/a": "b", "c": "x"}, True),
    ],
)
def test_labels_select(selector: str, labels: dict[str, str], selected: bool) -> None:
    compiled = compile_selector(JOBS, selector, None)
    assert compiled is not None
    assert compiled(make_version(labels)) is selected


@pytest.mark.parametrize(
    "selector",
    [
        "a===b",
        "a=b,",
        "a in b",
        "a in (b",
        "a in (b c)",
        "=b",
        "a>x",
        "a b",
        "(a)",
        "a=b c",
        "a,,b",
        "/x=y",
        "a=not valid",
    ],
)
def test_selectors_that_cannot_be_parsed_are_refused(selector: str) -> None:
    with pytest.raises(ApiError) as caught:
        compile_selector(JOBS, selector, None)
    assert caught.value.code == 400
    assert caught.value.message.startswith("unable to parse requirement: ")


@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        ("metadata.name=name", True),
        ("metadata.name!=name", False),
        ("metadata.namespace==ns,status.phase=Running", True),
        ("status.phase=Pending", False),
        (r"metadata.name=na\,me", False),
    ],
)
def test_fields_select(selector: str, selected: bool) -> None:
    compiled = compile_selector(PODS, None, selector)
    assert compiled is not None
    assert compiled(make_version({})) is selected


@pytest.mark.parametrize("selector", ["spec.nodeName=x", "nonsense"])
def test_fields_that_a_kind_cannot_be_selected_by_are_refused(selector: str) -> None:
    with pytest.raises(ApiError):
        compile_selector(JOBS, None, selector)


def test_an_empty_selector_needs_no_check() -> None:
    assert compile_selector(JOBS, "", None) is None
