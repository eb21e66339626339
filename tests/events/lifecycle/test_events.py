"""Lifecycle events as subscribers see them."""

from typing import Any

import orjson
import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from events.cloudevent.attributes import MAX_VALUE
from events.cloudevent.event import decode_structured, encode_structured
from events.jobs.context import context_annotation
from events.lifecycle.events import (
    LEAST_BYTES,
    least,
    lifecycle_event,
    rejected_event,
    schedule_event,
    shortened,
    undelivered,
)
from events.lifecycle.transitions import Transition, transitions
from events.phases import TERMINAL, Phase
from events.problems import FieldError
from tests.events.samples import NOON, condition, failed, make_event, make_job, make_pod, make_schedule, succeeded

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def make_transition(phase: Phase = Phase.STARTED, **detail: Any) -> Transition:
    return Transition(phase=phase, time=NOON + 1.7, detail={"attempt": 1} | detail)


def detail_of(event: CloudEvent) -> dict[str, Any]:
    data: Any = event.get_data()
    return dict(data["detail"])


def rejected(**changes: Any) -> CloudEvent:
    fixed: dict[str, Any] = {
        "instance": "jobrelay",
        "event_attributes": {"id": "e1", "source": "/shop", "type": "t"},
        "code": "INVALID_REQUEST",
        "message": "job is missing",
        "fields": [FieldError("job", "is missing"), FieldError("job.image", "is wrong", "a name")],
        "replays": 0,
        "service": "mail",
        "request_id": "r1",
    }
    return rejected_event(**(fixed | changes))


def test_event_says_what_happened_to_which_request() -> None:
    job = make_job(service="mail", tags='["a"]', metadata='{"k":{"x":1}}')
    event = lifecycle_event(job, make_transition(podName="p1"))
    assert event.get_attributes() == {
        "specversion": "1.0",
        "type": "dev.jobrelay.job.started",
        "id": "uid-1/started",
        "source": "/namespaces/default/jobs/mail-abc",
        "subject": "r1",
        "time": event.get_time(),
        "datacontenttype": "application/json",
        "requestsource": job.source,
        "causationid": "e1",
        "correlationid": "r1",
        "partitionkey": "r1",
    }
    assert event.get_data() == {
        "id": "r1",
        "status": 1,
        "detail": {
            "service": "mail",
            "phase": "started",
            "attempt": 1,
            "podName": "p1",
            "tags": ["a"],
            "metadata": {"k": {"x": 1}},
        },
    }


