"""What jobrelay calls its own requests and events, nobody else may call theirs."""

import pytest
from msgspec.structs import replace

from events.cloudevent.event import from_parts
from events.identity import Identity
from events.jobs.observed import Job
from events.lifecycle.events import rejected_event
from events.lifecycle.outcome import failover_id
from events.lifecycle.schedules import run_id, run_time
from events.problems import InvalidRequest
from events.request.request import Request, parse_request
from tests.events.samples import make_request_event

JOB = Job(namespace="n", name="j", uid="u", version=1, created=1.7e9, request_id="x", source="/s")
RUN = run_id("x", run_time(JOB))
IDS = [
    failover_id(JOB),
    failover_id(replace(JOB, request_id="x" * 250)),
    RUN,
    failover_id(replace(JOB, request_id=RUN)),
    "b/failover",
    "a/failover/failover",
]
REJECTED = rejected_event(
    instance="team",
    event_attributes={},
    code="FORBIDDEN",
    message="m",
    fields=(),
    replays=0,
    service=None,
    request_id="x",
)


@pytest.mark.parametrize("request_id", IDS)
@pytest.mark.parametrize("given", [True, False], ids=["in data", "the event's"])
def test_ids_of_failovers_and_runs_are_reserved(request_id: str, given: bool) -> None:
    event = make_request_event({"job": {"image": "b"}, **({"id": request_id} if given else {})})
    event = event if given else from_parts({**event.get_attributes(), "id": request_id}, event.get_data())
    with pytest.raises(InvalidRequest) as caught:
        parse_request(event)
    (error,) = caught.value.errors
    assert error.path == "id"
    assert "reserved" in error.message
    assert request_id not in str(error)


@pytest.mark.parametrize(
    "source", ["/namespaces/n/jobs/j", "/namespaces/n/cronjobs/j", "/namespaces/n/jobs/j/x", REJECTED.get_source()]
)
def test_sources_of_our_own_events_are_reserved(source: str) -> None:
    event = make_request_event({"id": "fine", "job": {"image": "b"}})
    with pytest.raises(InvalidRequest, match="reserved for jobrelay's own events") as caught:
        parse_request(from_parts({**event.get_attributes(), "source": source}, event.get_data()))
    assert [error.path for error in caught.value.errors] == ["source"]


@pytest.mark.parametrize(
    ("source", "request_id"),
    [
        ("/jobrelay/cli/me@here", "x"),
        ("/jobrelay/import/jobs", "a/failover/b"),
        ("/namespaces/n/pods/j", "failover"),
        ("https://shop.example/namespaces/n/jobs/j", "at@2026-01-01"),
        ("/shop", "x@2026-01-01T00:00:00Z/b"),
    ],
)
def test_what_only_resembles_them_is_not(source: str, request_id: str) -> None:
    event = make_request_event({"id": request_id, "job": {"image": "b"}})
    request = Request.of(from_parts({**event.get_attributes(), "source": source}, event.get_data()))
    assert request.identity == Identity(source, request_id)
