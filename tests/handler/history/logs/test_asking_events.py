"""The event that asked for a request is kept as it is on its Job, once, and only where it is to be kept."""

from typing import Any

import pytest
from msgspec.structs import replace

from events.names import Annotation
from handler.history.base import Key
from handler.history.bounds import MAX_ASKED
from handler.history.logs.owners import event_of
from k8s.base import Manifest
from tests.handler.history.logs.wards import Ward, job_manifest, make_seen
from tests.handler.samples import until

BROKEN: tuple[Any, ...] = (None, 7, [], "x", {"metadata": None}, {"metadata": {"annotations": []}})


def carrying(text: object, name: str = "a") -> Manifest:
    """A Job whose template has this as its event."""
    marks = {Annotation.JOB: f"default/{name}", Annotation.ID: name, Annotation.SOURCE: "/tests"}
    template = {"metadata": {"annotations": {**marks, Annotation.EVENT: text}}}
    return {**job_manifest(name), "spec": {"template": template}}


def test_the_event_is_what_the_template_has_byte_for_byte() -> None:
    assert event_of(carrying('{"id": "é"}')) == '{"id": "é"}'.encode()
    assert event_of(carrying("x" * MAX_ASKED)) == b"x" * MAX_ASKED


@pytest.mark.parametrize("text", [None, 7, {}, "x" * (MAX_ASKED + 1), "é" * (MAX_ASKED // 2 + 1)])
def test_what_is_no_text_or_too_long_is_none(text: object) -> None:
    assert event_of(carrying(text)) is None


@pytest.mark.parametrize("template", BROKEN)
def test_a_template_of_any_shape_has_none(template: object) -> None:
    assert event_of({"spec": {"template": template}}) is None


def test_what_no_database_takes_as_text_is_bytes() -> None:
    assert event_of(carrying("a\ud800\0")) == b"a?\0"


@pytest.mark.parametrize(("events", "kept"), [("on", 1), ("off", 0)])
async def test_it_is_told_once_of_all_pods_of_a_job(events: str, kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    ward, told = Ward(), []
    ward.jobs["a"] = carrying("{}")
    keep = ward.shelves.keep_pod

    async def noting(key: Key, *given: Any, **more: Any) -> None:
        await keep(key, *given, **more)
        told.append(more["asked"])

    monkeypatch.setattr(ward.shelves, "keep_pod", noting)
    ward.shelves.ill = 2
    first = make_seen("a", over=False)
    async with ward.keeping(first, history_events=events):
        await until(lambda: ward.noted("a"))
        other = make_seen("b", job="a", job_uid="job-a")
        ward.pods.put(other)
        ward.pods.put(replace(first, over=True))
        await ward.kept("b")
    assert len(told) > 1
    assert [one for one in told if one is not None] == [b"{}"] * kept
    assert [*ward.shelves.events.values()] == [b"{}"] * kept
