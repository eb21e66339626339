"""One trace leads from the request to its terminal event, in whichever process each part happens."""

import time
from collections.abc import Sequence
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, format_span_id, format_trace_id

from adapters.base import Kind, Topic
from adapters.memory import MemoryBroker
from handler.telemetry.tracing import MAX_STATUS, OFF, Tracing
from handler.visible import MAX_FIELD
from k8s.api.cluster import Cluster
from k8s.base import Manifest
from tests.events.samples import make_event
from tests.handler.cost import seconds_of
from tests.handler.jobs import job_of
from tests.handler.relay import phase_of, running
from tests.handler.samples import SOURCE, make_command, make_request, until

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
GIVEN = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=1"}
LIMIT_SECONDS = 10e-6
"""How much tracing may cost per event while no spans are made."""


class Spans:
    """An SDK that keeps all spans in memory."""

    def __init__(self) -> None:
        self._kept = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._kept))
        self.tracing = Tracing(self.provider)

    def all(self) -> Sequence[ReadableSpan]:
        return self._kept.get_finished_spans()

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.all() if span.name == name]

    async def only(self, name: str) -> ReadableSpan:
        """The only span of this name, once it has ended."""

        async def look() -> list[ReadableSpan]:
            return self.named(name)

        (span,) = await until(look)
        return span


@pytest.fixture
def spans() -> Spans:
    return Spans()


def context(span: ReadableSpan) -> str:
    """The span's context in the form of a `traceparent`."""
    found = span.get_span_context()
    assert found is not None
    return f"00-{format_trace_id(found.trace_id)}-{format_span_id(found.span_id)}-01"


def parent(span: ReadableSpan) -> str | None:
    return None if span.parent is None else format_span_id(span.parent.span_id)


def span_id(span: ReadableSpan) -> str:
    return context(span).split("-")[2]


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def environ(job: Manifest) -> dict[str, str]:
    container = job["spec"]["template"]["spec"]["containers"][0]
    return {variable["name"]: variable.get("value", "") for variable in container["env"]}


async def test_one_trace_leads_from_the_event_to_its_end(broker: MemoryBroker, cluster: Cluster, spans: Spans) -> None:
    async with running(broker, cluster, tracing=spans.tracing) as client:
        script = 'echo "$TRACEPARENT" > "$JOBRELAY_RESULT_PATH"'
        await client.publish(make_request("t", script=script, attributes=GIVEN))
        end = await client.ended("t")
        process, create = await spans.only("process jobrelay.requests"), await spans.only("create Job")
        run, wait = await spans.only("job run"), await spans.only("job wait")
        publishes = spans.named("publish jobrelay.lifecycle")
        job = await job_of(cluster, "t")
        events = {phase_of(event): event for event in await client.events("t")}
    assert {context(span).split("-")[1] for span in spans.all()} == {TRACE}
    assert (parent(process), process.kind) == (PARENT, SpanKind.CONSUMER)
    assert (parent(create), create.kind) == (span_id(process), SpanKind.CLIENT)
    assert environ(job)["TRACEPARENT"] == context(create)
    data: Any = end.get_data()
    assert data["detail"]["result"] == context(create), "what the container saw"
    assert {parent(span) for span in (run, wait, *publishes)} == {span_id(create)}
    assert len(publishes) == 3
    assert {span.kind for span in publishes} == {SpanKind.PRODUCER}
    for span in publishes:
        event = events[attributes(span)["cloudevents.event_type"].rpartition(".")[2]]
        assert event.get_extension("traceparent") == context(span)
        assert event.get_extension("tracestate") == "vendor=1"
        assert event.get_id() == attributes(span)["messaging.message.id"]


async def test_spans_have_attributes_that_say_what_they_are_about(
    broker: MemoryBroker, cluster: Cluster, spans: Spans
) -> None:
    async with running(broker, cluster, tracing=spans.tracing) as client:
        await broker.publish(Topic(Kind.REQUESTS, "high"), make_request("a", script="sleep 1; exit 3"))
        await client.ended("a")
        process, create = await spans.only("process jobrelay.requests.high"), await spans.only("create Job")
        run, wait = await spans.only("job run"), await spans.only("job wait")
        job = await job_of(cluster, "a")
    assert process.parent is None, "an event without a trace begins a new trace"
    assert attributes(process) == {
        "messaging.system": "memory",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "jobrelay.requests.high",
        "messaging.message.id": "requests/1",
        "messaging.message.body.size": attributes(process)["messaging.message.body.size"],
        "cloudevents.event_id": "event-a",
        "cloudevents.event_source": SOURCE,
        "cloudevents.event_spec_version": "1.0",
        "cloudevents.event_type": "dev.jobrelay.job.requested",
        "jobrelay.outcome": "created",
    }
    name = job["metadata"]["name"]
    assert attributes(create) == {"k8s.namespace.name": "default", "k8s.job.name": name}
    assert attributes(run) == {
        "k8s.namespace.name": "default",
        "k8s.job.name": name,
        "k8s.job.uid": job["metadata"]["uid"],
        "jobrelay.request.id": "a",
        "jobrelay.outcome": "failed",
        "process.exit.code": 3,
        "error.type": "JOB_EXECUTION_FAILED",
    }
    assert run.status.status_code is StatusCode.ERROR
    assert wait.status.status_code is StatusCode.UNSET
    times = [wait.start_time, wait.end_time, run.start_time, run.end_time]
    assert times == sorted(time or 0 for time in times)
    assert all((time or 1) % 10**9 == 0 for time in times), "Kubernetes' times have whole seconds"
    assert (run.end_time or 0) - (run.start_time or 0) in (10**9, 2 * 10**9, 3 * 10**9)
    assert abs((run.start_time or 0) - time.time_ns()) < 60 * 10**9


