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
"""Seconds until a delivery that ran into a bug of ours is offered again; that counts as an attempt."""


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
    """The CloudEvent of a delivery. Raises `Rejection` if it is none, or was delivered too often.

    The attempts are checked first: reading the message may be what kills the process.
    """
    if delivery.attempt > max_attempts:
        raise Rejection("TOO_MANY_ATTEMPTS", f"delivered {max_attempts} times without an outcome")
    try:
        return delivery.event()
    except InvalidEvent as error:
        fields = [FieldError(mistake.name, mistake.message) for mistake in error.mistakes]
        raise Rejection("INVALID_EVENT", error.reason, fields) from error


@contextmanager
def processing(delivery: Delivery, event: CloudEvent, *, broker: str, tracing: Tracing) -> Iterator[None]:
    """Within the block, log lines and spans name this event."""
    also_event(event)
    with tracing.processing(delivery, event, broker=broker):
        if tracing.active:
            also(trace_id=tracing.trace_id())
        yield


async def surviving(delivery: Delivery, work: Callable[[Delivery], Awaitable[None]], *, what: str) -> None:
    """Do `work`. After an error of ours the delivery is offered again, so that it stops no other delivery.

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
