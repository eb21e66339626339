"""OpenTelemetry spans of a request's way, made with the API alone. Without an SDK (see otlp.py) there are none.

Names and attributes follow the semantic conventions for messaging, CloudEvents and Kubernetes.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from cloudevents.core.v1.event import CloudEvent
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, StatusCode, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from adapters.base import Delivery, Kind, Topic
from events.jobs.context import TRACE, in_trace, read_context
from events.jobs.observed import Job
from events.lifecycle.transitions import Transition
from events.names import DEFAULT_INSTANCE
from events.phases import Phase
from handler.visible import clipped

MAX_STATUS = 2048
"""Characters of what a span says of a failure."""
_W3C = TraceContextTextMapPropagator()
UNTRACED = nullcontext()
"""The block of a span that is not made."""


class Tracing:
    """Makes spans with `provider`; without it none, at next to no cost. `instance` is the prefix of topics."""

    def __init__(self, provider: TracerProvider | None = None, *, instance: str = DEFAULT_INSTANCE) -> None:
        self._tracer = None if provider is None else provider.get_tracer("jobrelay")
        self._instance = instance

    @property
    def active(self) -> bool:
        return self._tracer is not None

    def processing(self, delivery: Delivery, event: CloudEvent | None, *, broker: str) -> AbstractContextManager[Any]:
        """A span of all work on a message, in the trace that its event names. `event`: None if it cannot be read."""
        if self._tracer is None:
            return UNTRACED
        topic = f"{self._instance}.{delivery.topic}"
        attributes: dict[str, str | int] = {
            "messaging.system": broker,
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": topic,
            "messaging.message.id": delivery.message_id,
            "messaging.message.body.size": len(delivery.body),
            **({} if event is None else _of_event(event)),
        }
        return self._tracer.start_as_current_span(
            f"process {topic}",
            context=Context() if event is None else _parent(event.get_attributes()),
            kind=SpanKind.CONSUMER,
            attributes=_short(attributes),
        )

    def creating(self, namespace: str, name: str) -> AbstractContextManager[Any]:
        """A span from request to Job, with any wait for the API server. The container's spans are its children."""
        if self._tracer is None:
            return UNTRACED
        attributes = {"k8s.namespace.name": namespace, "k8s.job.name": name}
        return self._tracer.start_as_current_span("create Job", kind=SpanKind.CLIENT, attributes=attributes)

    def publishing(self, topic: Topic, event: CloudEvent, *, broker: str) -> AbstractContextManager[CloudEvent]:
        """A span. Yields the event to publish, which carries its context: spans of subscribers become its children."""
        if self._tracer is None:
            return nullcontext(event)
        return self._publishing(self._tracer, topic, event, broker)

    def _publishing(
        self, tracer: trace.Tracer, topic: Topic, event: CloudEvent, broker: str
    ) -> AbstractContextManager[CloudEvent]:
        # Keys of lifecycle topics contain request ids, and the names of destinations should stay few.
        destination = topic.key if topic.kind is Kind.REPLY else f"{self._instance}.{topic.kind}"
        attributes = {
            "messaging.system": broker,
            "messaging.operation.name": "publish",
            "messaging.operation.type": "send",
            "messaging.destination.name": destination,
            "messaging.message.id": event.get_id(),
            **_of_event(event),
        }
        here = trace.get_current_span().get_span_context().is_valid
        span = tracer.start_as_current_span(
            f"publish {self._instance}.{topic.kind}",
            context=None if here else _parent(event.get_attributes()),
            kind=SpanKind.PRODUCER,
            attributes=_short(attributes),
        )
        return _Carrying(span, event)

    def carrier(self) -> dict[str, str] | None:
        """`traceparent` and `tracestate` of the current span; None if there is none."""
        return None if self._tracer is None else _carrier()

    def trace_id(self) -> str | None:
        """The trace of the current span, 32 hexadecimal digits; None if there is none."""
        context = trace.get_current_span().get_span_context() if self._tracer is not None else None
        return trace.format_trace_id(context.trace_id) if context is not None and context.is_valid else None

    def set_outcome(self, outcome: str, *, error: str | None = None, message: str = "") -> None:
        """Set the outcome of the current span; `error` is a code of ours."""
        if self._tracer is None:
            return
        span = trace.get_current_span()
        span.set_attribute("jobrelay.outcome", outcome)
        if error is not None:
            span.set_attribute("error.type", error)
            span.set_status(StatusCode.ERROR, clipped(message, MAX_STATUS))

    def noticed(self, what: str, error: Exception) -> None:
        """Add an event to the current span, which goes on."""
        if self._tracer is not None:
            trace.get_current_span().add_event(what, {"exception.message": clipped(str(error), MAX_STATUS)})

    def ended(self, job: Job, shown: Sequence[Transition]) -> None:
        """Make the spans `job wait` and `job run` of a Job whose terminal event is published.

        Their times are those of Kubernetes, in whole seconds. Each leader that publishes the terminal event makes them
        once: after a crash they may exist twice.
        """
        if self._tracer is None:
            return
        end = shown[-1]
        start = next((transition for transition in shown if transition.phase is Phase.STARTED), None)
        attributes = {
            "k8s.namespace.name": job.namespace,
            "k8s.job.name": job.name,
            "k8s.job.uid": job.uid,
            "jobrelay.request.id": clipped(job.request_id),
        }
        parent = _parent(read_context(job.context))
        waited = end.time if start is None else start.time
        wait = self._tracer.start_span("job wait", parent, attributes=attributes, start_time=_ns(job.created))
        if start is None:
            _set_end(wait, end)
        wait.end(_ns(max(job.created, waited)))
        if start is not None:
            run = self._tracer.start_span("job run", parent, attributes=attributes, start_time=_ns(start.time))
            _set_end(run, end)
            run.end(_ns(max(start.time, end.time)))


