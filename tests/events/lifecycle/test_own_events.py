"""Events that we build without looking keep the rules of CloudEvents, whatever stands in the cluster's objects."""

from typing import Any

import msgspec
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given, strategies as st

from events.cloudevent.event import build, decode_structured, encode_structured
from events.jobs.observed import Job, Schedule
from events.lifecycle.events import lifecycle_event, rejected_event, schedule_event
from events.lifecycle.schedules import scheduled, unscheduled
from events.lifecycle.transitions import transitions
from tests.events.samples import NOON, condition, failed, make_job, make_pod, make_schedule, running

# What JSON of the API server can hold: no lone surrogates.
texts = st.one_of(
    st.sampled_from(
        ["", "r1", "f/e1", "/tests", "\x00", "a\nb", "\ufdd0", "\U0010ffff", "ä" * 5000, "2026-01-01T12:00:00Z"]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
)
maybe = st.none() | texts


def as_json(**values: st.SearchStrategy[Any]) -> st.SearchStrategy[str]:
    """An annotation with an object of these values, of which any may be missing."""
    return st.fixed_dictionaries({}, optional=values).map(lambda found: msgspec.json.encode(found).decode())


contexts = texts | as_json(
    **dict.fromkeys(("id", "type", "correlationid", "traceparent", "tracestate", "actor"), texts)
)
starts = st.none() | as_json(
    at=texts,
    suffix=texts,
    attempt=st.integers(0, 3),
    podId=texts,
    podName=texts,
)
verdicts = st.none() | as_json(phase=st.sampled_from(["failed", "cancelled"]), errorCode=texts, message=texts, at=texts)
about = {"request_id": texts, "source": texts, "service": maybe, "context": contexts, "tags": maybe, "metadata": maybe}
jobs = st.builds(
    make_job,
    **about,
    run=maybe,
    started=starts,
    verdict=verdicts,
    suspended_by=maybe,
    released=maybe,
    asked=texts,
    queueing=maybe,
    conditions=st.sampled_from(
        [(), (condition("Suspended", at=3),), (condition("Failed", at=7, reason="BackoffLimitExceeded", message="x"),)]
    ),
)
schedules = st.builds(
    make_schedule, **about, runs=maybe, cron=texts, time_zone=maybe, deleted=st.sampled_from([None, NOON])
)
pods = st.sampled_from([[], [make_pod()], [running(at=2)], [failed(at=4)]])


def assert_keeps_the_rules(event: CloudEvent) -> None:
    attributes = event.get_attributes()
    assert build(attributes, event.get_data()).get_attributes() == attributes
    assert decode_structured(encode_structured(event)).get_attributes() == attributes


@given(jobs, pods)
def test_events_of_any_job_keep_the_rules(job: Job, pods: list[Any]) -> None:
    for transition in transitions(job, pods):
        assert_keeps_the_rules(lifecycle_event(job, transition))


@given(schedules)
def test_events_of_any_schedule_keep_the_rules(schedule: Schedule) -> None:
    for transition in (scheduled(schedule), unscheduled(schedule)):
        assert_keeps_the_rules(schedule_event(schedule, transition))


@given(
    st.dictionaries(st.sampled_from(["id", "source", "type", "correlationid", "actor"]), texts | st.integers()), maybe
)
def test_refusals_of_any_event_keep_the_rules(attributes: dict[str, object], request_id: str | None) -> None:
    event = rejected_event(
        instance="jobrelay",
        event_attributes=attributes,
        code="INVALID_EVENT",
        message="no event",
        fields=(),
        replays=0,
        service=None,
        request_id=request_id,
    )
    assert_keeps_the_rules(event)
