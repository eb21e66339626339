"""An ordinary subscriber to lifecycle events, for each broker; it does not know jobrelay's streams."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from aiormq.abc import DeliveredMessage
from cloudevents.core.v1.event import CloudEvent
from nats.aio.client import Client
from nats.aio.msg import Msg

from events.cloudevent.event import decode_structured
from events.phases import TERMINAL
from tests.amqp import subscribed
from tests.chaos.claims import PhaseEvent, distinct

OBSERVER_QUEUE = "observer"


class Observer:
    """What an ordinary subscriber has received, in order of arrival."""

    def __init__(self) -> None:
        self.events: list[CloudEvent] = []
        self._received: list[PhaseEvent] = []

    def take(self, event: CloudEvent) -> None:
        self.events.append(event)
        self._received.append(PhaseEvent.of(event))

    def received(self) -> list[PhaseEvent]:
        return list(self._received)

    def repeats(self) -> str:
        """How many events arrived again, in words."""
        received = self.received()
        return f"{len(received) - len(distinct(received))} of {len(received)} events repeated"

    def ended(self) -> set[str]:
        return {event.subject for event in self.received() if event.phase in TERMINAL}


def observing(url: str) -> AbstractAsyncContextManager[Observer]:
    """A subscriber on the broker of this URL."""
    return _on_nats(url) if url.startswith("nats") else _on_rabbitmq(url)


@asynccontextmanager
async def _on_rabbitmq(url: str) -> AsyncIterator[Observer]:
    """Has a queue of its own, which misses nothing while the broker is down."""
    observer = Observer()

    def take(message: DeliveredMessage) -> None:
        observer.take(decode_structured(message.body))

    async with subscribed(url, "jobrelay.lifecycle", take, queue=OBSERVER_QUEUE):
        yield observer


@asynccontextmanager
async def _on_nats(url: str) -> AsyncIterator[Observer]:
    """A plain subscription, without JetStream."""
    observer = Observer()

    async def on_message(message: Msg) -> None:
        observer.take(decode_structured(message.data))

    async def ignore(_: Exception) -> None:
        """The server is killed on purpose."""

    client = Client()
    # Reconnect sooner than jobrelay does, but not without a pause: nats-py loses a cancellation that comes just as an
    # attempt fails, and without a pause an attempt fails nearly all the time.
    await client.connect(url, max_reconnect_attempts=-1, reconnect_time_wait=0.05, error_cb=ignore)  # type: ignore[arg-type]
    try:
        await client.subscribe("jobrelay.lifecycle.>", cb=on_message)
        await client.flush()
        yield observer
    finally:
        await client.close()