OFF = Tracing()


class _Carrying:
    """Within the block of `span`, yields the event that names it."""

    def __init__(self, span: AbstractContextManager[Span], event: CloudEvent) -> None:
        self._span = span
        self._event = event

    def __enter__(self) -> CloudEvent:
        self._span.__enter__()
        carrier = _carrier()
        return self._event if carrier is None else in_trace(self._event, carrier)

    def __exit__(self, *error: Any) -> bool | None:
        return self._span.__exit__(*error)


def _set_end(span: Span, end: Transition) -> None:
    """Set the outcome of the Job."""
    span.set_attribute("jobrelay.outcome", str(end.phase))
    if "exitCode" in end.detail:
        span.set_attribute("process.exit.code", end.detail["exitCode"])
    if end.phase is Phase.FAILED:
        error = end.detail.get("error", {})
        span.set_attribute("error.type", error.get("errorCode", "failed"))
        span.set_status(StatusCode.ERROR, clipped(str(error.get("message", "")), MAX_STATUS))


def _short(attributes: Mapping[str, str | int]) -> dict[str, str | int]:
    """As they may leave the process: events may say anything, of any length."""
    return {name: clipped(value) if isinstance(value, str) else value for name, value in attributes.items()}


def _of_event(event: CloudEvent) -> dict[str, str]:
    found = {
        "cloudevents.event_id": event.get_id(),
        "cloudevents.event_source": event.get_source(),
        "cloudevents.event_spec_version": event.get_specversion(),
        "cloudevents.event_type": event.get_type(),
        "cloudevents.event_subject": event.get_subject(),
    }
    return {name: value for name, value in found.items() if value is not None}


def _parent(attributes: Mapping[str, Any]) -> Context:
    """The trace context that these event attributes name. If it makes no sense, a new trace begins."""
    named = {name: value for name in TRACE if isinstance(value := attributes.get(name), str)}
    return _W3C.extract(named, context=Context())


def _carrier() -> dict[str, str] | None:
    carrier: dict[str, str] = {}
    _W3C.inject(carrier)
    return carrier or None


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)