async def test_a_refusal_is_an_error_in_its_trace_and_is_published_there(
    broker: MemoryBroker, cluster: Cluster, spans: Spans
) -> None:
    async with running(broker, cluster, tracing=spans.tracing, images=("busybox:*",)) as client:
        await client.publish(make_request("no", job={"image": "evil"}, attributes=GIVEN))
        rejected = await client.reached("no", "rejected")
        process = await spans.only("process jobrelay.requests")
        (publish,) = spans.named("publish jobrelay.lifecycle")
    assert process.status.status_code is StatusCode.ERROR
    assert (attributes(process)["jobrelay.outcome"], attributes(process)["error.type"]) == ("rejected", "FORBIDDEN")
    assert parent(publish) == span_id(process)
    assert rejected.get_extension("traceparent") == context(publish)


async def test_a_message_that_is_no_event_has_a_span_too(broker: MemoryBroker, cluster: Cluster, spans: Spans) -> None:
    async with running(broker, cluster, tracing=spans.tracing):
        broker.put(Topic(Kind.REQUESTS), {}, b"garbage")
        process = await spans.only("process jobrelay.requests")
    assert process.parent is None
    assert attributes(process)["error.type"] == "INVALID_EVENT"


async def test_a_repeat_in_another_trace_is_a_duplicate(broker: MemoryBroker, cluster: Cluster, spans: Spans) -> None:
    other = {"traceparent": f"00-{'1' * 32}-{'2' * 16}-01"}
    async with running(broker, cluster, tracing=spans.tracing) as client:
        await client.publish(make_request("d", attributes=GIVEN))
        await client.reached("d", "created")
        await client.publish(make_request("d", attributes=other))

        async def both() -> list[ReadableSpan] | None:
            found = spans.named("process jobrelay.requests")
            return found if len(found) == 2 else None

        outcomes = [attributes(span)["jobrelay.outcome"] for span in await until(both)]
        end = await client.ended("d")
        assert await client.phases("d") == ["created", "started", "succeeded"]
    assert outcomes == ["created", "duplicate"]
    assert str(end.get_extension("traceparent")).split("-")[1] == TRACE, "the trace of the request that created the Job"


async def test_a_command_is_answered_in_its_own_trace(broker: MemoryBroker, cluster: Cluster, spans: Spans) -> None:
    async with running(broker, cluster, tracing=spans.tracing) as client:
        await client.publish(make_request("c", script="sleep 600"))
        await client.reached("c", "started")
        await client.command(make_command("cancel", "c", **GIVEN))
        await client.ended("c")
        (answer,) = await client.events("command-1")
        control = await spans.only("process jobrelay.control")
        run = await spans.only("job run")
    assert parent(control) == PARENT
    assert str(answer.get_extension("traceparent")).split("-")[1] == TRACE
    assert attributes(control)["jobrelay.outcome"] == "accepted"
    assert attributes(run)["jobrelay.outcome"] == "cancelled"
    assert run.status.status_code is StatusCode.UNSET


async def test_without_an_sdk_the_trace_is_passed_on_as_it_came(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster) as client:
        await client.publish(make_request("t", attributes=GIVEN), make_request("none"))
        with_trace, without = await client.ended("t"), await client.ended("none")
        jobs = await job_of(cluster, "t"), await job_of(cluster, "none")
    assert environ(jobs[0])["TRACEPARENT"] == GIVEN["traceparent"]
    assert {name: with_trace.get_extension(name) for name in GIVEN} == GIVEN
    assert "TRACEPARENT" not in environ(jobs[1])
    assert without.get_extension("traceparent") is None


async def test_an_invalid_traceparent_begins_a_new_trace(broker: MemoryBroker, cluster: Cluster, spans: Spans) -> None:
    async with running(broker, cluster, tracing=spans.tracing) as client:
        await client.publish(make_request("x", attributes={"traceparent": "nonsense", "tracestate": "=,=,"}))
        await client.ended("x")
        process = await spans.only("process jobrelay.requests")
    assert process.parent is None


def test_making_no_spans_costs_almost_nothing() -> None:
    event, topic = make_request(attributes=GIVEN), Topic(Kind.LIFECYCLE, "a.b.c")
    delivery: Any = None

    def trace_life() -> None:
        """All of an event's way: intake, then three lifecycle events."""
        with OFF.processing(delivery, event, broker="nats"), OFF.creating("a", "b"):
            OFF.carrier()
            OFF.set_outcome("created")
        for _ in range(3):
            with OFF.publishing(topic, event, broker="nats") as published:
                assert published is event

    assert seconds_of(trace_life) < LIMIT_SECONDS


def test_attributes_of_spans_are_clipped(spans: Spans) -> None:
    event = make_event(id="i" * 5000, subject="s" * 5000)
    with spans.tracing.publishing(Topic(Kind.LIFECYCLE, "a"), event, broker="memory"):
        spans.tracing.noticed("refused", ValueError("x" * 100_000))
    (span,) = spans.all()
    assert max(len(value) for value in attributes(span).values()) == MAX_FIELD
    ((message,),) = ((dict(one.attributes or {}).values()) for one in span.events)
    assert len(str(message)) == MAX_STATUS