def test_source_of_the_request_goes_with_every_event_however_long_it_is() -> None:
    source = "/ä" * (MAX_VALUE // 3)
    for event in (
        lifecycle_event(make_job(source=source), make_transition()),
        rejected(event_attributes={"id": "e1", "source": source}),
    ):
        for copy in (event, shortened(event), undelivered(event, topic="t", reason="r")):
            assert decode_structured(encode_structured(copy)).get_extension("requestsource") == source
            assert JSONFormat().read(None, encode_structured(copy)).get_extension("requestsource") == source


@pytest.mark.parametrize("source", ["", "/a\nb", "x" * (MAX_VALUE + 1)])
def test_a_source_that_is_no_attribute_is_left_out(source: str) -> None:
    for event in (
        lifecycle_event(make_job(source=source), make_transition()),
        rejected(event_attributes={"id": "e1", "source": source}),
        rejected(event_attributes={"id": "e1", "requestsource": "/another"}),
    ):
        assert event.get_extension("requestsource") is None
        assert encode_structured(event)


def test_time_is_that_of_kubernetes_in_whole_seconds() -> None:
    assert (
        orjson.loads(encode_structured(lifecycle_event(make_job(), make_transition())))["time"]
        == "2026-11-21T12:00:01Z"
    )


@pytest.mark.parametrize(
    ("phase", "status"),
    [
        (Phase.CREATED, 0),
        (Phase.STARTED, 1),
        (Phase.SUCCEEDED, 2),
        (Phase.FAILED, 3),
        (Phase.CANCELLED, 3),
        (Phase.STALLED, 99),
        (Phase.REJECTED, 99),
        (Phase.RETRYING, None),
        (Phase.SUSPENDED, None),
        (Phase.RESUMED, None),
    ],
)
def test_status_is_the_number_of_the_table(phase: Phase, status: int | None) -> None:
    data: Any = lifecycle_event(make_job(), make_transition(phase)).get_data()
    assert data["status"] == status
    assert phase.traits.status == status


def test_context_of_the_request_goes_with_every_event() -> None:
    request = make_event(
        correlationid="c1", traceparent=TRACE, tracestate="a=b", subject="s", time="2026-11-21T12:00:00Z"
    )
    event = lifecycle_event(make_job(context=context_annotation(request)), make_transition())
    extensions = {
        name: event.get_extension(name) for name in ("causationid", "correlationid", "traceparent", "tracestate")
    }
    assert extensions == {"causationid": "e1", "correlationid": "c1", "traceparent": TRACE, "tracestate": "a=b"}
    assert event.get_subject() == "r1"


def asked_by(event: CloudEvent) -> tuple[object, object]:
    return event.get_extension("actor"), event.get_extension("replayof")


def test_the_first_event_of_a_request_alone_says_who_asked_for_it() -> None:
    context = context_annotation(make_event(actor="ada", replayof="r0"))
    for phase in set(Phase) - {Phase.REJECTED, Phase.SCHEDULED, Phase.UNSCHEDULED}:
        event = lifecycle_event(make_job(context=context), make_transition(phase))
        assert asked_by(event) == (("ada", "r0") if phase is Phase.CREATED else (None, None))
    for phase in (Phase.SCHEDULED, Phase.UNSCHEDULED):
        event = schedule_event(make_schedule(context=context), make_transition(phase))
        assert asked_by(event) == (("ada", "r0") if phase is Phase.SCHEDULED else (None, None))


def test_nobody_is_said_to_have_asked_for_a_run_of_a_schedule() -> None:
    job = make_job(context=context_annotation(make_event(actor="ada")), run="2026-11-21T12:00:00Z")
    assert asked_by(lifecycle_event(job, make_transition(Phase.CREATED))) == (None, None)


def test_a_refusal_says_who_asked() -> None:
    asked = {"id": "e1", "source": "/shop", "actor": "ada", "replayof": "r0"}
    assert asked_by(rejected(event_attributes=asked)) == ("ada", "r0")
    assert asked_by(rejected(event_attributes={**asked, "actor": 5, "replayof": None})) == (None, None)


@pytest.mark.parametrize(
    "annotations",
    [
        {"context": ""},
        {"context": "{"},
        {"context": "[]"},
        {"context": '{"id":5,"correlationid":"","traceparent":"a\\nb"}'},
        {"context": '{"id":"' + "x" * 9000 + '"}'},
        {"context": "{}", "tags": "{", "metadata": "[]"},
        {"context": "{}", "tags": "{}", "metadata": '"x"'},
        {"context": "[" * 5000, "metadata": '{"a":' * 500 + "1" + "}" * 500},
    ],
)
def test_unreadable_annotations_lose_their_content_but_not_the_event(annotations: dict[str, str]) -> None:
    event = lifecycle_event(make_job(**annotations), make_transition())
    assert event.get_extension("causationid") is None
    assert event.get_extension("correlationid") == "r1"
    assert not {"tags", "metadata"} & set(detail_of(event))
    assert encode_structured(event)


def test_metadata_are_told_with_their_numbers_as_written() -> None:
    event = lifecycle_event(
        make_job(metadata='{"order":123456789012345678901234567890,"price":1.10}'), make_transition()
    )
    assert b'"metadata":{"order":123456789012345678901234567890,"price":1.10}' in encode_structured(event)


@pytest.mark.parametrize("request_id", ["", "a\nb", "x" * 10_000])
def test_request_id_that_is_no_attribute_is_left_to_the_data(request_id: str) -> None:
    event = lifecycle_event(make_job(request_id=request_id, context="{}"), make_transition())
    assert event.get_subject() is None
    assert event.get_extension("partitionkey") is None
    assert orjson.loads(encode_structured(event))["data"]["id"] == request_id


def test_same_state_gives_the_same_bytes() -> None:
    job = make_job(conditions=(condition("Complete", at=9),))

    def published() -> list[bytes]:
        return [
            encode_structured(lifecycle_event(job, transition))
            for transition in transitions(job, [succeeded(message="x")])
        ]

    assert published() == published()
    assert len(published()) == 3


def test_sdk_reads_every_event_of_a_job() -> None:
    job = make_job(
        service="mail",
        backoff_limit=2,
        failed=1,
        conditions=(condition("Suspended", at=1, status=False), condition("Complete", at=9)),
    )
    pods = [failed("a", at=3, message="ü"), succeeded("b", at=8, message='{"x": 1}'), make_pod("c")]
    phases = []
    for transition in transitions(job, pods):
        written = encode_structured(lifecycle_event(job, transition))
        read = JSONFormat().read(None, written)
        assert read.get_attributes() == decode_structured(written).get_attributes()
        assert read.get_data() == orjson.loads(written)["data"]
        phases.append(read.get_type())
    assert phases == [f"dev.jobrelay.job.{word}" for word in ("created", "resumed", "started", "retrying", "succeeded")]


def test_transitions_are_terminal_in_the_terminal_phases_only() -> None:
    assert {phase for phase in Phase if make_transition(phase).terminal} == TERMINAL


def test_rejected_lists_every_error() -> None:
    event = rejected()
    assert event.get_type() == "dev.jobrelay.job.rejected"
    assert event.get_source() == "/jobrelay/jobrelay"
    assert event.get_subject() == "r1"
    assert (event.get_extension("causationid"), event.get_extension("partitionkey")) == ("e1", "r1")
    assert event.get_extension("requestsource") == "/shop"
    assert event.get_time() is None
    assert event.get_data() == {
        "id": "r1",
        "status": 99,
        "detail": {
            "service": "mail",
            "phase": "rejected",
            "error": {
                "errorCode": "INVALID_REQUEST",
                "message": "job is missing",
                "fields": [
                    {"path": "job", "message": "is missing"},
                    {"path": "job.image", "message": "is wrong", "allowed": "a name"},
                ],
            },
        },
    }


def test_rejected_has_one_id_for_each_event_and_replay() -> None:
    same = {rejected().get_id(), rejected(message="other", request_id=None).get_id()}
    assert len(same) == 1
    others = {
        rejected(replays=1).get_id(),
        rejected(event_attributes={"id": "e2", "source": "/shop"}).get_id(),
        rejected(event_attributes={"id": "e1", "source": "/other"}).get_id(),
        rejected(event_attributes={"id": "e1"}).get_id(),
        rejected(event_attributes={}).get_id(),
    }
    assert len(others | same) == 6


def test_rejected_without_most_attributes_is_a_valid_event() -> None:
    event = rejected(event_attributes={}, request_id=None, service=None, fields=[])
    assert event.get_subject() is None
    assert event.get_extension("causationid") is None
    assert event.get_data() == {
        "id": None,
        "status": 99,
        "detail": {"phase": "rejected", "error": {"errorCode": "INVALID_REQUEST", "message": "job is missing"}},
    }
    assert JSONFormat().read(None, encode_structured(event)).get_id() == event.get_id()


def test_rejected_survives_hostile_attributes() -> None:
    event = rejected(event_attributes={"id": "a\nb", "traceparent": 5, "time": "x"}, request_id="a\x00b")
    assert event.get_subject() is None
    assert event.get_extension("causationid") is None
    assert event.get_extension("traceparent") is None
    assert encode_structured(event)


def test_undelivered_is_the_same_event_with_the_refusal() -> None:
    event = lifecycle_event(make_job(), make_transition())
    again = undelivered(event, topic="replies.x", reason="no stream")
    assert again.get_attributes() == event.get_attributes()
    assert detail_of(again) == detail_of(event) | {"undelivered": {"topic": "replies.x", "reason": "no stream"}}
    assert "undelivered" not in detail_of(event)


def test_shortened_keeps_what_happened_and_names_what_was_left_out() -> None:
    job = make_job(service="mail", tags='["a"]', metadata='{"k":1}')
    bulk = {"exitCode": 3, "result": "x" * 5000, "logTail": "y", "error": {"errorCode": "X", "message": "z" * 5000}}
    event = lifecycle_event(job, make_transition(Phase.FAILED, **bulk))
    short = shortened(event)
    assert short.get_attributes() == event.get_attributes()
    assert detail_of(short) == {
        "service": "mail",
        "phase": "failed",
        "attempt": 1,
        "exitCode": 3,
        "error": {"errorCode": "X", "message": f"{'z' * 512} … {'z' * 1531}"},
        "shortened": ["tags", "metadata", "result", "logTail"],
    }
    assert detail_of(event)["result"]


def test_shortened_rejection_loses_its_fields() -> None:
    assert detail_of(shortened(rejected()))["shortened"] == ["fields"]
    assert "fields" not in detail_of(shortened(rejected()))["error"]


def test_event_without_time_gets_no_time_when_it_is_changed() -> None:
    assert shortened(rejected()).get_attributes() == rejected().get_attributes()
    assert undelivered(rejected(), topic="t", reason="r").get_attributes() == rejected().get_attributes()


@pytest.mark.parametrize("claimed", ["x" * 1_000_000, '"\x01\\' * 9_000, "\U0001f600" * 9_000])
def test_the_least_of_a_rejection_is_bounded_whatever_was_claimed(claimed: str) -> None:
    event = rejected(
        event_attributes=dict.fromkeys(("id", "source", "traceparent", "tracestate", "correlationid"), claimed),
        message=claimed,
        fields=[FieldError(claimed, claimed, allowed=claimed)] * 50,
        service=claimed,
        request_id=claimed,
    )
    short = least(event)
    assert len(encode_structured(short)) <= LEAST_BYTES // 4
    assert (short.get_id(), short.get_type()) == (event.get_id(), event.get_type())
    data = short.get_data()
    assert isinstance(data, dict)
    assert data["detail"]["phase"] == "rejected"
    assert data["detail"]["error"]["errorCode"] == "INVALID_REQUEST"
    assert data["id"] is None
