"""What both halves do with a delivery: read it, name it in logs and traces, offer it again after an error of ours."""

import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from cloudevents.core.v1.event import CloudEvent

from adapters.base import Delivery
from events.cloudevent.event import InvalidEvent
from events.problems import FieldError
from handler.effects.repeating import until_taken
from handler.telemetry.logcontext import about, also, also_event
from handler.telemetry.tracing import Tracing
from k8s.base import LeadershipLost

logger = logging.getLogger(__name__)

BUG_SECONDS = 5.0
"""Until a delivery that met an error of ours is offered again; it counts as an attempt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """The request that is rejected. `function` is empty unless a function made it."""

    request_id: str
    service: str | None
    function: str = ""


class Rejection(Exception):
    """What was asked for will not be done. `code` is the `errorCode` of the event that says so.

    `about` is None when the event as a whole is rejected, whatever it asks for.
    """

    def __init__(
        self, code: str, message: str, fields: Sequence[FieldError] = (), *, about: About | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.fields = tuple(fields)
        self.about = about


def read(delivery: Delivery, *, max_attempts: int) -> CloudEvent:
    """Its event. Raises `Rejection` for what is no CloudEvent, and first for what was delivered too often.

    The number of attempts comes before all else: reading the message may be what ends the process.
    """
    if delivery.attempt > max_attempts:
        raise Rejection("TOO_MANY_ATTEMPTS", f"delivered {max_attempts} times without an outcome")
    try:
        return delivery.event()
    except InvalidEvent as error:
        raise Rejection("INVALID_EVENT", error.reason) from error


@contextmanager
def processing(delivery: Delivery, event: CloudEvent, *, broker: str, tracing: Tracing) -> Iterator[None]:
    """Log lines and spans of the block name this event."""
    also_event(event)
    with tracing.processing(delivery, event, broker=broker):
        if tracing.active:
            also(trace_id=tracing.trace_id())
        yield


async def surviving(delivery: Delivery, work: Callable[[Delivery], Awaitable[None]], *, what: str) -> None:
    """Do `work`. After an error of ours the delivery is offered again: it must stop no other delivery.

    Raises `LeadershipLost`, and nothing else.
    """
    about(message_id=delivery.message_id)
    try:
        await work(delivery)
    except LeadershipLost:
        raise
    except Exception:
        logger.exception("%s failed on our side", what)
        await until_taken(lambda: delivery.retry(BUG_SECONDS))
