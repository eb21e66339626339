"""The labels and annotations by which Kueue manages a Job, of a request or of a function."""

from typing import Any

import pytest

from events.functions.file import parse_functions
from events.functions.functions import Call
from events.jobs.queueing import Queueing
from events.names import Annotation
from k8s.kueue import GATED_BY, PAYLOAD_GATE, PRIORITY_CLASS, QUEUE_NAME, KueueOptions
from k8s.manifests.function import render_call
from k8s.manifests.job import Rendered, render
from k8s.reading.job import job_of
from tests.events.samples import make_event
from tests.k8s.manifests.test_function import make_job
from tests.k8s.requests import make_request, options

TEAM = KueueOptions(queue="team", classes=((10, "low"), (500, "high")))
NO_QUEUE = KueueOptions(classes=TEAM.classes)


def governs(queueing: Queueing, service: str | None) -> bool:
    """Settings by which every Job would wait for our own admission."""
    return True


def of_request(kueue: KueueOptions, *, labels: Any = None, inline_bytes: int = 16384, **data: Any) -> Rendered:
    job = {"image": "busybox:1", **({"labels": labels} if labels else {})}
    return render(
        make_request(job=job, **data), options=options(kueue=kueue, inline_bytes=inline_bytes, governs=governs)
    )


def of_function(kueue: KueueOptions, *, labels: Any = None, inline_bytes: int = 16384, **fields: Any) -> Rendered:
    job = make_job(metadata={"labels": labels} if labels else None)
    (function,) = parse_functions({"functions": [{"name": "thumb", "filters": [], "job": job, **fields}]})
    given = options(kueue=kueue, inline_bytes=inline_bytes, governs=governs)
    return render_call(Call.of(function, make_event()), options=given)


def queue_and_class(rendered: Rendered) -> tuple[str | None, str | None]:
    """The labels that Kueue reads."""
    labels = rendered.job["metadata"]["labels"]
    return labels.get(QUEUE_NAME), labels.get(PRIORITY_CLASS)


either = pytest.mark.parametrize("made", [of_request, of_function])


@either
def test_a_job_in_a_kueue_queue_is_suspended_and_not_in_our_queue(made: Any) -> None:
    rendered = made(TEAM)
    assert rendered.kueue
    assert queue_and_class(rendered) == ("team", None)
    assert rendered.job["spec"]["suspend"] is True
    assert not {Annotation.QUEUED, Annotation.PAYLOAD, GATED_BY} & rendered.job["metadata"]["annotations"].keys()
    assert not {QUEUE_NAME, PRIORITY_CLASS} & rendered.job["spec"]["template"]["metadata"]["labels"].keys()
    assert job_of(rendered.job).kueue


@either
def test_a_job_without_a_kueue_queue_is_not_kueues(made: Any) -> None:
    rendered = made(NO_QUEUE)
    assert not rendered.kueue
    assert queue_and_class(rendered) == (None, None)
    assert Annotation.QUEUED in rendered.job["metadata"]["annotations"]
    assert not job_of(rendered.job).kueue


@either
def test_labels_of_the_job_override_the_setting(made: Any) -> None:
    own = {QUEUE_NAME: "own", PRIORITY_CLASS: "mine"}
    assert queue_and_class(made(TEAM, labels=own)) == ("own", "mine")
    alone = made(NO_QUEUE, labels=own)
    assert alone.kueue
    assert alone.job["spec"]["suspend"] is True
    assert Annotation.QUEUED not in alone.job["metadata"]["annotations"]


def test_an_empty_label_does_not_bypass_the_queue() -> None:
    assert queue_and_class(of_request(TEAM, labels={QUEUE_NAME: ""})) == ("team", None)
    assert not of_request(NO_QUEUE, labels={QUEUE_NAME: ""}).kueue


def test_a_function_names_its_own_queue() -> None:
    assert queue_and_class(of_function(TEAM, queueName="batch")) == ("batch", None)
    assert queue_and_class(of_function(NO_QUEUE, queueName="batch", queue={"priority": 600})) == ("batch", "high")


@pytest.mark.parametrize(
    ("priority", "expected"), [(9, None), (10, "low"), (499, "low"), (500, "high"), (1000, "high")]
)
def test_the_priority_class_is_the_last_whose_threshold_is_reached(priority: int, expected: str | None) -> None:
    assert queue_and_class(of_request(TEAM, priority=priority)) == ("team", expected)
    assert queue_and_class(of_function(TEAM, queue={"priority": priority})) == ("team", expected)


@either
def test_a_job_is_gated_from_kueue_until_its_payload_exists(made: Any) -> None:
    notes = made(TEAM, inline_bytes=0).job["metadata"]["annotations"]
    assert (notes[Annotation.PAYLOAD], notes[GATED_BY]) == ("pending", PAYLOAD_GATE)
    assert GATED_BY not in made(NO_QUEUE, inline_bytes=0).job["metadata"]["annotations"]
