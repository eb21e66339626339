"""The labels and annotations by which Kueue takes a Job, whoever asked for it."""

from typing import Any

import pytest

from events.functions.functions import Call, parse_functions
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
    """Every Job would wait for our own admission."""
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


def kueue_s(rendered: Rendered) -> tuple[str | None, str | None]:
    """Queue and priority class."""
    labels = rendered.job["metadata"]["labels"]
    return labels.get(QUEUE_NAME), labels.get(PRIORITY_CLASS)


either = pytest.mark.parametrize("made", [of_request, of_function])


@either
def test_a_job_in_a_queue_of_kueue_s_is_suspended_and_in_none_of_ours(made: Any) -> None:
    rendered = made(TEAM)
    assert rendered.kueue
    assert kueue_s(rendered) == ("team", None)
    assert rendered.job["spec"]["suspend"] is True
    assert not {Annotation.QUEUED, Annotation.PAYLOAD, GATED_BY} & rendered.job["metadata"]["annotations"].keys()
    assert not {QUEUE_NAME, PRIORITY_CLASS} & rendered.job["spec"]["template"]["metadata"]["labels"].keys()
    assert job_of(rendered.job).kueue


@either
def test_without_one_nothing_is_kueue_s(made: Any) -> None:
    rendered = made(NO_QUEUE)
    assert not rendered.kueue
    assert kueue_s(rendered) == (None, None)
    assert Annotation.QUEUED in rendered.job["metadata"]["annotations"]
    assert not job_of(rendered.job).kueue


@either
def test_what_stands_on_the_job_already_comes_before_the_setting(made: Any) -> None:
    own = {QUEUE_NAME: "own", PRIORITY_CLASS: "mine"}
    assert kueue_s(made(TEAM, labels=own)) == ("own", "mine")
    alone = made(NO_QUEUE, labels=own)
    assert alone.kueue
    assert alone.job["spec"]["suspend"] is True
    assert Annotation.QUEUED not in alone.job["metadata"]["annotations"]


def test_an_empty_label_is_no_way_past_the_queue() -> None:
    assert kueue_s(of_request(TEAM, labels={QUEUE_NAME: ""})) == ("team", None)
    assert not of_request(NO_QUEUE, labels={QUEUE_NAME: ""}).kueue


def test_a_function_names_its_own_queue() -> None:
    assert kueue_s(of_function(TEAM, queueName="batch")) == ("batch", None)
    assert kueue_s(of_function(NO_QUEUE, queueName="batch", queue={"priority": 600})) == ("batch", "high")


@pytest.mark.parametrize(
    ("priority", "expected"), [(9, None), (10, "low"), (499, "low"), (500, "high"), (1000, "high")]
)
def test_the_priority_class_is_the_last_whose_number_is_reached(priority: int, expected: str | None) -> None:
    assert kueue_s(of_request(TEAM, priority=priority)) == ("team", expected)
    assert kueue_s(of_function(TEAM, queue={"priority": priority})) == ("team", expected)


@either
def test_kueue_leaves_a_job_alone_until_its_payload_is_there(made: Any) -> None:
    notes = made(TEAM, inline_bytes=0).job["metadata"]["annotations"]
    assert (notes[Annotation.PAYLOAD], notes[GATED_BY]) == ("pending", PAYLOAD_GATE)
    assert GATED_BY not in made(NO_QUEUE, inline_bytes=0).job["metadata"]["annotations"]
