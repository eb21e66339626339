"""What both halves do with a delivery: read it, name it in logs and traces, offer it again after an error of ours."""

import logging
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from cloudevents.core.v1.event import CloudEvent

from adapters.base import Delivery
from events.cloudevent.attributes import readable
from events.cloudevent.event import InvalidEvent, TooLarge
from events.problems import FieldError, told
from handler.telemetry.logcontext import about, also, also_event, current
from handler.telemetry.tracing import UNTRACED, Tracing
from k8s.base import LeadershipLost

logger = logging.getLogger(__name__)

BUG_SECONDS = 5.0
"""Seconds until a delivery that ran into a bug of ours is offered again; that counts as an attempt."""
UNENDING_SECONDS = 300.0
"""Seconds until one is offered again that cannot even be rejected."""

UntilTaken = Callable[[Callable[[], Awaitable[None]]], Awaitable[None]]
"""Repeats a call until the delivery's broker takes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """The request that is rejected. `function` is empty unless a function made it."""

    request_id: str
    service: str | None
    function: str = ""


class Rejection(Exception):
    """What was asked for will not be done. `code` is the `errorCode` of the event that says so.

    `about` is None when the event as a whole is rejected, whatever it asks for. Of one that was not read, or is none,
    `attributes` are what it says of itself, and `structured` which mode it is in; None: not known.
    """

    def __init__(
        self, code: str, message: str, fields: Sequence[FieldError] = (), *, about: About | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.fields = told(fields)
        self.about = about
        self.attributes: Mapping[str, str] = {}
        self.structured: bool | None = None


def read(
    delivery: Delivery, *, max_attempts: int, max_bytes: int, limit: str = "JOBRELAY_MAX_REQUEST_BYTES allows"
) -> CloudEvent:
    """The CloudEvent of a delivery. Raises `Rejection` if it is none, was delivered too often, or is too large.

    Attempts and size are checked first: reading the message may be what kills the process. What is larger can never
    become a Job: the event it is has no fewer bytes. `limit`: words before `max_bytes`.
    """
    if delivery.attempt > max_attempts:
        message = f"delivered {max_attempts} times without an outcome"
        raise identified(Rejection("TOO_MANY_ATTEMPTS", message), delivery)
    try:
        return delivery.event(most=max_bytes)
    except TooLarge as error:
        message = f"{error.size} bytes, which were not read: {limit} {max_bytes}"
        rejection = Rejection("TOO_LARGE", message)
        rejection.attributes, rejection.structured = error.attributes, error.structured
    except InvalidEvent as error:
        fields = [FieldError(mistake.name, mistake.message) for mistake in error.mistakes]
        rejection = Rejection("INVALID_EVENT", error.reason, fields)
        rejection.attributes = error.attributes
    # Not from the error: that would keep what was read of the message for as long as the rejection takes.
    raise rejection


def identified(rejection: Rejection, delivery: Delivery) -> Rejection:
    """The rejection, with what the delivery says of itself. Its body is not read."""
    try:
        rejection.attributes = readable(delivery.event(most=0).get_attributes())
    except TooLarge as error:
        rejection.attributes, rejection.structured = error.attributes, error.structured
    except InvalidEvent as error:
        rejection.attributes = error.attributes
    return rejection


def processing(delivery: Delivery, event: CloudEvent, *, broker: str, tracing: Tracing) -> AbstractContextManager[None]:
    """From now on log lines name this event; within the block, spans too."""
    also_event(event)
    return _traced(delivery, event, broker, tracing) if tracing.active else UNTRACED


@contextmanager
def _traced(delivery: Delivery, event: CloudEvent, broker: str, tracing: Tracing) -> Iterator[None]:
    with tracing.processing(delivery, event, broker=broker):
        also(trace_id=tracing.trace_id())
        yield


async def surviving(
    delivery: Delivery,
    work: Callable[[Delivery], Awaitable[None]],
    *,
    what: str,
    max_attempts: int,
    give_up: Callable[[Delivery, Rejection], Awaitable[None]],
    until_taken: UntilTaken,
) -> None:
    """Do `work`. After an error of ours the delivery is offered again, so that it stops no other delivery.

    After the last attempt `give_up` tells of it and rejects it; if that fails too, it is rejected untold. Raises
    `LeadershipLost`, and nothing else.
    """
    about(message_id=delivery.message_id)
    try:
        await work(delivery)
    except LeadershipLost:
        raise
    except Exception:
        reference = _reference()
        logger.exception("%s failed on our side", what, extra={"reference": reference})
        if delivery.attempt < max_attempts:
            await until_taken(lambda: delivery.retry(BUG_SECONDS))
            return
        message = f"jobrelay failed at {delivery.attempt} attempts; its log says why, with reference {reference}"
        await _end(delivery, Rejection("INTERNAL", message), give_up, until_taken)


async def _end(
    delivery: Delivery,
    rejection: Rejection,
    give_up: Callable[[Delivery, Rejection], Awaitable[None]],
    until_taken: UntilTaken,
) -> None:
    """Make it a dead letter, whatever fails on the way."""
    try:
        await give_up(delivery, rejection)
        return
    except LeadershipLost:
        raise
    except Exception:
        logger.exception("its rejection cannot be told")
    try:
        await until_taken(lambda: delivery.reject(rejection.code, str(rejection)))
    except Exception:
        logger.exception("it cannot become a dead letter")
        await until_taken(lambda: delivery.retry(UNENDING_SECONDS))


def _reference() -> str:
    """Names an error in the log for those who cannot read it: the trace of the event, or else something unique."""
    return str(current().get("trace_id") or uuid.uuid4().hex)
